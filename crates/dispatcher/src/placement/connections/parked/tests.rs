//! Parked connections, by a clock that the tests set.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;

const HERE: ListenerId = ListenerId(1);
const SECOND: Nanos = 1_000_000_000;

struct Bench {
    listener: TcpListener,
    parked: Parked,
}

impl Bench {
    /// Up to two are parked, for ten seconds each.
    fn new() -> Self {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            parked: Parked::new(epoll, Some(Duration::from_secs(10)), 4),
        }
    }

    /// A client with its connection.
    fn connection(&self) -> (TcpStream, Connection) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        let peer = sys::peer_address(server.as_fd()).unwrap();
        let connection = Connection::new(server.into(), peer.as_bytes(), None);
        (client, connection)
    }

    /// A client whose connection is parked from `now` on.
    fn parks(&mut self, now: Nanos) -> TcpStream {
        let (client, connection) = self.connection();
        let hash = crate::address::client(&[], 1);
        assert!(
            self.parked
                .park(now, HERE, connection, hash, true)
                .is_none()
        );
        client
    }
}

fn has_ended(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    match client.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// What its client says has arrived at the other end.
fn say(client: &mut TcpStream, parked: &Parked, number: u64) {
    client.write_all(b"GET").unwrap();
    let begin = Instant::now();
    while !has_unread(&parked.all[&number].connection) {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
}

#[test]
fn one_that_is_idle_for_too_long_is_closed_and_no_other() {
    let mut bench = Bench::new();
    let mut first = bench.parks(0);
    let mut second = bench.parks(5 * SECOND);
    let due = bench.parked.deadline().unwrap();
    // Less what it has been idle before.
    assert!(due <= 10 * SECOND && due > 0);
    bench.parked.expire(due - 1);
    assert_eq!(bench.parked.count(HERE), 2);
    bench.parked.expire(due);
    assert_eq!(bench.parked.count(HERE), 1);
    assert!(has_ended(&mut first) && !has_ended(&mut second));
    assert!(bench.parked.deadline().unwrap() > due);
}

#[test]
fn a_request_wakes_it_and_waits_for_room() {
    let mut bench = Bench::new();
    let mut client = bench.parks(0);
    say(&mut client, &bench.parked, 0);
    let flags = epoll::EventFlags::IN;
    assert!(bench.parked.event(0, flags, |_| false).is_none());
    assert!(bench.parked.next_held(|_| false).is_none());
    // Its time is over, and it is served nevertheless.
    bench.parked.expire(Nanos::MAX);
    let woken = bench.parked.next_held(|id| id == HERE).unwrap();
    assert_eq!((woken.listener, bench.parked.count(HERE)), (HERE, 0));
    assert!(bench.parked.next_held(|_| true).is_none() && !has_ended(&mut client));
    assert_eq!(bench.parked.deadline(), None);
}

#[test]
fn a_client_that_leaves_is_forgotten() {
    let mut bench = Bench::new();
    drop(bench.parks(0));
    let flags = epoll::EventFlags::IN;
    assert!(bench.parked.event(0, flags, |_| true).is_none());
    assert_eq!(bench.parked.count(HERE), 0);
    // Late events are about nothing.
    assert!(bench.parked.event(0, flags, |_| true).is_none());
}

#[test]
fn the_longest_idle_makes_room() {
    let mut bench = Bench::new();
    let mut clients = [0, SECOND, 2 * SECOND].map(|now| bench.parks(now));
    assert_eq!(bench.parked.count(HERE), 2);
    assert_eq!(
        clients.each_mut().map(has_ended),
        [true, false, false],
        "the first has left"
    );
    // One that a worker has given back does not push others out.
    let (_client, connection) = bench.connection();
    let client = crate::address::client(&[], 1);
    let refused = bench.parked.park(0, HERE, connection, client, false);
    assert!(refused.is_some() && bench.parked.count(HERE) == 2);
    assert!(bench.parked.shed() && !bench.parked.shed());
    assert_eq!(bench.parked.count(HERE), 0);

    // Not one whose request has come.
    let mut client = bench.parks(0);
    say(&mut client, &bench.parked, 3);
    assert!(!bench.parked.shed());
    assert!(!has_ended(&mut client));
}

#[test]
fn at_the_end_of_the_app_all_are_closed_but_those_with_a_request() {
    let mut bench = Bench::new();
    let (mut idle, mut asks) = (bench.parks(0), bench.parks(0));
    say(&mut asks, &bench.parked, 1);
    bench.parked.close_all();
    assert!(has_ended(&mut idle) && !has_ended(&mut asks));
    assert!(bench.parked.next_held(|_| true).is_some());
    let (_client, connection) = bench.connection();
    let client = crate::address::client(&[], 1);
    assert!(
        bench
            .parked
            .park(0, HERE, connection, client, true)
            .is_some()
    );
    bench.parked.reopen();
    let mut client = bench.parks(0);
    bench.parked.close(ListenerId(2));
    assert!(!has_ended(&mut client));
    bench.parked.close(HERE);
    assert!(has_ended(&mut client));
}

/// A client that connected just before the app's end may send its request yet.
#[test]
fn at_the_end_of_the_app_first_requests_are_awaited_for_a_moment() {
    let mut bench = Bench::new();
    bench.parked.close_all();
    let caller = crate::address::client(&[], 1);
    let awaits = |bench: &mut Bench| {
        let (client, connection) = bench.connection();
        let refused = bench.parked.await_first(0, HERE, connection, caller);
        (client, refused.is_none())
    };
    let ((mut asks, one), (mut silent, other)) = (awaits(&mut bench), awaits(&mut bench));
    // Of the descriptors they get half, as others do.
    assert!(one && other && !awaits(&mut bench).1);
    assert!(bench.parked.awaits(HERE) && !bench.parked.awaits(ListenerId(2)));
    say(&mut asks, &bench.parked, 0);
    bench.parked.close_all();
    let woken = bench.parked.event(0, epoll::EventFlags::IN, |_| true);
    assert_eq!(woken.map(|woken| woken.listener), Some(HERE));
    bench.parked.expire(FIRST_REQUEST - 1);
    assert!(bench.parked.awaits(HERE) && !has_ended(&mut silent));
    bench.parked.expire(FIRST_REQUEST);
    assert!(!bench.parked.awaits(HERE) && has_ended(&mut silent));
}

#[test]
fn members_are_told_until_they_answer() {
    let mut parked = Bench::new().parked;
    let (one, other) = (MemberId(1), MemberId(2));
    parked.tell(0, one);
    parked.tell(0, other);
    assert_eq!(parked.deadline(), Some(0));
    assert_eq!(parked.due_to_be_told(0).len(), 2);
    assert!(parked.due_to_be_told(0).is_empty());
    parked.forget(one);
    let mut times = 0;
    while let Some(at) = parked.deadline() {
        assert_eq!(parked.due_to_be_told(at), [other]);
        times += 1;
    }
    assert_eq!(times, TIMES - 1);
}
