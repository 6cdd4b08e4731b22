//! Whether a worker has read what a client sent: the kernel's `sock_diag`, with the connection's
//! `tcp_info`. One question costs two to three microseconds.
//!
//! For a Unix socket the kernel tells how much is unread, and not how much has come. So an open one with
//! nothing unread may have been read, or its client may have sent nothing.

use std::os::fd::AsFd;

use balance::Last;

use super::endpoint::{AF_UNIX, Endpoint, number_at};
use super::sock_diag::{Presence, SockDiag, read_answer, receive, write_query};

/// The extension that brings a `tcp_info`, as an attribute and as a bit of the query.
const INET_DIAG_INFO: u16 = 2;
const ASK_FOR_INFO: u8 = 1 << (INET_DIAG_INFO - 1);

/// The bit that asks for the queues of a Unix socket, and their attribute.
const ASK_FOR_QUEUES: u8 = 0x10;
const UNIX_DIAG_RQLEN: u16 = 4;

/// Where the attributes begin in an answer about a Unix socket.
const UNIX_ATTRIBUTES_AT: usize = 16 + 16;

/// Where the answer's attributes begin, and in the answer the count of bytes that lie unread.
const ATTRIBUTES_AT: usize = 16 + 72;
const UNREAD_AT: usize = 16 + 56;

/// Where `tcp_info` has the count of bytes that came.
const RECEIVED_AT: usize = 128;

impl SockDiag {
    /// Whether the worker that has this connection has read from it.
    pub(super) fn last(&mut self, endpoint: Endpoint) -> Last {
        let extensions = match endpoint {
            Endpoint::Tcp { .. } => ASK_FOR_INFO,
            Endpoint::Unix { .. } => ASK_FOR_QUEUES,
        };
        self.query.clear();
        write_query(endpoint, 0, extensions, &mut self.query);
        let mut message = [0; 1024];
        if sys::send(self.socket.as_fd(), &self.query, None).is_err() {
            return Last::Unknown;
        }
        let len = receive(&self.socket, &mut message).unwrap_or(0);
        read_last(message.get(..len).unwrap_or(&[])).unwrap_or(Last::Unknown)
    }
}

fn read_last(message: &[u8]) -> Option<Last> {
    match read_answer(message)? {
        (_, Presence::Ended) => return Some(Last::Read),
        (_, Presence::Unknown) => return None,
        (_, Presence::Open) => {}
    }
    if message.get(16) == Some(&AF_UNIX) {
        let queues = attribute(message.get(UNIX_ATTRIBUTES_AT..)?, UNIX_DIAG_RQLEN)?;
        let unread = u32::from_ne_bytes(number_at(queues, 0)?);
        return (unread > 0).then_some(Last::Unread);
    }
    let unread = u64::from(u32::from_ne_bytes(number_at(message, UNREAD_AT)?));
    let info = attribute(message.get(ATTRIBUTES_AT..)?, INET_DIAG_INFO)?;
    let received = u64::from_ne_bytes(number_at(info, RECEIVED_AT)?);
    // The end of what a client sends counts as unread too.
    Some(if received == 0 {
        Last::Silent
    } else if received > unread {
        Last::Read
    } else {
        Last::Unread
    })
}

/// An attribute of a netlink message.
fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(number_at(attributes, 0)?));
        let found = u16::from_ne_bytes(number_at(attributes, 2)?);
        if found == kind {
            return attributes.get(4..len);
        }
        attributes = attributes.get(len.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn what_a_worker_has_read_is_told_from_what_lies_there() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (socket, peer) = sys::accept(listener.as_fd()).unwrap();
            let endpoint = Endpoint::of(socket.as_fd(), peer.as_bytes()).unwrap();
            let mut worker = TcpStream::from(socket);
            let mut diag = SockDiag::open().unwrap();
            assert_eq!(diag.last(endpoint), Last::Silent);
            client.write_all(b"abc").unwrap();
            let mut fds = [PollFd::new(&worker, PollFlags::IN)];
            poll(&mut fds, None).unwrap();
            assert_eq!(diag.last(endpoint), Last::Unread);
            worker.read_exact(&mut [0; 2]).unwrap();
            assert_eq!(diag.last(endpoint), Last::Read);
            worker.read_exact(&mut [0; 1]).unwrap();
            assert_eq!(diag.last(endpoint), Last::Read);
            drop(client);
            assert_eq!(diag.last(endpoint), Last::Read);
            drop(worker);
            assert_eq!(diag.last(endpoint), Last::Read);
        }
    }

    #[test]
    fn the_end_of_what_a_client_sends_is_read_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = sys::accept(listener.as_fd()).unwrap();
        let endpoint = Endpoint::of(socket.as_fd(), peer.as_bytes()).unwrap();
        drop(client);
        let mut fds = [PollFd::new(&socket, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        let mut diag = SockDiag::open().unwrap();
        assert_eq!(diag.last(endpoint), Last::Unread);
        drop(socket);
        assert_eq!(diag.last(endpoint), Last::Read);
    }

    #[test]
    fn of_a_unix_socket_it_is_told_what_lies_unread_and_that_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let (socket, peer) = sys::accept(listener.as_fd()).unwrap();
        let endpoint = Endpoint::of(socket.as_fd(), peer.as_bytes()).unwrap();
        let mut worker = UnixStream::from(socket);
        let mut diag = SockDiag::open().unwrap();
        assert_eq!(diag.last(endpoint), Last::Unknown);
        client.write_all(b"abc").unwrap();
        assert_eq!(diag.last(endpoint), Last::Unread);
        worker.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(diag.last(endpoint), Last::Unknown);
        drop(worker);
        assert_eq!(diag.last(endpoint), Last::Read);
    }

    #[test]
    fn messages_of_any_kind_are_read_without_harm() {
        let mut message = [0u8; 400];
        message[4] = 20; // an answer
        message[16] = 2; // of IPv4
        message[16 + 7] = 1; // with a peer
        message[16 + 68] = 1; // open
        for attribute in [0u8, 1, 4, 200, 255] {
            message[ATTRIBUTES_AT] = attribute;
            for kind in [0, 2, 9] {
                message[ATTRIBUTES_AT + 2] = kind;
                for len in 0..message.len() {
                    let _ = read_last(&message[..len]);
                }
            }
        }
        message[16] = AF_UNIX;
        for attribute in [0u8, 1, 4, 200, 255] {
            message[UNIX_ATTRIBUTES_AT] = attribute;
            for kind in [0, 4, 9] {
                message[UNIX_ATTRIBUTES_AT + 2] = kind;
                for len in 0..message.len() {
                    let _ = read_last(&message[..len]);
                }
            }
        }
    }
}
