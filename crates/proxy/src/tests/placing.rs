//! Which worker gets a request, and what becomes of it where nobody can have it.

use super::*;

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

#[test]
fn a_worker_that_drains_is_awaited_for_one_request_after_the_other() {
    let mut world = World::new(3, settings(RequestPolicy::RoundRobin));
    let mut clients: Vec<_> = (0..3).map(|_| world.connect()).collect();
    for client in &mut clients {
        world.send(client, GET);
    }
    let mut taken: Vec<_> = (0..3).map(|_| world.take()).collect();
    taken.sort_by_key(|(member, _)| member.0);
    let two = [MemberId(0), MemberId(1)];
    let first = world.proxy.awaited(&two[..1], false, None);
    let second = world.proxy.awaited(&two[1..], false, None);
    assert!(first.is_some() && second.is_some() && first != second);
    // What was awaited before is looked at first, and the others only when that is over.
    for known in [first, second] {
        assert_eq!(world.proxy.awaited(&two, false, known), known);
    }
    world.send(&mut taken[1].1, OK);
    assert_eq!(world.proxy.awaited(&two, false, second), first);
    // A stream of events lasts as long as its client likes.
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    world.send(&mut taken[0].1, events);
    assert_eq!(world.proxy.awaited(&two, false, first), None);
    assert_eq!(world.proxy.awaited(&two, true, None), first);
    drop(clients);
    world.run();
    assert_eq!(world.proxy.awaited(&two, true, first), None);
}
