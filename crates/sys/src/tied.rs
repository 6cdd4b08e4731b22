//! A process group that ends with the process that holds it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getpid, setpgid};

/// Chooses the signal that tells of a descriptor (`fcntl(2)`): the same number wherever Linux runs.
const F_SETSIG: libc::c_int = 10;

/// Lets the command's child lead a process group of its own, all of which the kernel kills when the
/// descriptor that is returned is closed: by us, or because we have ended, in whatever way.
///
/// It is the write end of a pipe. The child has the read end, and has asked for SIGKILL to its
/// group when there is something to be read (`F_SETSIG`, `O_ASYNC`), which the end of the last
/// writer is. A parent-death signal would reach the child alone, and not what it has started.
/// Once the child has ended, or closes the read end, the group is tied no more.
///
/// # Errors
/// If there can be no pipe.
pub fn tie_group(command: &mut Command) -> io::Result<OwnedFd> {
    let (read, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    let before_exec = move || {
        setpgid(None, None)?;
        fcntl_setfd(&read, FdFlags::empty())?;
        // The child itself holds the write end until exec closes it. So if we have gone already,
        // the signal comes then, and not never.
        ask_for_kill(read.as_fd())
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated, and no
    // lock is taken that another thread might hold.
    unsafe {
        command.pre_exec(before_exec);
    }
    Ok(hold)
}

/// What ends process groups when the processes that hold it have ended, and their descriptors with them:
/// one pipe for any number of groups.
#[derive(Debug)]
pub struct Tie {
    /// Where each group opens its own read end.
    read: OwnedFd,
    /// Held, not used: its end is the signal.
    hold: OwnedFd,
}

impl Tie {
    /// Nothing is tied yet.
    ///
    /// # Errors
    /// If there can be no pipe.
    pub fn new() -> io::Result<Self> {
        let (read, hold) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { read, hold })
    }

    /// One that another program has made, whose place this one has taken: the end to open, and the one to hold.
    pub fn of([read, hold]: [OwnedFd; 2]) -> Self {
        Self { read, hold }
    }

    /// Its descriptors, in this order.
    pub fn descriptors(&self) -> [i32; 2] {
        [self.read.as_raw_fd(), self.hold.as_raw_fd()]
    }

    /// A path at which a child of this process opens the pipe anew: who is told of it is a matter of each
    /// open file.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.read.as_raw_fd())
    }
}

/// Lets the kernel kill the group of this process when the tie at this path is gone. What it has opened for
/// that stays open in the program that this process becomes.
pub(crate) fn tie_this_group(path: &str) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let pipe = rustix::fs::open(path, flags, Mode::empty())?;
    ask_for_kill(pipe.as_fd())?;
    std::mem::forget(pipe);
    Ok(())
}

/// Asks for SIGKILL to the group that this process leads when the pipe can be read.
fn ask_for_kill(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let group = -getpid().as_raw_nonzero().get();
    let settings = [
        (F_SETSIG, libc::SIGKILL),
        (libc::F_SETOWN, group),
        (libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK),
    ];
    for (what, value) in settings {
        // SAFETY: all of these take a number, and the descriptor is open.
        if unsafe { libc::fcntl(pipe.as_raw_fd(), what, value) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
