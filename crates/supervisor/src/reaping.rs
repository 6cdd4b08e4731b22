//! Children that have ended: instances, and what they have left behind.

use std::time::Duration;

use home::Exit;
use process::usage;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use super::Supervisor;

impl Supervisor {
    /// Takes note of every child that has ended; a subreaper has more children than the instances.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(ended)) = sys::ended_child() {
            let pid = ended.as_raw_nonzero().get();
            self.count_cpu(pid, usage::cpu_time(pid));
            let Ok(Some((pid, status))) = waitpid(Some(ended), WaitOptions::NOHANG) else {
                return;
            };
            let Some(status) = final_status(status) else {
                continue;
            };
            self.is_gone(pid, status);
        }
        self.ask_orphans();
        self.strays.remove_groups();
    }

    /// A process that was ours has ended.
    pub(super) fn is_gone(&mut self, pid: Pid, status: Exit) {
        // What it did before it ended was told before it was answered: that it listened counts, also
        // of one that ended a moment later.
        self.hear_notices();
        let is_check =
            self.checks.commands.ended(pid, status) || self.takeover.trial_ended(pid, status);
        if let Some(of) = self.strays.ended(pid) {
            // Its own children are ours now.
            if let Some((instance, run)) = of {
                self.ask_what_is_left_of(instance, run);
            }
        } else if !is_check {
            self.exited(pid, status);
        }
    }

    /// Counts the processor time of an instance's process that has ended.
    pub(super) fn count_cpu(&mut self, pid: i32, time: Option<Duration>) {
        if let Some((instance, _)) = self.instances.run_with(pid)
            && let Some(time) = time
        {
            self.reports.tally.spent(instance, time);
        }
    }
}

pub(super) fn final_status(status: WaitStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (_, Some(signal)) => Some(Exit::Signal(signal)),
        (None, None) => None,
    }
}
