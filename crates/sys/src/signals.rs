//! Signals, waited for instead of handled.

use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use rustix::process::Signal;

/// A signal that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Signalled {
    /// Which.
    pub signal: Signal,
    /// Whether the kernel sent it, as it does to all processes of a terminal, not a process.
    pub by_kernel: bool,
}

/// The signals a supervisor or guard wants to know of.
const WANTED: [Signal; 10] = [
    Signal::INT,
    Signal::TERM,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CONT,
    Signal::CHILD,
    Signal::PIPE,
];

fn wanted() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset changes an initialised one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in WANTED {
            libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
        }
        set.assume_init()
    }
}

/// Blocks the signals of interest in this thread and those that it starts, so that
/// [`next_signal`] gets them. One that was ignored when the program began (`nohup`) stays so.
///
/// # Errors
/// Those of `sigprocmask(2)`.
pub fn block_signals() -> io::Result<()> {
    let set = wanted();
    // SAFETY: reads the set; the old one is not asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

/// Waits for the next signal.
///
/// # Errors
/// Those of `sigwaitinfo(2)`, but for interruption.
pub fn next_signal() -> io::Result<Signalled> {
    loop {
        if let Some(signalled) = wait_for_signal(None)? {
            return Ok(signalled);
        }
    }
}

/// Waits for the next signal, for so long at the most.
///
/// # Errors
/// Those of `sigtimedwait(2)`, but for interruption.
pub fn next_signal_within(time: Duration) -> io::Result<Option<Signalled>> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let signalled = wait_for_signal(Some(left))?;
        if signalled.is_some() || left.is_zero() {
            return Ok(signalled);
        }
    }
}

/// `None` if the wait was interrupted or took too long.
fn wait_for_signal(time: Option<Duration>) -> io::Result<Option<Signalled>> {
    let set = wanted();
    let time = time.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: reads the set and, if there is one, the time, and writes a siginfo_t.
    let number = unsafe { libc::sigtimedwait(&set, info.as_mut_ptr(), time) };
    if number < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: the call succeeded, so it has written the structure.
    let info = unsafe { info.assume_init() };
    let signal = Signal::from_named_raw(number);
    Ok(signal.map(|signal| Signalled {
        signal,
        by_kernel: info.si_code == libc::SI_KERNEL,
    }))
}

/// In a child before exec: no signal is blocked, a broken pipe ends the program, as a program
/// expects to find it, and so do the signals by which it is asked to end: a shell lets what it runs
/// in the background ignore them.
pub(crate) fn restore() {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised before it is read; SIG_DFL is a valid disposition; all of
    // these may be called between fork and exec.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// The same for a program that does not belong to whoever starts it: a signal that this process
/// ignores, as in the background of a shell, is not ignored there.
pub(crate) fn restore_all() {
    restore();
    for signal in WANTED {
        // SAFETY: SIG_DFL is a valid disposition, and the call may be made between fork and exec.
        unsafe {
            libc::signal(signal.as_raw(), libc::SIG_DFL);
        }
    }
}
