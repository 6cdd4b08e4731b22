//! The proxy between sockets that a test holds both ends of, with workers and a clock of its own:
//! each byte is where the test puts it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use balance::{Look, RequestPolicy};

use super::*;

mod accounts;
mod http2;

const GATE: u64 = 1;
const SECOND: Nanos = 1_000_000_000;

/// Workers whose channels are lists.
#[derive(Default)]
struct Channels {
    /// What lies in them, oldest first.
    lying: VecDeque<(MemberId, OwnedFd)>,
    /// Whose takes nothing.
    full: Vec<MemberId>,
    busy: Vec<MemberId>,
}

impl Workers for Channels {
    fn look(&mut self, member: MemberId) -> Look {
        if self.busy.contains(&member) {
            Look::Running
        } else {
            Look::Waiting
        }
    }

    fn probe(&mut self, _: MemberId) -> bool {
        true
    }

    fn watch(&mut self, _: MemberId, _: bool) {}

    fn hand(&mut self, member: MemberId, end: OwnedFd, _: &[u8]) -> Result<(), OwnedFd> {
        if self.full.contains(&member) {
            return Err(end);
        }
        self.lying.push_back((member, end));
        Ok(())
    }

    fn untaken(&mut self, member: MemberId) -> usize {
        self.lying.iter().filter(|(id, _)| *id == member).count()
    }

    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd> {
        let at = self.lying.iter().position(|(id, _)| *id == member)?;
        self.lying.remove(at).map(|(_, end)| end)
    }
}

/// A proxy, and all around it.
struct World {
    proxy: Proxy,
    epoll: Arc<OwnedFd>,
    channels: Channels,
    now: Nanos,
}

fn settings(policy: RequestPolicy) -> Settings {
    Settings {
        balance: RequestSettings {
            policy,
            max_concurrency: usize::MAX,
            queue: 100,
            patience: 10 * SECOND,
        },
        trusted: Networks::default(),
        proxy_protocol: false,
        tls: Vec::new(),
        instance_header: None,
        retry_idempotent: true,
        max_clients: 100,
        client_limit: usize::MAX,
        access: None,
        head: 32 * 1024,
        body: 0,
        head_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(60),
        stall_time: Duration::from_secs(60),
        answer_time: Duration::from_secs(60),
    }
}

impl World {
    fn new(members: u64, settings: Settings) -> Self {
        // Names of pairs are the whole machine's.
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        let first = u64::from(std::process::id()) << 30 | world << 20;
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let mut proxy = Proxy::new(settings, Arc::clone(&epoll), 1 << 56, first);
        proxy.set_time(SECOND);
        proxy.open(GATE, &[1, 0], "here".to_owned());
        for id in 0..members {
            proxy.join(GATE, MemberId(id), id);
        }
        Self {
            proxy,
            epoll,
            channels: Channels::default(),
            now: SECOND,
        }
    }

    /// Goes on until nothing more happens.
    fn run(&mut self) {
        for _ in 0..1000 {
            let mut events = Vec::with_capacity(64);
            let zero = rustix::event::Timespec::default();
            let spare = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&self.epoll, spare, Some(&zero)).unwrap();
            self.proxy.set_time(self.now);
            for event in &events {
                self.proxy.hear(event.data.u64(), event.flags);
            }
            for event in &events {
                self.proxy
                    .event(event.data.u64(), event.flags, &mut self.channels);
            }
            let due = self.proxy.deadline().is_some_and(|at| at <= self.now);
            if due {
                self.proxy.tick(&mut self.channels);
            }
            if events.is_empty() && !due {
                return;
            }
        }
        panic!("the proxy does not come to rest");
    }

    /// Time passes, in steps as the proxy asks to be woken.
    fn pass(&mut self, time: Nanos) {
        let until = self.now + time;
        loop {
            self.run();
            match self.proxy.deadline() {
                Some(at) if at < until => self.now = at.max(self.now + 1),
                _ => break,
            }
        }
        self.now = until;
        self.run();
    }

    fn connect(&mut self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.admit(theirs.into());
        ours
    }

    fn admit(&mut self, socket: OwnedFd) {
        let caller = Caller::unknown(0);
        self.proxy
            .accept(GATE, socket, &[1, 0], None, caller)
            .unwrap();
    }

    /// A client that has this address.
    fn connect_from(&mut self, address: &str) -> UnixStream {
        let address: IpAddr = address.parse().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let caller = Caller::at(address);
        let accepted = self
            .proxy
            .accept(GATE, theirs.into(), &[1, 0], Some(address), caller);
        accepted.unwrap();
        ours
    }

    fn send(&mut self, stream: &mut UnixStream, bytes: impl AsRef<[u8]>) {
        stream.write_all(bytes.as_ref()).unwrap();
        self.run();
    }

    /// A worker takes the oldest connection in its channel.
    fn take(&mut self) -> (MemberId, UnixStream) {
        let (member, end) = self.channels.lying.pop_front().unwrap();
        let stream = UnixStream::from(end);
        stream.set_nonblocking(true).unwrap();
        (member, stream)
    }
}

/// What has arrived, and whether the connection has ended behind it.
fn arrived(stream: &mut UnixStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).is_ok();
    (String::from_utf8(bytes).unwrap(), ended)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Where no channel takes anything, a request waits without keeping the processor busy, and for no
/// longer than any other.
#[test]
fn a_request_that_nobody_can_be_handed_waits_and_is_refused_in_time() {
    for policy in [
        RequestPolicy::NextAvailable,
        RequestPolicy::RoundRobin,
        RequestPolicy::IpHash,
    ] {
        let mut world = World::new(2, settings(policy));
        world.channels.full = vec![MemberId(0), MemberId(1)];
        let mut client = world.connect();
        world.send(&mut client, GET);
        world.pass(9 * SECOND);
        assert_eq!(arrived(&mut client), (String::new(), false));
        world.pass(2 * SECOND);
        assert!(
            arrived(&mut client).0.starts_with("HTTP/1.1 503 "),
            "{policy:?}"
        );
        let report = world.proxy.reports().0.pop().unwrap();
        assert_eq!(
            report.detail,
            Some("the worker's channel takes nothing more")
        );
    }
}

#[test]
fn a_request_that_could_not_be_handed_goes_on_without_another_event() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    world.channels.full = vec![MemberId(0)];
    let mut client = world.connect();
    world.send(&mut client, GET);
    world.channels.full.clear();
    world.pass(SECOND / 100);
    let (_, mut worker) = world.take();
    assert!(arrived(&mut worker).0.starts_with("GET / "));
}

/// What a worker says unasked never answers the next request.
#[test]
fn a_connection_on_which_something_unasked_lies_is_not_used_again() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, GET);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut worker, OK);
    assert!(arrived(&mut client).0.ends_with("ok"));
    // Its event comes behind the one of the next request.
    client.write_all(GET.as_bytes()).unwrap();
    worker.write_all(OK.replace("ok", "no").as_bytes()).unwrap();
    world.run();
    assert_eq!(arrived(&mut client).0, "");
    let (_, mut fresh) = world.take();
    assert!(arrived(&mut fresh).0.starts_with("GET / "));
}

/// A response that lasts until the connection ends is not whole where that breaks.
#[test]
fn a_broken_connection_ends_no_response() {
    for version in ["1.1", "1.0"] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect();
        world.send(
            &mut client,
            format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"),
        );
        let (_, mut worker) = world.take();
        world.send(&mut worker, "HTTP/1.1 200 OK\r\n\r\nhalf");
        // What lies unread in it makes its end a reset.
        drop(worker);
        world.run();
        let (said, _) = arrived(&mut client);
        assert!(
            said.contains("half") && !said.contains("\r\n0\r\n"),
            "{said}"
        );
        assert_eq!(world.proxy.figures(GATE).unwrap().answered, 0);
    }
}

#[test]
fn a_client_whose_host_has_gone_is_noticed() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = std::net::TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let (socket, _) = door.accept().unwrap();
    let same = socket.try_clone().unwrap();
    world.admit(socket.into());
    assert!(rustix::net::sockopt::socket_keepalive(&same).unwrap());
    let silence = rustix::net::sockopt::tcp_keepidle(&same).unwrap();
    assert_eq!(silence, Duration::from_secs(60));
}

/// An HTTP/1.0 client has no other way to see that something is missing.
#[test]
fn an_old_client_is_reset_where_its_response_is_cut() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let (socket, _) = door.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    world.admit(socket.into());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // TCP may take its time, on loopback too.
    while world.channels.lying.is_empty() {
        world.run();
    }
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    world.send(&mut worker, half);
    drop(worker);
    world.run();
    let end = client.read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_response_that_turns_out_broken_before_it_was_passed_on_is_a_502() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, GET);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(
        &mut worker,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    );
    assert!(arrived(&mut client).0.starts_with("HTTP/1.1 502 "));
}

/// A response that has been read to its end, while its client has not read all of it: the client,
/// the worker, and how many bytes of body have still to be read. The client has sent `sent`.
fn finished_and_clogged(world: &mut World, sent: &str) -> (UnixStream, UnixStream, usize) {
    // How much fits in between is tried out first.
    let mut length = 10_000_000;
    loop {
        let mut client = world.connect();
        world.send(&mut client, sent);
        let (_, mut worker) = world.take();
        arrived(&mut worker);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        world.send(&mut worker, head);
        let head = arrived(&mut client).0;
        assert!(head.ends_with("\r\n\r\n"));
        let mut written = 0;
        let is_clogged = |world: &World| {
            let mut clients = world.proxy.clients.iter();
            clients.any(|(_, client)| client.link.is_clogged())
        };
        while !is_clogged(world) && written < length {
            world.send(&mut worker, "x".repeat(10_000));
            written += 10_000;
        }
        if written == length {
            assert!(is_clogged(world));
            return (client, worker, length);
        }
        length = written;
        drop(client);
        world.run();
    }
}

/// How many bytes a client can still read.
fn count(world: &mut World, client: &mut UnixStream) -> usize {
    let mut count = 0;
    loop {
        match arrived(client).0.len() {
            0 => return count,
            len => count += len,
        }
        world.run();
    }
}

/// What waits to be written goes out before the app's end.
#[test]
fn a_finished_response_is_written_to_its_end_while_the_app_stops() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let (mut client, _worker, length) = finished_and_clogged(&mut world, GET);
    world.proxy.close();
    world.pass(5 * SECOND);
    assert_eq!(count(&mut world, &mut client), length);
    assert!(arrived(&mut client).1);
}

/// A client's last bytes and its end come in one event, after the worker's end.
#[test]
fn a_tunnel_carries_what_comes_with_the_end() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
    world.send(&mut client, upgrade);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
    world.send(&mut worker, switch);
    worker.shutdown(std::net::Shutdown::Write).unwrap();
    world.run();
    assert!(arrived(&mut client).1);
    client.write_all(b"last words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    world.run();
    assert_eq!(arrived(&mut worker), ("last words".to_owned(), true));
}

/// A client that gave up leaves its pair in the channel; those behind it go elsewhere all the
/// same.
#[test]
fn what_lies_behind_an_abandoned_pair_goes_to_another_worker() {
    let mut world = World::new(2, settings(RequestPolicy::LeastConn));
    world.channels.busy = vec![MemberId(0), MemberId(1)];
    let mut clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
    for client in &mut clients {
        world.send(client, GET);
    }
    let first = clients.remove(0);
    drop(first);
    world.run();
    // One takes what it has, and answers it; the other takes nothing.
    let (others, taken): (Vec<_>, Vec<_>) = world
        .channels
        .lying
        .drain(..)
        .partition(|(member, _)| *member == MemberId(0));
    world.channels.lying.extend(others);
    for (_, end) in taken {
        let mut stream = UnixStream::from(end);
        stream.set_nonblocking(true).unwrap();
        arrived(&mut stream);
        world.send(&mut stream, OK);
    }
    world.channels.busy = vec![MemberId(0)];
    world.pass(SECOND / 10);
    assert_eq!(world.channels.untaken(MemberId(1)), 1);
}

#[test]
fn a_repetition_goes_to_another_worker() {
    let mut world = World::new(2, settings(RequestPolicy::LeastConn));
    let mut client = world.connect();
    world.send(&mut client, GET);
    let (first, worker) = world.take();
    // The other one has more to do.
    let mut others: Vec<_> = (0..3).map(|_| world.connect()).collect();
    world.channels.full = vec![first];
    for other in &mut others {
        world.send(other, GET);
        world.pass(SECOND / 100);
    }
    world.channels.full.clear();
    let _theirs = std::mem::take(&mut world.channels.lying);
    drop(worker);
    world.run();
    let (second, _) = world.take();
    assert_ne!(first, second);
}

/// A pipelined request that is all there when its turn comes is not late.
#[test]
fn a_request_that_waited_behind_a_slow_reader_is_not_too_slow() {
    for behind in [GET, "GET / HTTP/1.1\r\n"] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let both = format!("{GET}{behind}");
        let (mut client, mut worker, length) = finished_and_clogged(&mut world, &both);
        world.pass(20 * SECOND);
        assert_eq!(count(&mut world, &mut client), length);
        if behind != GET {
            world.pass(5 * SECOND);
            world.send(&mut client, "Host: a\r\n\r\n");
        }
        let (said, _) = arrived(&mut worker);
        let fresh = |(_, end)| arrived(&mut UnixStream::from(end)).0;
        let said = world.channels.lying.pop_front().map_or(said, fresh);
        assert!(said.starts_with("GET / "), "{said}");
    }
}

#[test]
fn a_worker_that_stops_reading_is_the_one_to_blame() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    let length = 2_000_000;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    world.send(&mut client, head);
    let body = vec![b'x'; length];
    let mut sent = 0;
    while let Ok(len) = client.write(&body[sent..]) {
        sent += len;
        world.run();
    }
    world.pass(61 * SECOND);
    assert!(arrived(&mut client).0.starts_with("HTTP/1.1 504 "));
}

/// A worker that lets a client wait with its body is free for others: its loop is.
#[test]
fn a_body_that_its_worker_does_not_read_holds_up_nobody_else() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut uploading = world.connect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    world.send(&mut uploading, format!("{head}{}", "x".repeat(50_000)));
    let (_, mut worker) = world.take();
    worker.read_exact(&mut [0; 100]).unwrap();
    let mut other = world.connect();
    world.send(&mut other, GET);
    for _ in 0..10 {
        // It takes each probe at once.
        world.proxy.turned(MemberId(0), &mut world.channels);
        world.pass(SECOND / 1000);
    }
    let (_, mut fresh) = world.take();
    assert!(arrived(&mut fresh).0.starts_with("GET / "));
}

/// Connections that are merely kept do not keep others out for as long as they may be kept.
#[test]
fn where_it_is_crowded_idle_clients_make_room() {
    let crowded = Settings {
        max_clients: 8,
        ..settings(RequestPolicy::NextAvailable)
    };
    let mut world = World::new(1, crowded);
    let mut clients: Vec<_> = (0..7).map(|_| world.connect()).collect();
    for client in &mut clients {
        world.send(client, GET);
        let (_, mut worker) = world.take();
        arrived(&mut worker);
        world.send(&mut worker, OK);
        drop(worker);
        world.run();
        arrived(client);
        world.pass(SECOND / 10);
    }
    // As long as there is a place nobody has to go.
    world.pass(5 * SECOND);
    assert!(clients.iter_mut().all(|client| !arrived(client).1));
    // The oldest is the one that asks something.
    world.send(&mut clients[0], GET);
    let mut silent = world.connect();
    assert!(!world.proxy.has_room());
    world.pass(2 * SECOND);
    assert!(world.proxy.has_room());
    let gone: Vec<_> = clients.iter_mut().map(|client| arrived(client).1).collect();
    assert_eq!(gone, [false, true, false, false, false, false, false]);
    assert!(!arrived(&mut silent).1);
}

#[test]
fn the_bodys_limit_is_about_the_body() {
    let limited = Settings {
        body: 10,
        ..settings(RequestPolicy::NextAvailable)
    };
    for (chunk, status) in [("a\r\n0123456789", "200"), ("b\r\n0123456789a", "413")] {
        let mut world = World::new(1, limited.clone());
        let mut client = world.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.send(&mut client, format!("{head}{chunk}\r\n0\r\n\r\n"));
        let (_, mut worker) = world.take();
        let _ = worker.write(OK.as_bytes());
        world.run();
        let said = arrived(&mut client).0;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

/// A byte now and then is no reason to hold a worker.
#[test]
fn a_body_that_trickles_is_too_slow() {
    for (size, status) in [(1, "408"), (2000, "200")] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.send(&mut client, head);
        let (_, mut worker) = world.take();
        for _ in 0..60 {
            let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
            if client.write_all(chunk.as_bytes()).is_err() {
                break;
            }
            world.pass(2 * SECOND);
            arrived(&mut worker);
        }
        let _ = client.write(b"0\r\n\r\n");
        world.run();
        let _ = worker.write(OK.as_bytes());
        world.run();
        let said = arrived(&mut client).0;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

/// Where the length of a body is known, no worker is asked for before a part of it is there.
#[test]
fn a_body_of_known_length_that_trickles_holds_no_worker() {
    for (length, enough) in [(60, 60), (1_000_000, 16 * 1024)] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        world.send(&mut client, head);
        for _ in 1..enough {
            world.send(&mut client, "x");
        }
        assert!(world.channels.lying.is_empty());
        world.send(&mut client, "x");
        let (_, mut worker) = world.take();
        let (said, _) = arrived(&mut worker);
        assert!(said.ends_with(&"x".repeat(enough)), "{said}");
    }
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(
        &mut client,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nx",
    );
    for _ in 0..50 {
        let _ = client.write(b"x");
        world.pass(2 * SECOND);
    }
    assert!(arrived(&mut client).0.starts_with("HTTP/1.1 408 "));
    assert!(world.channels.lying.is_empty());
}
