//! The group of one run of an instance.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::make;

/// A group, whose memory is bounded. All that the first process in it starts is in it, also what
/// detaches itself. It is removed when it is dropped, unless a process is in it then.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    bound: u64,
}

impl Group {
    pub(super) fn make(path: PathBuf, bound: u64) -> io::Result<Self> {
        make(&path)?;
        let group = Self { path, bound };
        group.set(bound)?;
        Ok(group)
    }

    fn set(&self, bound: u64) -> io::Result<()> {
        fs::write(self.path.join("memory.max"), bound.to_string())?;
        // What does not fit must not fill the swap space instead. Not every kernel counts that.
        let _ = fs::write(self.path.join("memory.swap.max"), bound.to_string());
        // An instance of which a part is missing is of no use: all or nothing is killed.
        fs::write(self.path.join("memory.oom.group"), "1")
    }

    /// How much memory, in bytes, its processes may have together.
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// What a process has to write "0" to for coming into the group.
    ///
    /// # Errors
    /// If the group is gone.
    pub fn entrance(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .open(self.path.join("cgroup.procs"))
    }

    /// All processes in it, and in groups that they have made below it.
    pub fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        processes_in(&self.path, &mut found);
        found
    }

    /// Whether the kernel has killed processes of it because it had come to its bound.
    pub fn was_killed(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events"));
        events.is_ok_and(|events| killed(&events) > 0)
    }

    /// Removes it; whether it is gone. That cannot be as long as a process is in it.
    pub fn remove(&self) -> bool {
        let removed = fs::remove_dir(&self.path);
        removed.is_ok() || !self.path.exists()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

fn processes_in(group: &Path, found: &mut Vec<Pid>) {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(pids(&listed));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes_in(&entry.path(), found);
        }
    }
}

/// A process of another pid namespace is listed as 0.
fn pids(listed: &str) -> impl Iterator<Item = Pid> {
    let numbers = listed.lines().filter_map(|line| line.parse().ok());
    numbers.filter_map(Pid::from_raw)
}

/// How many processes the kernel has killed, in the words of `memory.events`.
fn killed(events: &str) -> u64 {
    let count = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_killed_is_read() {
        let events = "low 0\nhigh 0\nmax 24\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(killed(events), 3);
        for nothing in ["", "oom_kill 0\n", "oom_kill x\n", "oom_kill_more 4\n"] {
            assert_eq!(killed(nothing), 0, "{nothing}");
        }
    }

    #[test]
    fn processes_are_found_in_all_groups_below() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for (group, listed) in [("", "10\n11\n"), ("a", ""), ("a/b", "0\n12\n")] {
            fs::write(folder.path().join(group).join("cgroup.procs"), listed).unwrap();
        }
        let mut found = Vec::new();
        processes_in(folder.path(), &mut found);
        let found: Vec<_> = found.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        assert_eq!(found, [10, 11, 12]);
    }

    /// In a folder that is no control group files are made by writing to them.
    #[test]
    fn a_group_is_bounded_and_dies_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group");
        let group = Group::make(path.clone(), 4096).unwrap();
        for (file, expected) in [
            ("memory.max", "4096"),
            ("memory.swap.max", "4096"),
            ("memory.oom.group", "1"),
        ] {
            let seen = fs::read_to_string(path.join(file)).unwrap();
            assert_eq!(seen, expected, "{file}");
        }
        assert_eq!(group.bound(), 4096);
        assert!(!group.was_killed());
    }
}
