//! Listeners where something else than HTTP is spoken.

use super::*;
use telemetry::figures::Foreign;
use telemetry::ids::Place;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// Is not repeated.
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A listener of which nothing is known yet.
fn unknown(members: u64) -> World {
    let mut world = World::new(members, settings(RequestPolicy::NextAvailable));
    world.proxy.cx.listeners.get_mut(GATE).unwrap().spoken = crate::detect::Spoken::UNKNOWN;
    world
}

/// An app that does not speak HTTP is named once for what it speaks, at its first bytes.
#[test]
fn what_a_worker_speaks_is_named_once() {
    for (said, reason, foreign) in [
        (
            &b"\x15\x03\x01\0\x02\x02\x46"[..],
            "speaks TLS",
            Foreign::Tls,
        ),
        (b"220 mail.example ESMTP\r\n", "not HTTP", Foreign::Other),
        (b"\x4a\0\0\0\x0a", "not HTTP", Foreign::Other),
    ] {
        let mut world = unknown(1);
        for named in [vec![(GATE, foreign)], vec![]] {
            let mut client = world.connect();
            world.send(&mut client, GET);
            let (_, mut worker) = world.take();
            arrived(&mut worker);
            worker.write_all(said).unwrap();
            world.run();
            let (answer, _) = arrived(&mut client);
            assert!(
                answer.starts_with("HTTP/1.1 502 ") && answer.contains(reason),
                "{answer}"
            );
            let (reports, _) = world.proxy.reports();
            assert!(reports[0].refusal.reason().contains(reason));
            assert_eq!(world.proxy.foreign(), named);
        }
    }
}

/// Servers of TLS close on plain HTTP without a word.
#[test]
fn a_worker_that_closes_is_asked_once_whether_it_speaks_tls() {
    for (said, reason, foreign) in [
        (
            &b"\x16\x03\x03\0\x01\x02"[..],
            "speaks TLS",
            vec![(GATE, Foreign::Tls)],
        ),
        (OK.as_bytes(), "closed its connection before", vec![]),
        (b"", "closed its connection before", vec![]),
    ] {
        let mut world = unknown(1);
        let fails = |world: &mut World, reason| {
            let mut client = world.connect();
            world.send(&mut client, POST);
            drop(world.take());
            world.run();
            let (answer, _) = arrived(&mut client);
            assert!(
                answer.starts_with("HTTP/1.1 502 ") && answer.contains(reason),
                "{answer}"
            );
        };
        fails(&mut world, "closed its connection before");
        let (_, mut worker) = world.take();
        let mut hello = [0; 5];
        worker.read_exact(&mut hello).unwrap();
        assert_eq!(hello[..3], [0x16, 3, 1]);
        worker.write_all(said).unwrap();
        drop(worker);
        world.run();
        assert_eq!(world.proxy.foreign(), foreign);
        fails(&mut world, reason);
        assert!(world.channels.lying.is_empty());
        assert_eq!(world.proxy.figures(GATE).unwrap().total, 2);
    }
}

/// What lies untaken in a channel is looked through, and the client that brought it about is gone.
#[test]
fn a_greeting_waits_for_a_worker_that_is_slow_to_take_it() {
    let mut world = unknown(2);
    let mut client = world.connect();
    world.send(&mut client, POST);
    drop(world.take());
    world.run();
    drop(client);
    for _ in 0..20 {
        world.pass(SECOND / 200);
    }
    let (_, mut worker) = world.take();
    worker.write_all(b"\x16\x03\x03\0\x01\x02").unwrap();
    world.run();
    assert_eq!(world.proxy.foreign(), [(GATE, Foreign::Tls)]);
}

/// One that does not answer the greeting is left, and one that has died keeps nothing.
#[test]
fn a_greeting_is_not_waited_for() {
    let mut world = unknown(1);
    let mut client = world.connect();
    world.send(&mut client, POST);
    drop(world.take());
    world.run();
    let (_, mut worker) = world.take();
    world.pass(11 * SECOND);
    let mut hello = Vec::new();
    worker.read_to_end(&mut hello).unwrap();
    assert!(hello.starts_with(b"\x16\x03\x01"));
}

/// A greeting that could not be made, for want of a descriptor, is made for the next client.
#[test]
fn a_greeting_that_finds_no_room_is_made_later() {
    let mut world = unknown(1);
    for (connections, greetings) in [(1, 0), (100, 1)] {
        world.proxy.limit_to(100, connections);
        let mut client = world.connect();
        world.send(&mut client, POST);
        drop(world.take());
        world.run();
        assert!(arrived(&mut client).0.starts_with("HTTP/1.1 502 "));
        assert_eq!(world.channels.lying.len(), greetings);
    }
}

#[test]
fn a_worker_that_speaks_first_gets_whole_connections() {
    let mut world = unknown(2);
    let mut first = world.connect();
    let mut early = world.connect();
    world.pass(SECOND);
    let (_, mut worker) = world.take();
    world.send(&mut worker, "hello");
    assert_eq!(arrived(&mut first).0, "hello");
    let (_, mut same) = world.take();
    world.send(&mut same, "hello too");
    assert_eq!(arrived(&mut early).0, "hello too");
    world.send(&mut first, GET);
    assert_eq!(arrived(&mut worker).0, GET, "as it came");
    assert_eq!(world.proxy.foreign(), [(GATE, Foreign::WorkerFirst)]);
    // From now on without a delay, and to the worker that has fewer.
    let mut second = world.connect();
    world.run();
    let (_, mut other) = world.take();
    world.send(&mut other, "hello again");
    assert_eq!(arrived(&mut second).0, "hello again");
    assert_eq!(world.proxy.foreign(), []);
    drop([first, early, second, worker, same, other]);
    world.run();
    let figures = world.proxy.figures(GATE).unwrap();
    assert_eq!(
        (figures.total, figures.upgraded, figures.in_progress),
        (3, 3, 0)
    );
    // One that joins may speak HTTP.
    world.proxy.join(GATE, MemberId(9), Place::of_key(9));
    let _third = world.connect();
    world.run();
    assert!(world.channels.lying.is_empty());
}

/// A connection that passes whole, and that its worker does not take, goes to another one like a request, with
/// all that its client has said: twice here.
#[test]
fn a_whole_connection_that_is_not_taken_goes_to_another_worker() {
    let busy = |world: &mut World, at| world.channels.busy.push(at);
    let full = |world: &mut World, at| world.channels.without_descriptors.push(at);
    let leaves = |world: &mut World, at| world.proxy.leave(at, &mut world.channels);
    for hinder in [busy, full, leaves] {
        let mut world = unknown(3);
        let foreign = crate::detect::Spoken::Foreign(Foreign::WorkerFirst);
        world.proxy.cx.listeners.get_mut(GATE).unwrap().spoken = foreign;
        let mut client = world.connect();
        world.send(&mut client, "one ");
        for said in ["two ", "three "] {
            let at = world.channels.lying[0].0;
            hinder(&mut world, at);
            world.pass(SECOND / 100);
            assert_ne!(world.channels.lying[0].0, at);
            world.send(&mut client, said);
        }
        let (_, mut worker) = world.take();
        world.send(&mut worker, "hello");
        assert_eq!(arrived(&mut client), ("hello".to_owned(), false));
        assert_eq!(arrived(&mut worker), ("one two three ".to_owned(), false));
        assert!(world.channels.lying.is_empty());
        // Each side's end reaches the other one.
        drop(client);
        world.run();
        assert_eq!(arrived(&mut worker), (String::new(), true));
        drop(worker);
        world.run();
        let figures = world.proxy.figures(GATE).unwrap();
        assert_eq!(
            (figures.total, figures.upgraded, figures.in_progress),
            (1, 1, 0)
        );
    }
}

/// What finds out whether a worker speaks first waits for that worker, and another one's is not lost for it.
#[test]
fn a_first_word_is_waited_for_at_one_worker() {
    let mut world = unknown(2);
    let mut client = world.connect();
    world.pass(SECOND / 2 + SECOND / 10);
    let at = world.channels.lying[0].0;
    world.channels.busy.push(at);
    world.pass(SECOND / 2);
    assert_eq!(world.channels.lying[0].0, at);
    let (_, mut worker) = world.take();
    world.send(&mut worker, "hello");
    assert_eq!(arrived(&mut client).0, "hello");
    assert_eq!(world.proxy.foreign(), [(GATE, Foreign::WorkerFirst)]);
    // Where its loop does not wait, the other one is asked.
    let mut world = unknown(2);
    world.channels.busy.push(at);
    let _client = world.connect();
    world.pass(SECOND);
    assert_ne!(world.channels.lying[0].0, at);
}

/// Who says nothing for a while may only come early.
#[test]
fn a_client_that_is_silent_for_a_while_is_served_as_any() {
    for speaks_at in [0, SECOND, 4 * SECOND] {
        let mut world = unknown(1);
        let mut client = world.connect();
        world.pass(speaks_at);
        world.send(&mut client, GET);
        let (_, mut worker) = world
            .channels
            .lying
            .pop_back()
            .map(|(id, end)| (id, UnixStream::from(end)))
            .unwrap();
        worker.set_nonblocking(true).unwrap();
        assert!(arrived(&mut worker).0.starts_with("GET / "), "{speaks_at}");
        world.send(&mut worker, OK);
        assert!(arrived(&mut client).0.ends_with("ok"));
        assert_eq!(world.proxy.figures(GATE).unwrap().total, 1);
        world.channels.lying.clear();
        // HTTP is spoken here: a silent client is given to nobody.
        let _silent = world.connect();
        world.pass(3 * SECOND);
        assert!(world.channels.lying.is_empty());
    }
}

/// Silent clients cost each listener three connections at most, one at a time.
#[test]
fn workers_are_not_tried_without_end() {
    let mut world = unknown(1);
    let clients: Vec<_> = (0..10).map(|_| world.connect()).collect();
    let mut tries = 0;
    for _ in 0..9 {
        world.pass(SECOND / 2);
        tries += world.channels.lying.len();
        assert!(world.channels.lying.len() <= 1);
        world.channels.lying.clear();
    }
    assert_eq!(tries, 3);
    drop(clients);
}
