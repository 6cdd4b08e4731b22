//! Whether a worker's loop waits for work: `/proc/<pid>/task/<tid>/syscall`.
//!
//! The file reads `running` while the thread computes, and else the number and the arguments of
//! the system call in which it waits. It is a hint, not the truth: a nested loop (`spawnSync`)
//! waits in an epoll of its own, so the epoll must be the one that holds the listener; a stopped
//! process shows its last call.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use balance::Look;
use rustix::io::Errno;

use super::channel::Watched;

/// Calls in which an event loop waits that names its epoll first (x86-64).
const EPOLL_WAITS: [u64; 3] = [232, 281, 441]; // epoll_wait, epoll_pwait, epoll_pwait2
/// Calls in which a thread waits for one socket, which they name first: a server that works through
/// one connection after another waits in the same calls for what its client has to say.
const SOCKET_WAITS: [u64; 4] = [43, 45, 47, 288]; // accept, recvfrom, recvmsg, accept4
/// Calls in which a thread waits for any of several descriptors.
const OTHER_WAITS: [u64; 6] = [
    7,   // poll
    23,  // select
    219, // restart_syscall: poll, after a signal
    270, // pselect6
    271, // ppoll
    426, // io_uring_enter
];

/// So often the epoll that holds the listener is searched for, at the most, when the one that
/// the loop waits in is another.
const SEARCHES: u32 = 16;

/// Looks at one thread.
#[derive(Debug)]
pub(crate) struct LoopProbe {
    pid: i32,
    tid: i32,
    syscall: Option<File>,
    schedstat: Option<File>,
    /// The number of the listener in the worker, and the channel's inode behind it.
    listener: i32,
    inode: u64,
    /// The descriptor of the epoll that is known to hold the listener.
    epoll: Option<u64>,
    searches: u32,
    /// Looks tell nothing, for there was no descriptor left for them.
    lacks_descriptor: bool,
}

impl LoopProbe {
    /// Looks at the thread that accepts. Whether that is allowed, the first look tells.
    pub(crate) fn new(pid: i32, tid: i32, listener: i32, inode: u64) -> Self {
        let syscall = File::open(format!("/proc/{pid}/task/{tid}/syscall"));
        let lacks = |error: &io::Error| {
            let error = Errno::from_io_error(error);
            matches!(error, Some(Errno::MFILE | Errno::NFILE))
        };
        Self {
            pid,
            tid,
            lacks_descriptor: syscall.as_ref().is_err_and(lacks),
            syscall: syscall.ok(),
            schedstat: File::open(format!("/proc/{pid}/task/{tid}/schedstat")).ok(),
            listener,
            inode,
            epoll: None,
            searches: 0,
        }
    }

    /// A probe that knows nothing: several threads accept, and none speaks for all.
    pub(crate) fn blind() -> Self {
        Self {
            pid: 0,
            tid: 0,
            lacks_descriptor: false,
            syscall: None,
            schedstat: None,
            listener: -1,
            inode: 0,
            epoll: None,
            searches: 0,
        }
    }

    /// What is looked at, if anything is.
    pub(super) fn watched(&self) -> Option<Watched> {
        self.pid().map(|pid| Watched {
            pid,
            tid: self.tid,
            listener: self.listener,
            inode: self.inode,
        })
    }

    /// Whether looks tell nothing for want of a descriptor.
    pub(crate) fn lacks_descriptor(&self) -> bool {
        self.lacks_descriptor
    }

    /// The process that is looked at, if there is one.
    pub(crate) fn pid(&self) -> Option<i32> {
        (self.pid > 0).then_some(self.pid)
    }

    /// Whether looks tell anything.
    pub(crate) fn is_readable(&mut self) -> bool {
        self.look() != Look::Unknown
    }

    /// Looks: one read, about a microsecond.
    pub(crate) fn look(&mut self) -> Look {
        self.look_how(false)
    }

    /// The same for a thread that may stand still: where an epoll is known to hold the listener, a wait
    /// for other descriptors is not that of the loop, but of a call within it (a database's, say).
    pub(crate) fn look_closely(&mut self) -> Look {
        self.look_how(true)
    }

    fn look_how(&mut self, closely: bool) -> Look {
        let mut text = [0; 128];
        let Some(file) = &self.syscall else {
            return Look::Unknown;
        };
        let Ok(len) = file.read_at(&mut text, 0) else {
            return Look::Unknown;
        };
        let text = text.get(..len).unwrap_or(&[]);
        if text.starts_with(b"running") {
            return Look::Running;
        }
        let Some((call, first)) = parse(text) else {
            return Look::Unknown;
        };
        if EPOLL_WAITS.contains(&call) {
            if self.holds_listener(first) {
                Look::Waiting
            } else {
                Look::Away
            }
        } else if OTHER_WAITS.contains(&call) {
            let is_elsewhere = closely && self.epoll.is_some_and(|epoll| self.registers(epoll));
            match is_elsewhere {
                true => Look::Away,
                false => Look::Waiting,
            }
        } else if SOCKET_WAITS.contains(&call) && self.is_listener(first) {
            Look::Waiting
        } else {
            Look::Away
        }
    }

    /// How long the thread has computed, in nanoseconds: the first number of its `schedstat`.
    pub(crate) fn computed(&self) -> Option<u64> {
        let mut text = [0; 64];
        let len = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Whether this descriptor of the worker is the listener, or a copy of it.
    fn is_listener(&self, descriptor: u64) -> bool {
        if i32::try_from(descriptor) == Ok(self.listener) {
            return true;
        }
        let link = std::fs::read_link(format!("/proc/{}/fd/{descriptor}", self.pid));
        let name = format!("socket:[{}]", self.inode);
        link.is_ok_and(|link| link.as_os_str() == name.as_str())
    }

    /// Whether the loop's epoll leads to the listener. Where that cannot be found out (the
    /// listener is not registered right now, or in an epoll within an epoll), it is assumed.
    fn holds_listener(&mut self, epoll: u64) -> bool {
        if self.epoll == Some(epoll) {
            return true;
        }
        if self.searches >= SEARCHES {
            return self.epoll.is_none();
        }
        self.searches += 1;
        if self.registers(epoll) {
            self.epoll = Some(epoll);
            self.searches = 0;
            return true;
        }
        match self.epoll {
            Some(known) if self.registers(known) => false,
            _ => {
                self.epoll = None;
                true
            }
        }
    }

    /// Whether this epoll of the worker has the listener registered.
    fn registers(&self, epoll: u64) -> bool {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/fdinfo/{epoll}", self.pid)) else {
            return false;
        };
        text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("tfd:")
                && words.next().and_then(|fd| fd.parse().ok()) == Some(self.listener)
                && words.any(|word| {
                    word.strip_prefix("ino:")
                        .and_then(|inode| u64::from_str_radix(inode, 16).ok())
                        == Some(self.inode)
                })
        })
    }
}

/// The call's number and first argument.
fn parse(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let call = words.next()?.parse().ok()?;
    let first = words.next()?.strip_prefix("0x")?;
    Some((call, u64::from_str_radix(first, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(
            parse(b"441 0xd 0x7ffc 0x400 0x0 0x0 0x8 0x7ff 0x7f\n"),
            Some((441, 13))
        );
        for other in [&b"-1 0x7ffc 0x7f\n"[..], b"running\n", b"", b"\xff"] {
            assert_eq!(parse(other), None);
        }
    }

    /// A thread that reads from a connection does not wait for the next one.
    #[test]
    fn a_thread_that_reads_from_another_socket_is_away() {
        use std::net::{TcpListener, TcpStream};
        use std::os::fd::AsRawFd;

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let copy = listener.try_clone().unwrap();
        let (listening, reading) = (listener.as_raw_fd(), server.as_raw_fd());
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let pid = std::process::id() as i32;
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            std::io::Read::read(&mut server, &mut [0]).unwrap();
            copy.accept().unwrap();
        });
        let tid = told.recv().unwrap();
        let until = |socket: i32, other: u64, look: Look| {
            let mut loop_probe = LoopProbe::new(pid, tid, socket, other);
            while loop_probe.look() != look {
                std::thread::yield_now();
            }
        };
        until(listening, inode, Look::Away);
        until(reading, 0, Look::Waiting);
        drop(client);
        // By its number, and as another number for the same socket.
        until(reading, inode, Look::Waiting);
        let last = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread.join().unwrap();
        drop(last);
    }

    #[test]
    fn this_thread_runs() {
        let pid = std::process::id() as i32;
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let mut loop_probe = LoopProbe::new(pid, tid, 0, 0);
        assert!(matches!(loop_probe.look(), Look::Running | Look::Away));
        // The kernel counts by ticks: a new thread has computed nothing at first.
        while loop_probe.computed().unwrap() == 0 {}
        assert_eq!(LoopProbe::blind().look(), Look::Unknown);
        assert_eq!(LoopProbe::blind().computed(), None);
        assert_eq!(LoopProbe::new(-5, 1, 0, 0).look(), Look::Unknown);
    }
}
