//! A socket whose events say what can be done with it.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::stream::{Gone, Read};

/// Events come once, when something changes.
const READ: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// After this silence a client's host is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// How often it is asked again, and how many questions without an answer mean that it is gone. A
/// tunnel has no other time limit.
const QUESTIONS: (Duration, u32) = (Duration::from_secs(15), 4);

/// A socket, and what is known of it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    data: u64,
    /// There may be more to read.
    readable: bool,
    /// The kernel has said that the other side will send no more; what it has sent may still have
    /// to be read.
    pub(crate) ending: bool,
    /// All that it sent has been read.
    ended: bool,
    watches_out: bool,
}

impl Socket {
    /// Takes a socket into the epoll; `data` names it in events.
    pub(crate) fn new(fd: OwnedFd, epoll: &OwnedFd, data: u64) -> Result<Self, Errno> {
        epoll::add(epoll, &fd, epoll::EventData::new_u64(data), READ)?;
        Ok(Self {
            fd,
            data,
            readable: false,
            ending: false,
            ended: false,
            watches_out: false,
        })
    }

    /// Notes what an event says.
    pub(crate) fn note(&mut self, flags: epoll::EventFlags) {
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(ends) {
            self.ending = true;
        }
        if flags.intersects(ends | epoll::EventFlags::IN) {
            self.readable = true;
        }
    }

    /// Whether there may be more to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        if self.ended {
            return Read::End;
        }
        if !self.readable {
            return Read::Nothing;
        }
        loop {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => {
                    self.ended = true;
                    self.readable = false;
                    return Read::End;
                }
                Ok((_, len)) => {
                    // Less than there was room for: that was all, and more would be a new event.
                    // The end is none, though, where an event has said it already.
                    self.readable = len == buffer.len() || self.ending;
                    return Read::Some(len);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    return Read::Nothing;
                }
                Err(_) => {
                    self.ended = true;
                    self.readable = false;
                    return Read::Broken;
                }
            }
        }
    }

    /// Writes two runs of bytes, one behind the other; how much the socket has taken.
    pub(crate) fn write(&self, first: &[u8], second: &[u8]) -> Result<usize, Gone> {
        loop {
            let result = if second.is_empty() {
                send(&self.fd, first, SendFlags::NOSIGNAL)
            } else {
                let both = [IoSlice::new(first), IoSlice::new(second)];
                rustix::io::writev(&self.fd, &both)
            };
            match result {
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Asks for an event when there is room again, or no longer. One would come after each read of
    /// the other side: so it is asked for only while something waits.
    pub(crate) fn watch_out(&mut self, on: bool, epoll: &OwnedFd) {
        if self.watches_out != on {
            self.watches_out = on;
            let flags = if on {
                READ | epoll::EventFlags::OUT
            } else {
                READ
            };
            // Of a descriptor that is in the epoll this cannot fail.
            let data = epoll::EventData::new_u64(self.data);
            let _ = epoll::modify(epoll, &self.fd, data, flags);
        }
    }

    /// Tells the other side that no more will come.
    pub(crate) fn finish_sending(&self) {
        // One that is gone does not matter.
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write);
    }

    /// When this is dropped, the other side does not take the end for an ordinary one. (Only TCP
    /// has a word for that.)
    pub(crate) fn reset_at_end(&self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }

    /// Whether the other side has neither said anything that has not been read nor ended, as far as
    /// events have said.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.ending && !self.readable
    }

    /// Whether the other side has sent something that has not been read, as the kernel knows it now.
    pub(crate) fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.fd).is_ok_and(|bytes| bytes > 0)
    }

    /// The socket alone. Another process may have it, too: so it has to be taken out of the epoll.
    pub(crate) fn leave(self, epoll: &OwnedFd) -> OwnedFd {
        // Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::delete(epoll, &self.fd);
        self.fd
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the other side has still to read something.
    pub(crate) fn is_unread(&self) -> bool {
        sys::unread(self.fd.as_fd()).is_ok_and(|bytes| bytes > 0)
    }
}

/// Sets what a client's TCP connection needs. A Unix socket has no such options, and needs none.
pub(crate) fn prepare(socket: &OwnedFd) {
    // What is written goes out at once.
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, SILENCE);
    let _ = sockopt::set_tcp_keepintvl(socket, QUESTIONS.0);
    let _ = sockopt::set_tcp_keepcnt(socket, QUESTIONS.1);
}
