//! Connections that the supervisor had when it was killed: they are placed again.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{SocketType, sockopt};
use sys::LeftOpen;
use wire::{Passed, RETURNED_LEN};

use super::restore::Held;
use crate::address::ListenAddress;
use crate::connection::Connection;
use crate::context::Context;
use crate::ids::ListenerId;

/// The connections that a worker has given back, and nobody has received: as far as they have come at this
/// listener.
pub(super) fn given_back(way: &OwnedFd, listener: ListenerId, cx: &Context) -> Vec<Connection> {
    let mut returned = Vec::new();
    let mut message = [0; RETURNED_LEN];
    while let Ok((1.., mut sent)) = sys::receive_all(way.as_fd(), &mut message) {
        if let Some(socket) = sent.pop().filter(|_| sent.is_empty())
            && listener_of(&socket, cx) == Some(listener)
        {
            returned.extend(again(socket));
        }
    }
    returned
}

/// Places what had come and was not with a worker: what lay in channels, what was given back, and what
/// waited.
pub(super) fn place_again(
    mut waiting: Vec<(ListenerId, Connection)>,
    left: &mut LeftOpen,
    held: &Held,
    cx: &mut Context,
) {
    if !cx.placement.places_connections() {
        return;
    }
    // One may have been on its way when the supervisor was killed: then a worker has it, or it lay there.
    let mut known: BTreeSet<u64> = held.values().flatten().copied().collect();
    known.extend(waiting.iter().filter_map(|(_, it)| inode(&it.socket)));
    for socket in left.take_all_that(is_connection) {
        let is_known = inode(&socket).is_none_or(|inode| known.contains(&inode));
        if let Some(listener) = listener_of(&socket, cx).filter(|_| !is_known) {
            waiting.extend(again(socket).map(|connection| (listener, connection)));
        }
    }
    for (listener, connection) in waiting {
        cx.listeners.accepted += 1;
        let number = cx.listeners.accepted;
        cx.placement
            .resume(listener, connection, number, cx.clock, &mut cx.workers);
    }
}

/// A connection that is to be placed again.
fn again(socket: OwnedFd) -> Option<Connection> {
    let peer = sys::peer_address(socket.as_fd()).ok()?;
    let passed = passed_over(&socket);
    Some(Connection::given_back(socket, peer.as_bytes(), passed))
}

/// The listener at which a connection has come.
fn listener_of(socket: &OwnedFd, cx: &Context) -> Option<ListenerId> {
    let local = sys::local_address(socket.as_fd()).ok()?;
    listener_at(local.as_bytes(), cx)
}

/// The listener at which a connection with this address of ours has come.
fn listener_at(local: &[u8], cx: &Context) -> Option<ListenerId> {
    let local = ListenAddress::parse(local, false, Path::new("/"))?;
    let mut all = cx.listeners.all.iter();
    let found = all.find(|(_, listener)| match (&listener.address, &local) {
        (ListenAddress::Tcp { socket: one, .. }, ListenAddress::Tcp { socket: other, .. }) => {
            let same = one.ip().to_canonical() == other.ip().to_canonical();
            one.port() == other.port() && (one.ip().is_unspecified() || same)
        }
        (one, other) => one == other,
    });
    found.map(|(id, _)| *id)
}

/// The kernel's number for a socket.
pub(super) fn inode(socket: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)
}

/// Whether this is a connection of a client's: a stream socket that is connected.
fn is_connection(socket: &OwnedFd) -> bool {
    sockopt::socket_type(socket).is_ok_and(|kind| kind == SocketType::STREAM)
        && sockopt::socket_acceptconn(socket).is_ok_and(|listens| !listens)
        && rustix::net::getpeername(socket).is_ok_and(|peer| peer.is_some())
}

/// How much has passed over a connection, as a worker's library counts it: by `struct tcp_info` up to
/// `tcpi_bytes_retrans` (Linux 4.19). Nothing over a Unix socket, of which that is not known.
fn passed_over(socket: &OwnedFd) -> Passed {
    const IPPROTO_TCP: i32 = 6;
    const TCP_INFO: i32 = 11;
    const RECEIVED: usize = 128;
    const NOT_SENT: usize = 144;
    const SENT: usize = 200;
    const SENT_AGAIN: usize = 208;
    let mut info = [0; SENT_AGAIN + 8];
    let read = sys::read_option(socket.as_fd(), IPPROTO_TCP, TCP_INFO, &mut info);
    if read.ok() != Some(info.len()) {
        return Passed::default();
    }
    // Of large numbers the lower half tells as much.
    let number = |at: usize| {
        let bytes = info.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes) as u32)
    };
    let not_sent = info.get(NOT_SENT..).and_then(|rest| rest.first_chunk());
    let not_sent = not_sent.map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let unread = rustix::io::ioctl_fionread(socket).unwrap_or(0) as u32;
    Passed {
        read: number(RECEIVED).wrapping_sub(unread),
        written: number(SENT)
            .wrapping_sub(number(SENT_AGAIN))
            .wrapping_add(not_sent),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// As the library counts it: what the server has read and written, not what has arrived and was sent.
    #[test]
    fn what_has_passed_is_known_from_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let passed = |server: &TcpStream| passed_over(&server.try_clone().unwrap().into());
        let is = |read, written| Passed { read, written };
        assert_eq!(passed(&server), is(0, 0));
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(passed(&server), is(3, 0));
        // More than the client's kernel takes in.
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(more) = server.write(&[0; 65536]) {
            written += more as u32;
        }
        assert_eq!(passed(&server), is(3, written));
    }
}
