//! `max_memory_restart`: how much memory an instance uses, with all processes that it has
//! started.
//!
//! What counts for the instance's own process is its resident set (RSS), as with pm2 and in
//! `ls`. For a process with descendants the sum of resident sets would count shared pages many
//! times; so if that sum is above the limit, the proportional shares (PSS) decide. The cheap
//! figure comes first: one or two short files of `/proc` for each process.
//!
//! For the supervisor: once every [`INTERVAL`], only if there is a limit, [`excess`] for each
//! instance that runs; an instance that is over it is reloaded.
//!
//! The figure is the same where the instance has a control group ([`crate::cgroup`]): that only
//! tells which processes count. What the kernel has counted for a group is another figure. The page
//! cache is in it, which grows with every file that is read and is given up when somebody needs the
//! memory; so are sockets' buffers. Shared program text counts for whichever group came first. A
//! limit would mean one thing where an app was started by the machine and another where it was
//! started by hand, and neither what `ls` shows.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;

/// How often it is looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How much memory an instance uses, in bytes, if that is more than `limit`.
///
/// `others` lists further processes that count, and may list the instance's own too.
pub fn excess(instance: Pid, others: impl FnOnce() -> Vec<Pid>, limit: u64) -> Option<u64> {
    let own = resident_of(instance)?;
    if own > limit {
        return Some(own);
    }
    let mut others = others();
    others.retain(|pid| *pid != instance);
    if others.is_empty() {
        return None;
    }
    let all = others.iter().copied().chain([instance]);
    let resident: u64 = all.clone().filter_map(resident_of).sum();
    if resident <= limit {
        return None;
    }
    // Of a process that does not show its shares, nothing is taken for shared.
    let shares: u64 = all
        .filter_map(|pid| share_of(pid).or_else(|| resident_of(pid)))
        .sum();
    (shares > limit).then_some(shares)
}

/// From `/proc/<pid>/statm`: all pages, resident ones, and others, see proc_pid_statm(5).
fn resident_of(pid: Pid) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero())).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page)
}

/// From `/proc/<pid>/smaps_rollup`: a line `Pss:  1234 kB`.
fn share_of(pid: Pid) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::tree;

    const MB: u64 = 1024 * 1024;

    /// The resident sets of an instance and its descendants, in bytes; 0 if it is gone.
    fn resident(instance: Pid) -> u64 {
        let descendants = tree::descendants(instance);
        let all = descendants.into_iter().chain([instance]);
        all.filter_map(resident_of).sum()
    }

    fn used_by(instance: Pid, limit: u64) -> Option<u64> {
        excess(instance, || tree::descendants(instance), limit)
    }

    /// A program that has got hold of memory, and has said so.
    struct Program(Child);

    impl Program {
        fn start(python: &str) -> Self {
            let mut child = Command::new("python3")
                .args(["-c", python])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            Self(child)
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            // They end with their standard input.
            if let Some(mut input) = self.0.stdin.take() {
                let _ = input.write_all(b"\n");
            }
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_of_its_own_counts_in_full() {
        let program = Program::start(
            "import sys; x = b'x' * (80 << 20); print('ready', flush=True); sys.stdin.read()",
        );
        let used = used_by(program.pid(), 60 * MB).unwrap();
        assert!((80 * MB..140 * MB).contains(&used), "{used}");
        assert_eq!(used_by(program.pid(), 300 * MB), None);
        assert!(resident(program.pid()) >= 80 * MB);
    }

    #[test]
    fn what_children_share_counts_once_and_what_they_own_counts_too() {
        let shared = Program::start(
            "import os, sys\n\
             x = b'x' * (60 << 20)\n\
             for _ in range(3):\n    \
                 if os.fork() == 0: sys.stdin.read(); os._exit(0)\n\
             print('ready', flush=True); sys.stdin.read()",
        );
        assert!(resident(shared.pid()) > 150 * MB);
        assert_eq!(used_by(shared.pid(), 150 * MB), None);
        let owned = Program::start(
            "import os, sys\n\
             r, w = os.pipe()\n\
             if os.fork() == 0:\n    \
                 x = b'x' * (80 << 20); os.write(w, b'x'); sys.stdin.read(); os._exit(0)\n\
             os.read(r, 1); print('ready', flush=True); sys.stdin.read()",
        );
        assert!(used_by(owned.pid(), 60 * MB).unwrap() > 80 * MB);
    }

    #[test]
    fn who_is_gone_uses_nothing() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert_eq!(used_by(pid, 0), None);
        assert_eq!(resident(pid), 0);
    }
}
