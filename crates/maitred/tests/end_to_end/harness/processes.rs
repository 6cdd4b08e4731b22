//! Looks at the processes of this machine, through /proc.

use std::fs;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process that is alive; a zombie has left already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Tells a process from a later one with the same number.
    started: u64,
    pub(crate) command: String,
}

impl Process {
    pub(crate) fn find(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything, brackets and spaces too.
        let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let started = fields.nth(18)?.parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Process {
            pid,
            started,
            command,
        })
    }

    /// Whether all its threads sleep, or it has ended.
    pub(super) fn is_at_rest(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid));
        threads.into_iter().flatten().flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().unwrap_or_default();
            !state.starts_with(['R', 'D'])
        })
    }

    /// How often its first thread was put on a processor, or `None` if it has ended.
    pub(crate) fn times_run(&self) -> Option<u64> {
        let path = format!("/proc/{0}/task/{0}/schedstat", self.pid);
        let text = fs::read_to_string(path).ok()?;
        text.split_ascii_whitespace().nth(2)?.parse().ok()
    }

    pub(crate) fn is_alive(&self) -> bool {
        Process::find(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All living processes whose environment held `NAME=value` when they started. Those of other
/// users do not show theirs, and are not ours.
pub(super) fn with_environment(entry: &str) -> Vec<Process> {
    let mut found = Vec::new();
    for folder in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = folder.file_name().to_string_lossy().parse() else {
            continue;
        };
        let Ok(environment) = fs::read(folder.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|line| line == entry.as_bytes())
        {
            found.extend(Process::find(pid));
        }
    }
    found
}

pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return children;
    };
    for thread in threads.flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(
            list.split_whitespace()
                .map(|pid| pid.parse::<i32>().unwrap()),
        );
    }
    children
}

/// The whole tree below a process, without the process itself.
pub(crate) fn descendants_of(pid: i32) -> Vec<Process> {
    let mut found = Vec::new();
    for child in children_of(pid) {
        found.extend(Process::find(child));
        found.extend(descendants_of(child));
    }
    found
}

/// Waits until all of them have ended. Returns those that have not, by then.
pub(crate) fn gone_within(limit: Duration, processes: &[Process]) -> Vec<Process> {
    let deadline = Instant::now() + limit;
    for process in processes {
        let Some(pid) = Pid::from_raw(process.pid) else {
            continue;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        // Only now is it sure that the handle is that of the process meant.
        if !process.is_alive() {
            continue;
        }
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)).unwrap();
    }
    processes
        .iter()
        .filter(|process| process.is_alive())
        .cloned()
        .collect()
}
