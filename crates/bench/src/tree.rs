//! Process trees and their CPU time. The time is that of the process's own CPU
//! clock: all threads, also those that have ended, in nanoseconds.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// A process and all its descendants, parents before children.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents() {
        children.entry(parent).or_default().push(pid);
    }
    let mut tree = vec![root.as_raw()];
    let mut next = 0;
    while let Some(&pid) = tree.get(next) {
        tree.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    tree.into_iter().map(Pid::from_raw).collect()
}

/// Those of `pids` that run the same program file as `of`.
pub(crate) fn same_program(of: Pid, pids: &[Pid]) -> Vec<Pid> {
    let wanted = program(of);
    pids.iter()
        .copied()
        .filter(|&pid| wanted.is_some() && program(pid) == wanted)
        .collect()
}

/// The ancestors of `pids` that run this program file, each once.
pub(crate) fn ancestors_that_run(file: &Path, pids: &[Pid]) -> Vec<Pid> {
    let Some(wanted) = identity(file) else {
        return Vec::new();
    };
    let parents: HashMap<i32, i32> = parents().into_iter().collect();
    let mut found = BTreeSet::new();
    for pid in pids {
        let mut next = parents.get(&pid.as_raw());
        while let Some(&parent) = next {
            if program(Pid::from_raw(parent)) == Some(wanted) && !found.insert(parent) {
                break;
            }
            next = parents.get(&parent);
        }
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// What the processes have used together; those that have ended count nothing.
pub(crate) fn cpu_time(pids: &[Pid]) -> Duration {
    pids.iter()
        .filter_map(|&pid| clock_gettime(ClockId::pid_cpu_clock_id(pid).ok()?).ok())
        .map(Duration::from)
        .sum()
}

/// The file itself, by device and inode: the link's text changes when the file
/// is replaced during the run.
fn program(pid: Pid) -> Option<(u64, u64)> {
    identity(Path::new(&format!("/proc/{pid}/exe")))
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(file).ok()?;
    Some((file.dev(), file.ino()))
}

fn parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent_in(&stat)?))
        })
        .collect()
}

/// The name in parentheses may hold anything, also parentheses.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_parent_behind_a_strange_name() {
        assert_eq!(parent_in("42 (a) R 7 (b)) S 17 42 42 0"), Some(17));
    }

    #[test]
    fn knows_this_process_and_its_child() {
        let mut child = std::process::Command::new("sleep")
            .arg("10")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let tree = descendants(Pid::this());
        assert!(tree.contains(&pid));
        assert_eq!(same_program(Pid::this(), &[Pid::this()]), [Pid::this()]);
        assert!(cpu_time(&[Pid::this()]) > Duration::ZERO);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
