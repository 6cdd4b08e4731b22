//! `maitred kill`: all apps end, their supervisors with them, and the list is empty.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::order::Order;
use super::{Manner, together};
use crate::apps::{self, Claimed, Known, OfApp};
use home::control::{Connection, Fault, Request, Snapshot};
use home::{Dump, Home, Which};
use supervisor::guard;

/// The guard of a supervisor leaves last. It is waited for so long.
const LEAVING: Duration = Duration::from_secs(10);

/// How long is tried at a time to get an app's lock.
const A_TRY: Duration = Duration::from_millis(100);

/// End all apps, and empty the list. `resurrect` brings them back.
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Serve new clients for each app's `drain_delay` first, while its `/readyz` answers 503
    #[arg(long)]
    delay: bool,
}

impl Kill {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let known = apps::all(&home)?;
        if known.is_empty() {
            together::say(manner, "there are no apps");
            return Ok(0);
        }
        let all: Vec<_> = known.iter().map(|known| &known.record.app).collect();
        let results = Order::among(&all).backward(&|number| {
            let known = known.get(number).context("there is no such app")?;
            if self.delay {
                serve_on(known)?;
            }
            end(known)
        });
        let (mut code, mut claims, mut records) = (0, Vec::new(), Vec::new());
        for (known, result) in known.into_iter().zip(results) {
            let name = known.record.app.name.clone();
            match result.context("it had no turn").flatten() {
                Ok(claim) => {
                    claims.extend(claim);
                    records.push(known.record);
                }
                Err(error) => {
                    together::complain_of(&error.context(OfApp(name)));
                    code = 1;
                }
            }
        }
        if records.is_empty() {
            return Ok(code);
        }
        let count = records.len();
        // They leave the list only when they are kept elsewhere.
        let path = Dump::new(records).write(&home, Which::Killed)?;
        for claim in claims {
            claim.remove()?;
        }
        let apps = if count == 1 {
            "1 app"
        } else {
            &format!("{count} apps")
        };
        let back = if Dump::exists(&home, Which::Saved) {
            "`maitred resurrect` brings back what was saved, `maitred resurrect --killed` what \
             was there now"
        } else {
            "`maitred resurrect` brings them back"
        };
        let sentence = format!(
            "{apps} ended; the list is empty. {back} ({})",
            path.display()
        );
        together::say(manner, &sentence);
        Ok(code)
    }
}

/// Tells an app that has a `drain_delay` to end after it, and waits until it ends, or for so long.
fn serve_on(known: &Known) -> anyhow::Result<()> {
    let delay = known.record.app.drain_delay;
    if !delay.is_zero()
        && let Ok(socket) = known.folder.connect()
        && let Ok(supervisor) = rustix::net::sockopt::socket_peercred(&socket)
    {
        // A supervisor that has ended meanwhile needs no signal.
        let Ok(ends) = pidfd_open(supervisor.pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        let _ = pidfd_send_signal(&ends, Signal::TERM);
        poll(
            &mut [PollFd::new(&ends, PollFlags::IN)],
            Some(&Timespec::try_from(delay)?),
        )?;
    }
    Ok(())
}

/// Ends an app, and claims it so that it cannot start again; `None` if it is deleted, or another
/// command has started it since.
fn end(known: &Known) -> anyhow::Result<Option<Claimed>> {
    let mut ended = 0;
    if let Ok(socket) = known.folder.connect() {
        let supervisor = rustix::net::sockopt::socket_peercred(&socket).ok();
        ended = supervisor.map_or(0, |peer| peer.pid.as_raw_nonzero().get());
        let app = &known.record.app;
        let patience = app.drain_timeout + app.kill_timeout + Duration::from_secs(5);
        let asked = || -> Result<Snapshot, Fault> {
            Connection::ask(socket, Request::Kill)?
                .wait_for(patience)?
                .finish(|_| {})
        };
        match { asked }() {
            Ok(_) | Err(Fault::Gone) => {}
            Err(fault) => {
                // Its guard ends what is left of the app. Asked to end, it starts no other supervisor.
                if let Some(peer) = supervisor {
                    if let Some(guard) = guard::of(peer.pid) {
                        let _ = kill_process(guard, Signal::TERM);
                    }
                    kill_process(peer.pid, Signal::KILL)?;
                } else {
                    return Err(fault.into());
                }
            }
        }
    }
    let until = Instant::now() + LEAVING;
    loop {
        if let Some(claim) = known.folder.claim(A_TRY)? {
            return Ok(Some(claim));
        }
        let started = ended != 0 && ![0, ended].contains(&known.snapshot().supervisor);
        if started || !known.folder.exists() {
            return Ok(None);
        }
        if Instant::now() > until {
            let lock = known.folder.path().join("lock");
            bail!(
                "its supervisor has ended, and a process still holds {0}; `fuser -k {0}` ends it",
                lock.display()
            );
        }
    }
}
