//! A child that has one table of descriptors with its parent, which keeps open what it leaves.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

use super::process::only_thread;

/// Which side of a [`fork_sharing_descriptors`] this is.
#[derive(Debug)]
pub enum ForkedSharing {
    /// The process that forked, and its child.
    Parent(SharingChild),
    /// The new process, with what was handed down to it.
    Child(Vec<OwnedFd>),
}

/// A child that has one table of descriptors with this process.
#[derive(Debug)]
pub struct SharingChild {
    pid: Pid,
    /// What was open when it was forked, and not handed down.
    before: BTreeSet<i32>,
    /// Given up for the look at what it has left: it may have used all others.
    spare: OwnedFd,
}

/// Forks this process, as [`super::fork`] does. Both have one table of descriptors from then on: what
/// one opens is open in both, what one closes is closed in both, and what the child has open when it
/// ends stays open (`CLONE_FILES` of `clone(2)`). A program that either executes has a table of its own.
///
/// What is handed down is the child's from then on.
///
/// # Errors
/// `Unsupported` if it has more than one thread, else those of `clone(2)`.
pub fn fork_sharing_descriptors(handed_down: Vec<OwnedFd>) -> io::Result<ForkedSharing> {
    only_thread()?;
    let spare = OwnedFd::from(File::open("/proc/self/fd")?);
    let mut before = open_descriptors()?;
    for descriptor in &handed_down {
        before.remove(&descriptor.as_raw_fd());
    }
    let flags = libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
    let none: libc::c_long = 0;
    // SAFETY: there is one thread, checked above, so no lock can be left held in the child. With no
    // stack given, the child goes on with a copy of this one's, as after fork(2). All that the C library
    // does beside the call, for a process with one thread, is to note the child's thread number. It keeps
    // the parent's, which it only compares with itself, as the owner of locks that no other process has:
    // to send a signal to its own thread it asks the kernel for the number.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    match i32::try_from(pid) {
        Ok(0) => {
            // It is the parent's.
            std::mem::forget(spare);
            Ok(ForkedSharing::Child(handed_down))
        }
        Ok(pid) if let Some(pid) = Pid::from_raw(pid) => {
            // The child's, which closes it, or leaves it open.
            handed_down.into_iter().for_each(std::mem::forget);
            Ok(ForkedSharing::Parent(SharingChild { pid, before, spare }))
        }
        _ => Err(io::ErrorKind::Other.into()),
    }
}

impl SharingChild {
    /// The child's process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What the child, which has ended, has left open. This process must hold nothing that it has opened
    /// since it forked.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn left_open(self) -> io::Result<Vec<OwnedFd>> {
        drop(self.spare);
        let open = open_descriptors()?;
        let left = open.difference(&self.before);
        // SAFETY: the descriptor was handed down to the child, or not open when that was forked, and this
        // process holds none that it has opened since then. So it is the child's, which has ended: nobody
        // else will close it.
        let owned = left.map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        Ok(owned.collect())
    }
}

/// The descriptors that are open in this process.
pub(crate) fn open_descriptors() -> io::Result<BTreeSet<i32>> {
    let mut open = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    // The one by which they were read is closed by now.
    // SAFETY: the call asks about a number, whatever that stands for, and changes nothing.
    open.retain(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0);
    Ok(open)
}
