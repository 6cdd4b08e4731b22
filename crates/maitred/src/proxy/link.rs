//! One socket of the proxy, to a client or to a worker: reading, and writing without waiting.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustls::ServerConnection;

/// Events are told once, when something changes.
const READ: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// So much of a TLS connection is read at once: a record and its head.
const RECORDS: usize = 18 * 1024;

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes.
    Some(usize),
    /// Nothing, for now.
    Nothing,
    /// The other side sends no more.
    End,
    /// The connection is broken.
    Broken,
}

/// A socket, with what has been read and not used, and what could not be written yet.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    data: u64,
    /// Read, and not used yet.
    pub(super) input: Vec<u8>,
    /// To be written when the socket takes more; `written` of it has been.
    output: Vec<u8>,
    written: usize,
    /// There may be more to read.
    pub(super) readable: bool,
    /// The kernel has said that the other side will send no more; what it has sent may still have
    /// to be read.
    pub(super) ending: bool,
    /// All that it sent has been read.
    pub(super) ended: bool,
    watches_out: bool,
    /// What is spoken over the socket is TLS.
    tls: Option<Box<ServerConnection>>,
}

impl Link {
    /// Takes a socket into the epoll; `data` names it in events.
    pub(super) fn new(socket: OwnedFd, epoll: &OwnedFd, data: u64) -> Result<Self, Errno> {
        epoll::add(epoll, &socket, epoll::EventData::new_u64(data), READ)?;
        Ok(Self {
            socket,
            data,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            readable: false,
            ending: false,
            ended: false,
            watches_out: false,
            tls: None,
        })
    }

    /// The same, with TLS spoken over it.
    pub(super) fn with_tls(mut self, connection: Option<ServerConnection>) -> Self {
        self.tls = connection.map(Box::new);
        self
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Notes what an event tells.
    pub(super) fn note(&mut self, flags: epoll::EventFlags) {
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(ends) {
            self.ending = true;
        }
        if flags.intersects(ends | epoll::EventFlags::IN) {
            self.readable = true;
        }
    }

    /// Reads into `room`.
    pub(super) fn read(&mut self, room: &mut [u8], epoll: &OwnedFd) -> Read {
        if let Some(tls) = self.tls.take() {
            return self.read_tls(tls, room, epoll);
        }
        self.read_socket(room)
    }

    /// Reads what is within TLS, and answers what TLS itself has to say.
    fn read_tls(
        &mut self,
        mut tls: Box<ServerConnection>,
        room: &mut [u8],
        epoll: &OwnedFd,
    ) -> Read {
        let mut said = Vec::new();
        let read = loop {
            match tls.reader().read(room) {
                Ok(0) => break Read::End,
                Ok(len) => break Read::Some(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It ended without saying so: what came may have been cut off.
                Err(_) => break Read::Broken,
            }
            let mut records = [0; RECORDS];
            let bytes = match self.read_socket(&mut records) {
                Read::Some(len) => records.get(..len).unwrap_or(&[]),
                Read::End => break Read::Broken,
                other => break other,
            };
            let taken = decipher(&mut tls, bytes, room);
            drain(&mut tls, &mut said);
            match taken {
                Ok(0) => {}
                Ok(len) => break Read::Some(len),
                Err(_) => break Read::Broken,
            }
        };
        self.tls = Some(tls);
        // One that is gone is seen by the next read.
        let _ = self.send_socket(&said, &[], epoll);
        read
    }

    fn read_socket(&mut self, room: &mut [u8]) -> Read {
        if self.ended {
            return Read::End;
        }
        if !self.readable {
            return Read::Nothing;
        }
        loop {
            match rustix::io::read(&self.socket, &mut *room) {
                Ok(0) => {
                    self.ended = true;
                    self.readable = false;
                    return Read::End;
                }
                Ok(len) => {
                    // Less than there was room for: that was all, and more would be a new event.
                    // The end is none, though, where it has been told already.
                    self.readable = len == room.len() || self.ending;
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

    /// Whether what was sent last still waits to be written: then nothing more should be sent.
    pub(super) fn is_clogged(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends two runs of bytes, one behind the other. What the socket does not take now it gets
    /// later.
    pub(super) fn send(
        &mut self,
        first: &[u8],
        second: &[u8],
        epoll: &OwnedFd,
    ) -> Result<(), Gone> {
        let Some(tls) = &mut self.tls else {
            return self.send_socket(first, second, epoll);
        };
        let mut records = Vec::with_capacity(first.len() + second.len() + 128);
        for part in [first, second] {
            tls.writer().write_all(part).map_err(|_| Gone)?;
        }
        drain(tls, &mut records);
        self.send_socket(&records, &[], epoll)
    }

    fn send_socket(&mut self, first: &[u8], second: &[u8], epoll: &OwnedFd) -> Result<(), Gone> {
        let total = first.len() + second.len();
        if total == 0 {
            return Ok(());
        }
        let mut sent = 0;
        if !self.is_clogged() {
            sent = loop {
                let result = if second.is_empty() {
                    rustix::io::write(&self.socket, first)
                } else {
                    let both = [IoSlice::new(first), IoSlice::new(second)];
                    rustix::io::writev(&self.socket, &both)
                };
                match result {
                    Ok(sent) => break sent,
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break 0,
                    Err(_) => return Err(Gone),
                }
            };
        }
        if sent < total {
            let of_second = sent.saturating_sub(first.len());
            self.output
                .extend_from_slice(first.get(sent..).unwrap_or(&[]));
            self.output
                .extend_from_slice(second.get(of_second..).unwrap_or(&[]));
            self.watch_out(true, epoll);
        }
        Ok(())
    }

    /// Writes what still waits; whether any of it could be written.
    pub(super) fn flush(&mut self, epoll: &OwnedFd) -> Result<bool, Gone> {
        let before = self.written;
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match rustix::io::write(&self.socket, rest) {
                Ok(sent) => self.written += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(self.written > before),
                Err(_) => return Err(Gone),
            }
        }
        let any = self.written > before;
        if !self.output.is_empty() {
            self.output = Vec::new();
            self.written = 0;
            self.watch_out(false, epoll);
        }
        Ok(any)
    }

    /// Tells the other side that no more will come.
    pub(super) fn finish_sending(&mut self, epoll: &OwnedFd) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let mut records = Vec::new();
            drain(tls, &mut records);
            let _ = self.send_socket(&records, &[], epoll);
        }
        // One that is gone need not be told.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }

    /// When this is dropped, the other side shall not take the end for an ordinary one. (Only TCP
    /// has a word for that.)
    pub(super) fn reset_at_end(&self) {
        let _ =
            rustix::net::sockopt::set_socket_linger(&self.socket, Some(std::time::Duration::ZERO));
    }

    /// Whether the other side has neither said anything that has not been read nor ended. The
    /// socket itself is asked: the event that would tell may still be on its way.
    pub(super) fn is_quiet(&self) -> bool {
        use rustix::net::RecvFlags;
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !self.ending
            && !self.readable
            && self.input.is_empty()
            && rustix::net::recv(&self.socket, &mut [0; 1][..], look) == Err(Errno::AGAIN)
    }

    /// Whether the other side has still to read something.
    pub(super) fn is_unread(&self) -> bool {
        sys::unread(self.socket.as_fd()).is_ok_and(|bytes| bytes > 0)
    }

    /// That there is room again would be told after each read of the other side: so it is asked
    /// for only while something waits.
    fn watch_out(&mut self, on: bool, epoll: &OwnedFd) {
        if self.watches_out != on {
            self.watches_out = on;
            let flags = if on {
                READ | epoll::EventFlags::OUT
            } else {
                READ
            };
            // Of a descriptor that is in the epoll this cannot fail.
            let _ = epoll::modify(
                epoll,
                &self.socket,
                epoll::EventData::new_u64(self.data),
                flags,
            );
        }
    }
}

/// After so much silence a client's host is asked whether it is still there, and that every so
/// often; one that answers none of so many questions is gone. A tunnel has no other time limit.
const SILENCE: Duration = Duration::from_secs(60);
const QUESTIONS: (Duration, u32) = (Duration::from_secs(15), 4);

/// Sets what a client's TCP connection needs. A Unix socket has no such options, and needs none.
pub(super) fn prepare(socket: &OwnedFd) {
    // What is written shall go out at once.
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, SILENCE);
    let _ = sockopt::set_tcp_keepintvl(socket, QUESTIONS.0);
    let _ = sockopt::set_tcp_keepcnt(socket, QUESTIONS.1);
}

/// Takes in what has come of a TLS connection, and puts what was within it into `room`; how much
/// that is. `room` has to hold what can be within [`RECORDS`] and one record before them.
fn decipher(tls: &mut ServerConnection, mut bytes: &[u8], room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        // Of what nobody has fetched it holds no more than a record.
        loop {
            match tls.reader().read(room.get_mut(len..).unwrap_or(&mut [])) {
                Ok(0) => return Ok(len),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(len)
}

/// Takes all that TLS has to say to the other side.
fn drain(tls: &mut ServerConnection, to: &mut Vec<u8>) {
    while tls.wants_write() {
        // Writing to a vector does not fail.
        if tls.write_tls(to).is_err() {
            return;
        }
    }
}
