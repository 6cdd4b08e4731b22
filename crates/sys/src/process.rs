//! Processes: fork, and what a child sets up before it becomes another program.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::tied::tie_this_group;

/// Which side of a [`fork`] this is.
#[derive(Debug)]
pub enum Forked {
    /// The process that forked, and its child.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks this process.
///
/// # Errors
/// `Unsupported` if it has more than one thread, else those of `fork(2)`.
pub fn fork() -> io::Result<Forked> {
    only_thread()?;
    // SAFETY: there is one thread, checked above, so no lock can be left held in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok(Forked::Parent(pid)),
            None => Err(io::ErrorKind::Other.into()),
        },
    }
}

/// Makes sure that this process has no other thread; one that ends is waited for.
///
/// # Errors
/// `Unsupported` if it has.
pub(crate) fn only_thread() -> io::Result<()> {
    /// A thread that was waited for is there for a moment still, on a busy machine for longer.
    const LOOKS: u32 = 1000;
    for _ in 0..LOOKS {
        let threads = std::fs::read_dir("/proc/self/task");
        if threads.is_ok_and(|threads| threads.count() > 1) {
            std::thread::sleep(Duration::from_millis(1));
        } else {
            return Ok(());
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether descriptors of two processes are the same open file.
///
/// # Errors
/// Those of `kcmp(2)`: one of them is not there, may not be looked at, or a sandbox forbids it.
pub fn is_same_file(one: (i32, i32), other: (i32, i32)) -> io::Result<bool> {
    const KCMP_FILE: libc::c_long = 0;
    // SAFETY: the call reads and writes no memory of ours.
    let result =
        unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_FILE, one.1, other.1) };
    match result {
        0 => Ok(true),
        error if error < 0 => Err(io::Error::last_os_error()),
        _ => Ok(false),
    }
}

/// The processor time that a process has used, with all its threads, also those that have ended:
/// the reading of its CPU clock (`clock_getcpuclockid(3)`).
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: Pid) -> io::Result<Duration> {
    /// No kernel has larger PIDs (`PID_MAX_LIMIT`). A clock's number has room for few more: of what
    /// is beyond, it would be the clock of another process.
    const LARGEST: i32 = 1 << 22;
    if pid.as_raw_nonzero().get() > LARGEST {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let mut clock = 0;
    // SAFETY: the pointer is to a live clockid_t, which the call fills in.
    match unsafe { libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), &raw mut clock) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec; a clock that has gone is an error.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    Ok(seconds + Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0)))
}

/// A child that has ended and has not been waited for yet, if there is one: what `/proc` and its CPU clock
/// tell of it can still be read.
///
/// # Errors
/// If this process has no children.
pub fn ended_child() -> io::Result<Option<Pid>> {
    // SAFETY: all bytes zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to a live siginfo_t, which the call fills in.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid has filled in the fields of a child, or left zeros where there is none.
    Ok(Pid::from_raw(unsafe { info.si_pid() }))
}

/// Ends the process at once, without running anything else of it.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes a number, and does not return.
    unsafe { libc::_exit(code) }
}

/// What a child does before it becomes another program.
#[derive(Debug, Default)]
pub struct ChildSetup {
    /// The `cgroup.procs` of the control group that it is to be in, if not ours.
    pub control_group: Option<OwnedFd>,
    /// Its soft limit of open descriptors, if not ours.
    pub descriptors: Option<u64>,
    /// Whether it begins a process group of its own.
    pub own_group: bool,
    /// Whose rights it has, if not ours.
    pub identity: Option<Identity>,
    /// The path of the [`crate::Tie`] that its process group ends with, instead of ending itself with the
    /// thread that starts it.
    pub tied_to: Option<String>,
}

/// The rights of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The user's first group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Takes these rights, and gives up our own.
    fn assume(&self) -> io::Result<()> {
        let check = |result: libc::c_int| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: the kernel reads as many groups as the slice holds; the other calls take numbers.
        // The libc's versions are meant for whole processes, but there is one thread here.
        unsafe {
            check(libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            check(libc::setresgid(self.gid, self.gid, self.gid))?;
            check(libc::setresuid(self.uid, self.uid, self.uid))
        }
    }
}

/// Lets the command begin a session of its own, away from the terminal, with all signals as a program
/// expects to find them, and with no descriptors but the first three: what it would keep open is
/// meant for this process, a lock of a script for instance.
pub fn set_up_daemon(command: &mut Command) {
    let before_exec = || {
        rustix::process::setsid()?;
        // They are closed by the exec, and not before: it may fail, and that has to be told. A
        // sandbox that does not know the call leaves them open, which is no reason not to start.
        // SAFETY: the call takes numbers; it changes flags of descriptors, and closes none.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3 as libc::c_uint,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
        }
        crate::signals::restore_all();
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated, and no
    // lock is taken that another thread might hold.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Lets the command's child end together with the thread that starts it, or with what it is tied to, with
/// signals as a program expects to find them.
pub fn set_up_child(command: &mut Command, setup: ChildSetup) {
    let before_exec = move || {
        if let Some(processes) = &setup.control_group {
            // With our rights, and before there is anything that it could leave outside.
            rustix::io::write(processes, b"0")?;
        }
        if setup.own_group {
            rustix::process::setpgid(None, None)?;
        }
        // With our rights, too: another user may not open the pipe. Where that fails, it ends with its parent.
        let path = setup.tied_to.as_ref().filter(|_| setup.own_group);
        let is_tied = path.is_some_and(|path| tie_this_group(path).is_ok());
        if let Some(identity) = &setup.identity {
            // Now: the kernel forgets the signal below when rights change.
            identity.assume()?;
        }
        if !is_tied {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        }
        if let Some(soft) = setup.descriptors {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
            let hard = getrlimit(Resource::Nofile).maximum;
            setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(soft),
                    maximum: hard,
                },
            )?;
        }
        crate::signals::restore();
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated, and no
    // lock is taken that another thread might hold.
    unsafe {
        command.pre_exec(before_exec);
    }
}
