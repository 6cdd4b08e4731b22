//! How long it takes until an app answers, and not only until the command is back: pm2's `start` is
//! back when the processes are there, maitred's when they listen.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::side::Side;

/// The time between two questions: much less than what is measured, and enough not to disturb it.
const AGAIN: Duration = Duration::from_millis(2);
/// Who is not answered by then asks again: while it restarts, pm2 takes connections that no process
/// will answer.
const PATIENCE: Duration = Duration::from_millis(50);
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The processes that have answered, by what they say of themselves.
pub(super) type Who = BTreeSet<String>;

/// When an app answered, since the command began.
pub(super) struct Answered {
    pub(super) first: Duration,
    pub(super) all: Duration,
    pub(super) who: Who,
}

/// Runs a command, and asks at the port until so many processes have answered that are not among
/// those before it.
pub(super) fn time(
    side: &Side,
    args: &[&str],
    port: u16,
    count: usize,
    before: &Who,
) -> Result<Answered> {
    let begun = Instant::now();
    let command = side.begin(args, &[("PORT", &port.to_string())])?;
    let mut who = Who::new();
    let mut first = None;
    while who.len() < count {
        match ask(port).filter(|pid| !before.contains(pid)) {
            Some(pid) => {
                first.get_or_insert_with(|| begun.elapsed());
                who.insert(pid);
            }
            None => std::thread::sleep(AGAIN),
        }
        if begun.elapsed() > LIMIT {
            bail!("{} of {count} processes have answered", who.len());
        }
    }
    let all = begun.elapsed();
    side.ended(command)?;
    Ok(Answered {
        first: first.unwrap_or(all),
        all,
        who,
    })
}

/// Who answers, if somebody does.
fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut pid = String::new();
    stream.read_to_string(&mut pid).ok()?;
    Some(pid).filter(|pid| !pid.is_empty())
}
