//! A program closes connections between two requests: where the supervisor has asked for it, they live on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use wire::{Handoff, PARKED_LEN, Parked};

use crate::harness::{beside_others, free_port};
use crate::scripted::{Channel, Scripted};
use crate::victims::{COMPILERS, PATIENCE, Victim, compile};

/// Ways to close a connection that promised to be kept: it lives on.
const PARKED: [&str; 4] = ["close", "write", "both", "unread"];

/// Ways that end it: the response says so, or is not complete; a part of the next request was read; a byte has
/// gone past the library; the client has left; the program asks for a reset; another thread closes it; or it is
/// not followed any more.
const CLOSED: [&str; 8] = [
    "told", "unended", "half", "peeked", "gone", "reset", "thread", "child",
];

/// A server that closes, and what it sends up.
struct Server {
    victim: Victim,
    channel: Channel,
    back: OwnedFd,
    /// The end that the program has, if it was told to park.
    theirs: OwnedFd,
}

/// The two ends of a way by which a program parks connections.
fn way() -> (OwnedFd, OwnedFd) {
    let kind = SocketType::SEQPACKET;
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None).unwrap()
}

impl Server {
    fn start(scripted: &Scripted, compiler: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let program = compile(compiler, "parked", folder.path());
        let victim = scripted.start(program, &[], free_port());
        let (back, theirs) = way();
        Server {
            victim,
            channel: scripted.channel(),
            back,
            theirs,
        }
    }

    /// Tells it to park; it says that it does.
    fn park(&self) {
        let (message, len) = Handoff::Park.encode();
        self.channel.send(&message[..len], Some(&self.theirs));
        assert!(self.next().1.is_none());
    }

    /// What it sends up next.
    fn next(&self) -> (Parked, Option<OwnedFd>) {
        assert!(self.has_sent(&Timespec::try_from(PATIENCE).unwrap()));
        let mut message = [0; PARKED_LEN];
        let (len, socket) = sys::receive(self.back.as_fd(), &mut message).unwrap();
        (Parked::decode(&message[..len]).unwrap(), socket)
    }

    fn has_sent(&self, patience: &Timespec) -> bool {
        let mut fds = [PollFd::new(&self.back, PollFlags::IN)];
        poll(&mut fds, Some(patience)).unwrap() == 1
    }

    /// A client whose request is answered, and whose connection the program ends in this way.
    fn client(&self, way: &str, version: &str) -> TcpStream {
        let mut client = self.channel.send_connection();
        let request = format!("GET /{way} HTTP/{version}\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\nhi") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
        }
        match way {
            "gone" => client.shutdown(std::net::Shutdown::Write).unwrap(),
            "unread" | "half" | "peeked" => client.write_all(b"GET /more").unwrap(),
            _ => {}
        }
        client
    }
}

/// The client reads the end: an orderly one, or a reset where the program left something unread.
fn has_ended(client: &mut TcpStream) {
    match client.read(&mut [0; 16]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn what_is_closed_between_two_requests_lives_on() {
    let _lock = beside_others();
    for compiler in COMPILERS {
        let scripted = Scripted::honest();
        let mut server = Server::start(&scripted, compiler);
        server.park();
        for way in PARKED {
            let mut client = server.client(way, "1.1");
            let (Parked(passed), socket) = server.next();
            let socket = TcpStream::from(socket.unwrap());
            let request = format!("GET /{way} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(passed.read as usize, request.len(), "{way}");
            assert!(passed.written > 0, "{way}");

            // It is open in both directions, and nothing that the client says is lost.
            if way != "unread" {
                client.write_all(b"GET /more").unwrap();
            }
            socket.set_nonblocking(false).unwrap();
            let mut more = [0; 9];
            (&socket).read_exact(&mut more).unwrap();
            assert_eq!(&more, b"GET /more", "{way}");
            (&socket).write_all(b"more").unwrap();
            client.read_exact(&mut more[..4]).unwrap();
            assert_eq!(&more[..4], b"more", "{way}");
        }
        // After all that was closed the program's epoll has told of nothing that it does not know.
        assert!(server.victim.is_alive());
    }
}

#[test]
fn what_is_not_between_two_requests_is_closed() {
    let _lock = beside_others();
    for compiler in COMPILERS {
        let scripted = Scripted::honest();
        let mut server = Server::start(&scripted, compiler);
        server.park();
        for (way, version) in CLOSED
            .map(|way| (way, "1.1"))
            .into_iter()
            .chain([("close", "1.0"), ("write", "1.0")])
        {
            let mut client = server.client(way, version);
            has_ended(&mut client);
            assert!(
                !server.has_sent(&Timespec::default()),
                "{way} HTTP/{version}"
            );
        }
        assert!(server.victim.is_alive());
    }
}

#[test]
fn a_program_that_is_not_told_to_park_closes() {
    let _lock = beside_others();
    let scripted = Scripted::honest();
    let mut server = Server::start(&scripted, COMPILERS[0]);
    for way in PARKED.into_iter().chain(CLOSED) {
        has_ended(&mut server.client(way, "1.1"));
    }
    assert!(!server.has_sent(&Timespec::default()) && server.victim.is_alive());
}

/// What does not fit into the way is closed as ever, and so is all when nobody is there to receive it.
#[test]
fn without_a_way_connections_are_closed() {
    let _lock = beside_others();
    let scripted = Scripted::honest();
    let mut server = Server::start(&scripted, COMPILERS[0]);
    server.park();
    let mut clients: Vec<_> = (0..400).map(|_| server.client("close", "1.1")).collect();
    let mut last = clients.pop().unwrap();
    has_ended(&mut last);
    let mut count = 0;
    while server.has_sent(&Timespec::default()) {
        assert!(server.next().1.is_some());
        count += 1;
    }
    assert!(count > 0 && count < 400, "{count}");
    // Of those that were parked, all are gone by now: the test has dropped them.
    clients.iter_mut().for_each(has_ended);

    let Server {
        back,
        victim,
        channel,
        theirs,
    } = server;
    drop((back, theirs));
    let (back, theirs) = way();
    server = Server {
        victim,
        channel,
        back,
        theirs,
    };
    for way in PARKED {
        has_ended(&mut server.client(way, "1.1"));
    }
    // It can be told again.
    server.park();
    let _client = server.client("close", "1.1");
    assert!(server.next().1.is_some() && server.victim.is_alive());
}
