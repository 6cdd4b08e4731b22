//! Control groups (cgroup v2): a bound for the memory of each instance that has a limit, held by
//! the kernel, where a branch of the tree has been made over to us.
//!
//! ```text
//!  the branch (systemd's unit with Delegate=yes)        no process; memory is divided here
//!    ├─ maitred                                         commands, guards, supervisors, and all
//!    │                                                  workers without a limit
//!    ├─ maitred-5f0c….0.1                               the processes of one run of an instance
//!    └─ maitred-5f0c….1.4
//! ```
//!
//! The kernel divides memory only below a group that has no processes of its own. So whoever of us
//! finds itself in the branch's root makes room first, commands too, for a supervisor starts where
//! its command is. The names of instances' groups begin with that of the supervisor's private
//! folder, so that supervisors share a branch without knowing of each other.
//!
//! Whose branch it is is asked, not guessed: systemd marks what it has made over with an extended
//! attribute. That a group may be written to says nothing, for root may always. Where there is no
//! such branch, nothing of this is done, and limits are kept by looking alone.
//!
//! Sources: the kernel's `Documentation/admin-guide/cgroup-v2.rst`; systemd's
//! `CGROUP_DELEGATION.md` for the attributes.

mod bound;
mod group;
mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use bound::bound_of;
pub use group::Group;

/// Where those of us are that are no worker with a limit. Groups of workers are called this, a
/// hyphen, and more.
const OURS: &str = "maitred";

/// What systemd calls the group of commands that it runs for a unit whose branch is made over.
const OF_SYSTEMD: &str = ".control";

/// A branch of the tree that is ours, in which groups with bounds can be made.
#[derive(Clone, Debug)]
pub struct Branch {
    root: PathBuf,
}

impl Branch {
    /// The branch that this process is in, if there is one and the kernel divides memory in it.
    ///
    /// Moves this process out of its root.
    pub fn claim() -> Option<Self> {
        let own = place::own(
            &fs::read_to_string("/proc/self/cgroup").ok()?,
            &fs::read_to_string("/proc/self/mountinfo").ok()?,
        )?;
        let branch = Self {
            root: place::root(&own, is_made_over)?,
        };
        branch.settle(&own).ok()?;
        Some(branch)
    }

    fn settle(&self, own: &Path) -> io::Result<()> {
        // A branch that comes without the memory's controller is left as it is.
        let controllers = fs::read_to_string(self.root.join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let ours = self.root.join(OURS);
        if own != ours {
            make(&ours)?;
            fs::write(ours.join("cgroup.procs"), "0")?;
        }
        fs::write(self.root.join("cgroup.subtree_control"), "+memory")
    }

    /// Makes the group of one run of an instance, whose memory is bounded.
    ///
    /// # Errors
    /// If the kernel does not let us.
    pub fn group(&self, name: &str, bound: u64) -> io::Result<Group> {
        Group::make(self.root.join(name), bound)
    }

    /// Removes the groups of a supervisor that could not do so itself.
    pub fn remove_groups_of(&self, supervisor: &str) {
        let of_it = format!("{supervisor}.");
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&of_it) {
                // One in which a process hangs stays.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Whether systemd has marked a group as made over to who is in it (since version 251 for
/// everybody; before that so that root alone sees it).
fn is_made_over(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(group, *name, &mut value);
        length.is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

/// Makes a group, unless it is there.
fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_settled_only_where_memory_is_divided() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let branch = Branch { root: root.clone() };
        fs::write(root.join("cgroup.controllers"), "cpu pids\n").unwrap();
        assert!(branch.settle(&root).is_err());
        assert!(!root.join(OURS).exists());

        fs::write(root.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        branch.settle(&root).unwrap();
        let written = |file| fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(written("maitred/cgroup.procs"), "0");
        assert_eq!(written("cgroup.subtree_control"), "+memory");
        // Who is there already stays.
        fs::write(root.join("maitred/cgroup.procs"), "").unwrap();
        branch.settle(&root.join(OURS)).unwrap();
        assert_eq!(written("maitred/cgroup.procs"), "");
    }

    #[test]
    fn only_the_groups_of_one_supervisor_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for name in [
            "maitred",
            "maitred-0a.0.1",
            "maitred-0a.1.2",
            "maitred-0ab.0.1",
        ] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let branch = Branch { root: root.clone() };
        branch.remove_groups_of("maitred-0a");
        let mut left: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["maitred", "maitred-0ab.0.1"]);
    }
}
