//! Ending what is left of a process tree.
//!
//! Whoever is no subreaper of them finds processes by a mark in their environment.
//!
//! A subreaper becomes the parent of every descendant whose own parent has ended. So killing all
//! its children, again and again until there are none, leaves no process of the tree behind,
//! whatever sessions or groups they have made for themselves.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal,
    test_kill_process, wait,
};

/// After so long a process that cannot be killed (it hangs in the kernel) is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often marked processes are looked for.
const LOOKS: usize = 100;

/// The children of this process.
pub fn children() -> Vec<Pid> {
    children_of(rustix::process::getpid()).unwrap_or_else(children_by_parent)
}

/// All descendants of a process, but for those whose own parent has ended. Empty where the kernel
/// does not list children.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = children_of(of).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for child in children_of(pid).unwrap_or_default() {
            // While the tree is read it changes, and numbers may come back.
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// Whether a descendant of a process was started with this variable.
pub fn descendant_has(of: Pid, variable: &str) -> bool {
    descendants(of).into_iter().any(|pid| {
        let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
        let environment = fs::read(path).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| {
            let value = entry.strip_prefix(variable.as_bytes());
            value.is_some_and(|value| value.starts_with(b"="))
        })
    })
}

/// The children of a process; `None` where the kernel does not list them.
pub fn children_of(pid: Pid) -> Option<Vec<Pid>> {
    let threads = format!("/proc/{}/task", pid.as_raw_nonzero());
    let mut children = Vec::new();
    for thread in fs::read_dir(threads).ok()?.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => children.extend(text.split_whitespace().filter_map(parse_pid)),
            // The thread has ended; its children belong to another one by now.
            Err(_) if !thread.path().exists() => {}
            Err(_) => return None,
        }
    }
    Some(children)
}

/// The same for kernels that do not list children: every process tells its parent.
fn children_by_parent() -> Vec<Pid> {
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|process| {
            let pid = parse_pid(process.file_name().to_str()?)?;
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            (rest.split_whitespace().nth(1)?.parse() == Ok(own)).then_some(pid)
        })
        .collect()
}

/// The parent of a process; `None` for one that is gone, or has none here.
pub fn parent(of: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", of.as_raw_nonzero())).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    parse_pid(rest.split_whitespace().nth(1)?)
}

/// Whether a process is stopped, by a signal or a debugger.
pub fn is_suspended(pid: Pid) -> bool {
    state(pid).is_some_and(|state| ['T', 't'].contains(&state))
}

/// Whether a process has ended, though its parent may not have noticed yet.
pub fn has_ended(pid: Pid) -> bool {
    let is_gone = test_kill_process(pid) == Err(Errno::SRCH);
    is_gone || state(pid).is_some_and(|state| ['Z', 'X'].contains(&state))
}

/// The letter for a process's state in `proc_pid_stat(5)`; `None` if there is no such process.
fn state(pid: Pid) -> Option<char> {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(path).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// Kills all processes of this machine in whose environment an entry is a mark, as far as this
/// user may.
pub fn kill_marked(is_mark: impl Fn(&[u8]) -> bool) {
    let is_marked = |environment: &[u8]| environment.split(|byte| *byte == 0).any(&is_mark);
    // Those that are started meanwhile are found by looking again.
    for _ in 0..LOOKS {
        let mut found = false;
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(parse_pid) else {
                continue;
            };
            // Opened first: what is read then is the environment of the one that is killed, or of
            // none.
            let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if is_marked(&environment) {
                found |= pidfd_send_signal(handle, Signal::KILL).is_ok();
            }
        }
        if !found {
            return;
        }
    }
}

/// Kills all descendants of this process, and waits for their end.
pub fn kill_all() {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for child in children() {
            // One that has ended in the meantime is waited for below.
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Errno::CHILD) => return,
                Err(_) => break,
            }
        }
        // The killed take a moment to end, and their children to become ours.
        std::thread::yield_now();
    }
}
