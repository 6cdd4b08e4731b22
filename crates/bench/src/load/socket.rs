//! One client connection: connect, send and receive without blocking.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, recv, send, setsockopt,
    socket, sockopt,
};

use super::response::{Body, Progress, Reading};

pub(super) struct Connection {
    socket: OwnedFd,
    reading: Reading,
}

/// Room for what is received at once, shared by the connections of a thread.
pub(super) type Room = Box<[u8; 256 * 1024]>;

pub(super) fn room() -> Room {
    Box::new([0; 256 * 1024])
}

/// Who ends a connection after its one request, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Close {
    /// The client, with a reset: nothing stays behind in the kernel.
    Reset,
    /// The client, as usual: its end lingers in TIME-WAIT for a minute.
    Fin,
    /// The server, as the client asks by `Connection: close`: the server's end
    /// lingers in TIME-WAIT for a minute.
    Server,
}

#[derive(Debug)]
pub(super) enum Sent {
    All,
    /// The connection is not established yet: send again when it is writable.
    NotYet,
}

impl Connection {
    pub(super) fn open(
        to: SocketAddrV4,
        from: Option<Ipv4Addr>,
        close: Close,
    ) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        if close == Close::Reset {
            setsockopt(
                &socket,
                sockopt::Linger,
                &nix::libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                },
            )?;
        }
        if let Some(from) = from {
            // The port is chosen at connect, where only the pair must be unique.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            bind(
                socket.as_raw_fd(),
                &SockaddrIn::from(SocketAddrV4::new(from, 0)),
            )?;
        }
        match connect(socket.as_raw_fd(), &SockaddrIn::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        Ok(Self {
            socket,
            reading: Reading::default(),
        })
    }

    /// Sends a whole request, and forgets what was received before.
    pub(super) fn send(&mut self, request: &[u8]) -> nix::Result<Sent> {
        self.reading.restart();
        match send(self.socket.as_raw_fd(), request, MsgFlags::MSG_NOSIGNAL) {
            Ok(n) if n == request.len() => Ok(Sent::All),
            // A request is far smaller than any send buffer.
            Ok(_) => Err(Errno::EMSGSIZE),
            Err(Errno::EAGAIN) => Ok(Sent::NotYet),
            Err(errno) => Err(errno),
        }
    }

    /// Takes what has come, and says how the response stands.
    pub(super) fn receive(&mut self, room: &mut Room, body: &Body) -> nix::Result<Progress> {
        match recv(self.socket.as_raw_fd(), &mut room[..], MsgFlags::empty()) {
            Ok(0) => Ok(self.reading.end(body)),
            Ok(n) => Ok(self.reading.take(&room[..n], body)),
            Err(Errno::EAGAIN) => Ok(Progress::Incomplete),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
