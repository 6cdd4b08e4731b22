//! Several apps in the foreground: a process for each, which is what `maitred run` is for one, and
//! this process over them. It passes signals on, and ends when all of them have ended.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::foreground::{COMMAND, Foreground};
use super::{Manner, together};

/// Runs them until all have ended; the highest of their exit codes.
///
/// # Errors
/// If none of them can be started.
pub(super) fn run(apps: Vec<Foreground>, manner: &Manner) -> anyhow::Result<u8> {
    sys::block_signals().context("blocking signals")?;
    let mut running = BTreeMap::new();
    let mut highest = 0;
    for mut foreground in apps {
        foreground.beside_others = Some(std::process::id());
        let name = foreground.app.name.clone();
        match begin(&foreground) {
            Ok(pid) => {
                running.insert(pid.as_raw_nonzero().get(), name);
            }
            Err(error) => {
                together::complain(&error.context(name));
                highest = 1;
            }
        }
    }
    if running.is_empty() {
        bail!("none of the apps could be started");
    }
    while !running.is_empty() {
        let Ok(arrived) = sys::next_signal() else {
            continue;
        };
        match arrived.signal {
            Signal::CHILD => {
                for (name, code) in ended(&mut running) {
                    highest = highest.max(code);
                    if !running.is_empty() {
                        together::say(manner, &format!("{name} has ended; the others run on"));
                    }
                }
            }
            // What the terminal sends has reached them too.
            _ if arrived.by_kernel => {}
            Signal::CONT | Signal::PIPE => {}
            signal => {
                for pid in running.keys().copied().filter_map(Pid::from_raw) {
                    // If it has just ended, the next signal says so.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
    Ok(highest)
}

/// Starts a process for one of them. It ends with the thread that calls this.
fn begin(foreground: &Foreground) -> anyhow::Result<Pid> {
    let text = serde_json::to_vec(foreground)?;
    let program = std::env::current_exe().context("finding maitred's own file")?;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .spawn()
        .context("starting a supervisor")?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended already says why itself.
        let _ = stdin.write_all(&text);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.context("the child has no pid")
}

/// Reaps whatever has ended, orphans too, as process 1 must; those that were apps, with their exit
/// codes.
fn ended(running: &mut BTreeMap<i32, String>) -> Vec<(String, u8)> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => continue,
        };
        if let Some(name) = running.remove(&pid.as_raw_nonzero().get()) {
            ended.push((name, u8::try_from(code).unwrap_or(u8::MAX)));
        }
    }
    ended
}
