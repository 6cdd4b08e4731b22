//! Thousands of connections at once, from one thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's own limit of open files, so that it can hold as many connections.
pub(crate) fn raise_file_limit(wanted: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    // Root may raise the hard limit too.
    let enough = Rlimit {
        current: Some(wanted),
        maximum: maximum.map(|maximum| maximum.max(wanted)),
    };
    if let Err(error) = setrlimit(Resource::Nofile, enough) {
        panic!("this test opens {wanted} files, and the hard limit is {maximum:?}: {error}");
    }
}

/// How many connections stand at once: fewer than a listener's backlog holds. Of what arrives beyond
/// that the kernel drops a part, the request sometimes and not the connection. The client repeats it
/// after up to a minute, and meanwhile the runtime closes what seems idle to it.
fn at_once() -> usize {
    let backlog = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    backlog.trim().parse::<usize>().unwrap() / 10 * 9
}

struct Connection {
    socket: OwnedFd,
    asked: bool,
    answer: Vec<u8>,
}

impl Connection {
    /// Begins to connect; the epoll tells when the connection stands.
    fn begin(to: SocketAddr, epoll: &OwnedFd, number: usize) -> Connection {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => panic!("connection {number}: {error}"),
        }
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(epoll, &socket, data, epoll::EventFlags::OUT).unwrap();
        Connection {
            socket,
            asked: false,
            answer: Vec::new(),
        }
    }
}

/// Opens `count` connections, as many at once as can be, sends a request on each as soon as it stands,
/// and reads all answers. Returns how often each outcome came: an HTTP status line, or what went wrong.
pub(crate) fn storm(
    to: SocketAddr,
    path: &str,
    count: usize,
    deadline: Instant,
) -> BTreeMap<String, usize> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    for number in 0..count.min(at_once()) {
        connections.push(Some(Connection::begin(to, &epoll, number)));
    }

    let mut outcomes = BTreeMap::new();
    let mut open = count;
    let mut events = Vec::with_capacity(1024);
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        events.clear();
        let left = left.try_into().unwrap();
        let found = rustix::io::retry_on_intr(|| {
            let room = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&epoll, room, Some(&left))
        });
        if found.unwrap() == 0 {
            outcomes.insert("no answer in time".to_owned(), open);
            break;
        }
        for event in &events {
            let number = event.data.u64() as usize;
            let Some(connection) = connections[number].as_mut() else {
                continue;
            };
            let outcome = if connection.asked {
                receive(&connection.socket, &mut connection.answer)
            } else {
                connection.asked = true;
                let sent = sockopt::socket_error(&connection.socket)
                    .unwrap()
                    .and_then(|()| rustix::io::write(&connection.socket, request.as_bytes()));
                let data = epoll::EventData::new_u64(number as u64);
                epoll::modify(&epoll, &connection.socket, data, epoll::EventFlags::IN).unwrap();
                sent.err().map(|error| format!("connecting: {error}"))
            };
            if let Some(outcome) = outcome {
                connections[number] = None;
                open -= 1;
                if connections.len() < count {
                    let next = Connection::begin(to, &epoll, connections.len());
                    connections.push(Some(next));
                }
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
    }
    outcomes
}

/// Reads what has come. The outcome is known at the end of the connection.
fn receive(socket: &OwnedFd, answer: &mut Vec<u8>) -> Option<String> {
    let mut buffer = [0; 4096];
    match rustix::io::read(socket, &mut buffer) {
        Ok(0) => {
            let text = String::from_utf8_lossy(answer);
            Some(
                text.lines()
                    .next()
                    .unwrap_or("closed without an answer")
                    .to_owned(),
            )
        }
        Ok(length) => {
            answer.extend_from_slice(&buffer[..length]);
            None
        }
        Err(Errno::AGAIN) => None,
        Err(error) => Some(format!("reading: {error}")),
    }
}
