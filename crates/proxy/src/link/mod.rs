//! One connection of the proxy, to a client or to a worker: reading, and writing without waiting.
//! Bytes go over a socket, or through TLS over a socket, or are a stream of an HTTP/2 connection
//! that is read and written in the words of HTTP/1.1.

pub(crate) mod frames;
mod handshake;
mod input;
mod socket;
mod stream;
mod tls;

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use rustls::ServerConnection;

pub(crate) use handshake::Handshake;
pub(crate) use input::Input;
use socket::Socket;
pub(crate) use socket::prepare;
pub(crate) use stream::{Gone, Read, Stream};
use tls::Tls;

/// How much of what a client sends behind its request is read while that is in progress.
const AHEAD: usize = 64 * 1024;

/// A connection, with what has been read and not used, and what could not be written yet.
#[derive(Debug)]
pub(crate) struct Link {
    transport: Transport,
    /// Read, and not used yet.
    pub(crate) input: Input,
    /// To be written when the other side takes more; `written` of it has been.
    output: Vec<u8>,
    written: usize,
    /// The other side has said within TLS that it will send no more.
    ending: bool,
    /// What reading has cost since that was last asked, in units of [`crate::limits::shares`].
    work: u32,
    /// The last read brought nothing for the caller, and there may be more.
    may_bring_more: bool,
}

/// The bytes that cost a unit.
pub(crate) const BYTES: usize = 2048;

/// What carries the bytes.
#[derive(Debug)]
enum Transport {
    Socket(Socket),
    Tls(Socket, Box<Tls>),
    Stream(Box<dyn Stream>),
}

impl Transport {
    /// Writes two runs of bytes, one behind the other; how much was taken.
    fn write(&mut self, first: &[u8], second: &[u8]) -> Result<usize, Gone> {
        match self {
            Self::Socket(socket) | Self::Tls(socket, _) => socket.write(first, second),
            Self::Stream(stream) => stream.write(first, second),
        }
    }

    /// Asks for an event when more can be written, or no longer.
    fn watch_out(&mut self, on: bool, epoll: &OwnedFd) {
        match self {
            Self::Socket(socket) | Self::Tls(socket, _) => socket.watch_out(on, epoll),
            // It calls its waker by itself.
            Self::Stream(_) => {}
        }
    }

    fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) | Self::Tls(socket, _) => Some(socket),
            Self::Stream(_) => None,
        }
    }
}

impl Link {
    /// Takes a socket into the epoll; `data` names it in events.
    pub(crate) fn new(socket: OwnedFd, epoll: &OwnedFd, data: u64) -> Result<Self, Errno> {
        Ok(Self::over(Transport::Socket(Socket::new(
            socket, epoll, data,
        )?)))
    }

    /// The same, with TLS spoken over it.
    pub(crate) fn with_tls(mut self, connection: Option<ServerConnection>) -> Self {
        if let Some(tls) = connection {
            self.transport = match self.transport {
                Transport::Socket(socket) | Transport::Tls(socket, _) => {
                    Transport::Tls(socket, Box::new(Tls::new(tls)))
                }
                Transport::Stream(stream) => Transport::Stream(stream),
            };
        }
        self
    }

    /// A stream of an HTTP/2 connection, whose request begins with `head`.
    pub(crate) fn stream(stream: impl Stream + 'static, head: Vec<u8>) -> Self {
        Self {
            input: Input::of(&head),
            ..Self::over(Transport::Stream(Box::new(stream)))
        }
    }

    fn over(transport: Transport) -> Self {
        Self {
            transport,
            input: Input::default(),
            output: Vec::new(),
            written: 0,
            ending: false,
            work: 0,
            may_bring_more: false,
        }
    }

    /// Whether TLS protects what is said.
    pub(crate) fn is_tls(&self) -> bool {
        match &self.transport {
            Transport::Socket(_) => false,
            Transport::Tls(..) => true,
            Transport::Stream(stream) => stream.is_tls(),
        }
    }

    /// Whether HTTP/2 is spoken, as far as TLS has agreed on it (ALPN). Nothing is agreed on
    /// without TLS; with TLS, HTTP/2 is spoken only where that was agreed on: RFC 9113, 3.2.
    pub(crate) fn has_agreed_on_http2(&self) -> Option<bool> {
        match &self.transport {
            Transport::Tls(_, tls) => Some(tls.has_agreed_on(b"h2")),
            Transport::Socket(_) | Transport::Stream(_) => None,
        }
    }

    /// The beginning of a TLS connection, once its client has said something: another thread does it.
    pub(crate) fn take_handshake(&mut self) -> Option<Handshake> {
        match &mut self.transport {
            Transport::Tls(_, tls) => tls.take_handshake(),
            Transport::Socket(_) | Transport::Stream(_) => None,
        }
    }

    /// Whether another thread has that.
    pub(crate) fn is_in_handshake(&self) -> bool {
        matches!(&self.transport, Transport::Tls(_, tls) if tls.is_in_handshake())
    }

    /// It has been done.
    pub(crate) fn go_on_after(&mut self, handshake: Handshake, epoll: &OwnedFd) {
        if let Transport::Tls(_, tls) = &mut self.transport {
            let mut said = Vec::new();
            tls.go_on_after(handshake, &mut said);
            // One that is gone is seen by the next read.
            let _ = self.put(&said, &[], epoll);
        }
    }

    /// What reading has cost since this was last asked, and whether there may be more to read
    /// although the last read brought nothing.
    pub(crate) fn take_work(&mut self) -> (u32, bool) {
        let work = std::mem::take(&mut self.work);
        (work, std::mem::take(&mut self.may_bring_more))
    }

    /// Adds to what reading has cost.
    pub(crate) fn add_work(&mut self, units: u32) {
        self.work = self.work.saturating_add(units);
    }

    /// Whether the other side has said that it will send no more; what it has sent may still have
    /// to be read.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending || self.transport.socket().is_some_and(|socket| socket.ending)
    }

    /// Takes in what has come within TLS, which alone says that the other side will send no
    /// more: for a socket events say that. Bounded by [`AHEAD`]; one read at a time.
    pub(crate) fn look_for_end(&mut self, buffer: &mut [u8], epoll: &OwnedFd) {
        if let Transport::Tls(socket, _) = &self.transport
            && socket.is_readable()
            && self.input.len() < AHEAD
            && !self.ending
        {
            match self.read(buffer, epoll) {
                Read::Some(len) => {
                    self.input.extend(buffer.get(..len).unwrap_or(&[]));
                    self.may_bring_more = true;
                }
                Read::Nothing => {}
                Read::End | Read::Broken => self.ending = true,
            }
        }
    }

    /// Notes what an event says.
    pub(crate) fn note(&mut self, flags: epoll::EventFlags) {
        if let Transport::Socket(socket) | Transport::Tls(socket, _) = &mut self.transport {
            socket.note(flags);
        }
    }

    /// Reads into `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8], epoll: &OwnedFd) -> Read {
        let read = match &mut self.transport {
            Transport::Socket(socket) => socket.read(buffer),
            Transport::Stream(stream) => stream.read(buffer),
            Transport::Tls(socket, tls) => {
                let mut said = Vec::new();
                let read = tls.read(socket, buffer, &mut said);
                let work = tls.take_work();
                self.may_bring_more =
                    read == Read::Nothing && socket.is_readable() && !tls.is_in_handshake();
                self.add_work(work);
                // One that is gone is seen by the next read.
                let _ = self.put(&said, &[], epoll);
                read
            }
        };
        if let Read::Some(len) = read {
            self.add_work(u32::try_from(len / BYTES).unwrap_or(u32::MAX));
        }
        read
    }

    /// Whether what was sent last still waits to be written: then nothing more should be sent.
    pub(crate) fn is_clogged(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends two runs of bytes, one behind the other. What the other side does not take now it
    /// gets later.
    pub(crate) fn send(
        &mut self,
        first: &[u8],
        second: &[u8],
        epoll: &OwnedFd,
    ) -> Result<(), Gone> {
        let Transport::Tls(_, tls) = &mut self.transport else {
            return self.put(first, second, epoll);
        };
        let mut said = Vec::with_capacity(first.len() + second.len() + 128);
        tls.write(&[first, second], &mut said)?;
        self.put(&said, &[], epoll)
    }

    fn put(&mut self, first: &[u8], second: &[u8], epoll: &OwnedFd) -> Result<(), Gone> {
        let total = first.len() + second.len();
        if total == 0 {
            return Ok(());
        }
        let sent = if self.is_clogged() {
            0
        } else {
            self.transport.write(first, second)?
        };
        if sent < total {
            let of_second = sent.saturating_sub(first.len());
            self.output
                .extend_from_slice(first.get(sent..).unwrap_or(&[]));
            self.output
                .extend_from_slice(second.get(of_second..).unwrap_or(&[]));
            self.transport.watch_out(true, epoll);
        }
        Ok(())
    }

    /// Writes what still waits; whether any of it could be written.
    pub(crate) fn flush(&mut self, epoll: &OwnedFd) -> Result<bool, Gone> {
        if let Transport::Stream(stream) = &mut self.transport {
            stream.check()?;
        }
        let before = self.written;
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.transport.write(rest, &[])? {
                0 => return Ok(self.written > before),
                sent => self.written += sent,
            }
        }
        let any = self.written > before;
        if !self.output.is_empty() {
            self.output = Vec::new();
            self.written = 0;
            self.transport.watch_out(false, epoll);
        }
        Ok(any)
    }

    /// Notes the fields that follow what is sent, where the transport has a place for them
    /// beside the bytes.
    pub(crate) fn set_trailers(&mut self, fields: &[u8]) {
        if let Transport::Stream(stream) = &mut self.transport {
            stream.set_trailers(fields);
        }
    }

    /// Tells the other side that no more will come.
    pub(crate) fn finish_sending(&mut self, epoll: &OwnedFd) {
        if let Transport::Tls(_, tls) = &mut self.transport {
            let mut said = Vec::new();
            tls.finish(&mut said);
            let _ = self.put(&said, &[], epoll);
        }
        match &mut self.transport {
            Transport::Socket(socket) | Transport::Tls(socket, _) => socket.finish_sending(),
            Transport::Stream(stream) => stream.finish_sending(),
        }
    }

    /// When this is dropped, the other side does not take the end for an ordinary one.
    pub(crate) fn reset_at_end(&mut self) {
        match &mut self.transport {
            Transport::Socket(socket) | Transport::Tls(socket, _) => socket.reset_at_end(),
            Transport::Stream(stream) => stream.reset(),
        }
    }

    /// Whether the other side has neither said anything that has not been read nor ended.
    pub(crate) fn is_quiet(&self) -> bool {
        self.input.is_empty() && self.transport.socket().is_some_and(Socket::is_quiet)
    }

    /// Whether the other side has said something that has not been read, also since the epoll told last.
    pub(crate) fn has_unread(&self) -> bool {
        !self.input.is_empty() || self.transport.socket().is_some_and(Socket::has_unread)
    }

    /// Whether bytes go over a socket as they are, and all that was sent has been written.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self.transport, Transport::Socket(_)) && !self.is_clogged()
    }

    /// The socket of one that is bare; the epoll tells no more of it.
    pub(crate) fn into_socket(self, epoll: &OwnedFd) -> Option<OwnedFd> {
        match self.transport {
            Transport::Socket(socket) => Some(socket.leave(epoll)),
            Transport::Tls(..) | Transport::Stream(_) => None,
        }
    }

    /// The socket, where nothing but bytes goes over it.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.transport {
            Transport::Socket(socket) => Some(socket.descriptor()),
            Transport::Tls(..) | Transport::Stream(_) => None,
        }
    }

    /// What the kernel has not taken of bytes that were written to [`Self::descriptor`].
    pub(crate) fn send_later(&mut self, rest: &[u8], epoll: &OwnedFd) {
        if !rest.is_empty() {
            self.output.extend_from_slice(rest);
            self.transport.watch_out(true, epoll);
        }
    }

    /// Whether the other side has still to read something.
    pub(crate) fn is_unread(&self) -> bool {
        self.transport.socket().is_some_and(Socket::is_unread)
    }
}
