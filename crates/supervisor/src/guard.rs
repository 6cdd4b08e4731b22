//! The guard: a tiny process above the supervisor.
//!
//! It is the process that the user has started. It passes signals on to the supervisor, reaps
//! orphans (as process 1 of a container must), and sees to it that nothing of the app is left
//! when the supervisor ends, even by SIGKILL: as outer subreaper it becomes the parent of all
//! that remains. The supervisor in turn watches the guard, and ends the app when that is gone.
//! Only when both are killed in the same moment nobody is left to tidy up; then the workers still
//! end by their parent-death signal, but what they have started themselves is ended only by the
//! next start (`runtime_folder`).

use std::path::Path;

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use sys::Forked;

use config::signal_name;
use home::runtime_folder;
use process::cgroup::Branch;
use process::tree;

/// Splits this process in two. The guard's half does not return; the supervisor's half does. When
/// the supervisor was killed, the guard says so.
///
/// # Errors
/// If the kernel refuses.
pub fn split(folder: &Path, branch: Option<&Branch>, say: impl Fn(&str)) -> anyhow::Result<()> {
    sys::block_signals().context("blocking signals")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("becoming subreaper")?;
    match sys::fork().context("starting the supervisor")? {
        Forked::Child => {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .context("becoming subreaper")?;
            Ok(())
        }
        Forked::Parent(supervisor) => sys::exit_now(watch(supervisor, folder, branch, say)),
    }
}

/// Watches over the supervisor until it ends; the exit code to end with.
fn watch(supervisor: Pid, folder: &Path, branch: Option<&Branch>, say: impl Fn(&str)) -> i32 {
    let code = loop {
        let Ok(arrived) = sys::next_signal() else {
            continue;
        };
        match arrived.signal {
            Signal::CHILD => {
                if let Some(code) = reap(supervisor, &say) {
                    break code;
                }
            }
            // What the terminal sends has reached the supervisor too.
            _ if arrived.by_kernel => {}
            Signal::CONT | Signal::PIPE => {}
            signal => {
                // If it has just ended, the next signal is its end.
                let _ = kill_process(supervisor, signal);
            }
        }
    };
    tree::kill_all();
    // The supervisor removes both; one that was killed could not.
    if let (Some(branch), Some(name)) = (branch, folder.file_name()) {
        branch.remove_groups_of(&name.to_string_lossy());
    }
    runtime_folder::remove(folder);
    code
}

/// Reaps whatever has ended; the exit code if the supervisor is among it.
fn reap(supervisor: Pid, say: impl Fn(&str)) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid != supervisor {
            continue;
        }
        code = Some(match status.exit_status() {
            Some(code) => code,
            None => {
                let signal = status.terminating_signal().unwrap_or(0);
                say(&format!(
                    "maitred: the supervisor was killed by {}; its workers are ended with it",
                    signal_name(signal)
                ));
                128 + signal
            }
        });
    }
    code
}
