//! What instances have left behind: processes that have detached themselves from them, and control groups in
//! which something still runs.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::instance::RunId;
use process::cgroup::Group;
use telemetry::ids::Instance;

/// A process without a parent of its own that is to end.
#[derive(Debug)]
struct Orphan {
    pid: Pid,
    kill_at: Option<Duration>,
    /// The run that has left it behind: an instance's number, and a process of it.
    of: Option<(Instance, RunId)>,
}

/// All that was left behind.
#[derive(Debug, Default)]
pub(super) struct Strays {
    orphans: Vec<Orphan>,
    /// Control groups of processes that have ended, in which something still runs.
    groups: Vec<Group>,
}

impl Strays {
    /// Asks a process to end, if it was not asked before. It is killed at this time.
    pub(super) fn ask(&mut self, pid: Pid, kill_at: Duration, of: Option<(Instance, RunId)>) {
        if self.orphans.iter().all(|orphan| orphan.pid != pid) {
            let kill_at = Some(kill_at);
            self.orphans.push(Orphan { pid, kill_at, of });
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Whether a process that was asked to end still runs.
    pub(super) fn any_runs(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// A child has ended. If it is one of these, the run that has left it behind, where that is known.
    pub(super) fn ended(&mut self, pid: Pid) -> Option<Option<(Instance, RunId)>> {
        let at = self.orphans.iter().position(|orphan| orphan.pid == pid)?;
        Some(self.orphans.swap_remove(at).of)
    }

    /// When to kill the next one.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let times = self.orphans.iter().map(|orphan| orphan.kill_at);
        times.flatten().min()
    }

    /// Kills those whose time is up.
    pub(super) fn kill_due(&mut self, now: Duration) {
        for orphan in &mut self.orphans {
            if orphan.kill_at.take_if(|at| *at <= now).is_some() {
                let _ = kill_process(orphan.pid, Signal::KILL);
            }
        }
    }

    /// All processes have been killed.
    pub(super) fn forget(&mut self) {
        self.orphans.clear();
    }

    /// Removes the group of a process that has ended, now or when nothing runs in it any more.
    pub(super) fn leave(&mut self, group: Option<Group>) {
        self.groups.extend(group.filter(|group| !group.remove()));
    }

    /// Removes the groups in which nothing runs any more.
    pub(super) fn remove_groups(&mut self) {
        self.groups.retain(|group| !group.remove());
    }
}
