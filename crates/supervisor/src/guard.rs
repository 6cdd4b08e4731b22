//! The guard: a tiny process above the supervisor.
//!
//! It is the process that the user has started. It passes signals on to the supervisor, reaps
//! orphans (as process 1 of a container must), and sees to it that nothing of the app is left
//! when the supervisor ends, even by SIGKILL: as outer subreaper it becomes the parent of all
//! that remains. The supervisor in turn watches the guard, and ends the app when that is gone.
//! When both are killed in the same moment nobody is left to tidy up. Workers still end: in the foreground
//! by their parent-death signal, in the background by a signal to their process group (`sys::Tie`). What has
//! left these groups is ended by the next start (`runtime_folder`).
//!
//! Above an app in the background stands a guard that keeps it running, too ([`super::keeper`]).

use std::fs;
use std::path::Path;

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sys::Forked;

use super::ended::Ended;
use super::reaping::final_status;
use config::signal_name;
use home::{Exit, runtime_folder};
use process::cgroup::Branch;
use process::{tree, usage};

/// Splits this process in two. The guard's half does not return; the supervisor's half does. When
/// the supervisor was killed, the guard says so.
///
/// # Errors
/// If the kernel refuses.
pub fn split(folder: &Path, branch: Option<&Branch>, say: impl Fn(&str)) -> anyhow::Result<()> {
    become_guard()?;
    match sys::fork().context("starting the supervisor")? {
        Forked::Child => become_subreaper(),
        Forked::Parent(supervisor) => {
            let end = watch(supervisor, |_| {}, || {});
            tidy_up(folder, branch);
            if let Some(killed) = end.killed(false) {
                say(&format!("maitred: {killed}"));
            }
            sys::exit_now(end.code())
        }
    }
}

/// The guard of a supervisor, which is asked to end to keep it from starting another one.
pub fn of(supervisor: Pid) -> Option<Pid> {
    let guard = tree::parent(supervisor)?;
    // They are one program with the same arguments. Where the guard is gone, the parent is another one.
    let words = |pid: Pid| fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let are_same =
        matches!((words(guard), words(supervisor)), (Ok(one), Ok(other)) if one == other);
    are_same.then_some(guard)
}

pub(super) fn become_guard() -> anyhow::Result<()> {
    sys::block_signals().context("blocking signals")?;
    become_subreaper()
}

pub(super) fn become_subreaper() -> anyhow::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("becoming subreaper")
}

/// How a supervisor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Killed {
        signal: i32,
        /// It, or its guard, was asked to end before.
        asked: bool,
    },
}

impl End {
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed { signal, .. } => 128 + signal,
        }
    }

    /// What is said of one that was killed; whether its workers go on.
    pub(super) fn killed(self, goes_on: bool) -> Option<String> {
        let Self::Killed { signal, .. } = self else {
            return None;
        };
        let signal = signal_name(signal);
        let workers = match goes_on {
            true => "its workers go on",
            false => "its workers are ended with it",
        };
        Some(format!("the supervisor was killed by {signal}; {workers}"))
    }

    /// Whether nobody has asked it to end.
    pub(super) fn is_accident(self) -> bool {
        match self {
            Self::Exited(_) => false,
            Self::Killed { signal, asked } => {
                !asked && !Signal::from_named_raw(signal).is_some_and(asks_to_end)
            }
        }
    }
}

pub(super) fn asks_to_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal)
}

/// Ends what the supervisor has left behind.
pub(super) fn tidy_up(folder: &Path, branch: Option<&Branch>) {
    tree::kill_all();
    // The supervisor removes both; one that was killed could not.
    if let (Some(branch), Some(name)) = (branch, folder.file_name()) {
        branch.remove_groups_of(&name.to_string_lossy());
    }
    runtime_folder::remove(folder);
}

/// Watches over the supervisor until it ends. At each SIGCONT that a process sends, it looks whether the
/// supervisor has asked for something.
pub(super) fn watch(
    supervisor: Pid,
    mut tell: impl FnMut(Option<Ended>),
    mut obey: impl FnMut(),
) -> End {
    let mut asked = false;
    // What has ended when this process was another program.
    if let Some(end) = reap(Some(supervisor), asked, &mut tell) {
        return end;
    }
    loop {
        let Ok(arrived) = sys::next_signal() else {
            continue;
        };
        match arrived.signal {
            Signal::CHILD => {
                if let Some(end) = reap(Some(supervisor), asked, &mut tell) {
                    return end;
                }
            }
            // What the terminal sends has reached the supervisor too.
            _ if arrived.by_kernel => {}
            Signal::CONT => obey(),
            Signal::PIPE => {}
            signal => {
                asked |= asks_to_end(signal);
                // If it has just ended, the next signal is its end.
                let _ = kill_process(supervisor, signal);
            }
        }
    }
}

/// Reaps whatever has ended, and tells of it; how the supervisor has, if it is among it.
pub(super) fn reap(
    supervisor: Option<Pid>,
    asked: bool,
    tell: &mut impl FnMut(Option<Ended>),
) -> Option<End> {
    let mut end = None;
    while let Ok(Some(ended)) = sys::ended_child() {
        let pid = ended.as_raw_nonzero().get();
        // Of what is reaped it cannot be read any more.
        let cpu = usage::cpu_time(pid).unwrap_or_default();
        let Ok(Some((_, status))) = waitpid(Some(ended), WaitOptions::NOHANG) else {
            break;
        };
        let Some(exit) = final_status(status) else {
            continue;
        };
        if supervisor != Some(ended) {
            tell(Some(Ended { pid, exit, cpu }));
            continue;
        }
        end = Some(match exit {
            Exit::Code(code) => End::Exited(code),
            Exit::Signal(signal) => End::Killed { signal, asked },
        });
    }
    // What there was no room for is tried again.
    tell(None);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_asked_to_end_is_not_brought_back() {
        for (signal, is_accident) in [
            (Signal::KILL, true),
            (Signal::ABORT, true),
            (Signal::SEGV, true),
            (Signal::TERM, false),
            (Signal::INT, false),
        ] {
            let end = |asked| End::Killed {
                signal: signal.as_raw(),
                asked,
            };
            assert_eq!(end(false).is_accident(), is_accident, "{signal:?}");
            assert!(!end(true).is_accident(), "{signal:?}");
        }
        for code in [0, 1, 101] {
            assert!(!End::Exited(code).is_accident());
        }
    }
}
