//! An end for calls that somebody else can make wait.
//!
//! The last `close` of a socket with SO_LINGER waits until the other side has taken everything, and
//! whoever had the socket before decides how long that may be, blocking or not. A descriptor that
//! comes with a message and finds no room is closed in the same way within `recvmsg`. No flag
//! forbids that. A signal ends it: what waits in such a call goes on at once.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// By default it is ignored, so that one that comes too late is no harm anywhere.
const SIGNAL: libc::c_int = libc::SIGURG;

/// Interrupts what the thread that made it waits in, when its time has come.
#[derive(Debug)]
pub struct Alarm(libc::timer_t);

// SAFETY: a timer's number means the same in all threads of a process.
unsafe impl Send for Alarm {}

extern "C" fn nothing(_: libc::c_int) {}

impl Alarm {
    /// An alarm of this thread. It is not set.
    ///
    /// # Errors
    /// Those of `sigaction(2)`, `pthread_sigmask(3)` and `timer_create(2)`.
    pub fn of_this_thread() -> io::Result<Self> {
        let mut signals = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set, and sigaddset changes it. An action of zeros is
        // one: no flags, so that calls are not begun anew, and an empty mask. The handler does
        // nothing, and may run anywhere.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            check(libc::sigaction(SIGNAL, &action, std::ptr::null_mut()))?;
            libc::sigemptyset(signals.as_mut_ptr());
            libc::sigaddset(signals.as_mut_ptr(), SIGNAL);
            let result =
                libc::pthread_sigmask(libc::SIG_UNBLOCK, signals.as_ptr(), std::ptr::null_mut());
            if result != 0 {
                return Err(io::Error::from_raw_os_error(result));
            }
        }
        let mut timer = MaybeUninit::uninit();
        // SAFETY: an event of zeros is valid, the kernel reads it, and writes the timer's number.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
            let clock = libc::CLOCK_MONOTONIC;
            check(libc::timer_create(clock, &mut event, timer.as_mut_ptr()))?;
            Ok(Self(timer.assume_init()))
        }
    }

    /// Lets it ring after this time, and again after the same until it is set anew.
    pub fn set(&self, after: Duration) {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: time,
            it_value: time,
        };
        // SAFETY: the timer exists as long as this does, and the kernel reads the times. Of valid
        // ones this cannot fail.
        let _ = unsafe { libc::timer_settime(self.0, 0, &times, std::ptr::null_mut()) };
    }

    /// It does not ring.
    pub fn stop(&self) {
        self.set(Duration::ZERO);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: the timer was made by `of_this_thread`, and nobody else deletes it.
        let _ = unsafe { libc::timer_delete(self.0) };
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    use rustix::net::sockopt;

    use super::*;

    /// As long as whoever had such a socket likes.
    const LINGER: Duration = Duration::from_secs(3600);

    /// A socket whose last close waits, with its other side, which reads nothing.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut full = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        full.set_nonblocking(true).unwrap();
        while full.write(&[0; 65536]).is_ok() {}
        sockopt::set_socket_linger(&full, Some(LINGER)).unwrap();
        (full, listener.accept().unwrap().0)
    }

    #[test]
    fn what_others_can_make_wait_comes_to_an_end() {
        let alarm = Alarm::of_this_thread().unwrap();
        let begun = Instant::now();
        alarm.set(Duration::from_millis(1));
        let (full, _peer) = lingering();
        drop(full);
        // One that comes with a message and finds no room.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let _peers: Vec<_> = (0..3)
            .map(|_| {
                let (full, peer) = lingering();
                crate::send(theirs.as_fd(), b"x", Some(full.as_fd())).unwrap();
                peer
            })
            .collect();
        ours.recv(&mut [0; 8]).unwrap();
        // And those that lie in a socket which is closed.
        drop(ours);
        alarm.stop();
        assert!(begun.elapsed() < LINGER);
    }
}
