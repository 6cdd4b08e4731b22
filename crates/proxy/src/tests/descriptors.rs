//! Descriptors that run out: ours, and those of workers.

use super::*;

const CLOSE: &str = "Connection: close";

/// All who wait outside have their turn, with few places and fewer connections to workers.
#[test]
fn where_few_may_come_in_all_have_their_turn() {
    let mut world = World::new(3, settings(RequestPolicy::RoundRobin));
    world.proxy.limit_to(2, 1);
    for round in 0..20 {
        assert!(world.proxy.has_room(), "{round}");
        let mut first = world.connect();
        let mut second = world.connect();
        assert!(!world.proxy.has_room());
        world.proxy.press(true);
        world.send(&mut first, GET);
        world.send(&mut second, GET);
        // There is one connection to a worker, so that one of them waits.
        assert_eq!(world.proxy.cx.upstream.connections.len(), 1);
        for _ in 0..2 {
            let (_, mut worker) = world.take();
            assert!(arrived(&mut worker).0.starts_with("GET / "), "{round}");
            world.send(&mut worker, OK);
            world.pass(SECOND / 100);
        }
        for client in [&mut first, &mut second] {
            let (said, ended) = arrived(client);
            assert!(
                said.contains(CLOSE) && said.ends_with("ok") && ended,
                "{said}"
            );
        }
        drop((first, second));
        world.run();
        world.proxy.press(false);
    }
    assert_eq!(world.proxy.figures(GATE).unwrap().answered, 40);
    let mut client = world.connect();
    world.send(&mut client, GET);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut worker, OK);
    assert!(!arrived(&mut client).0.contains(CLOSE));
}

#[test]
fn idle_clients_make_room_however_few_may_come_in() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    world.proxy.limit_to(2, 2);
    let _silent = [world.connect(), world.connect()];
    assert!(!world.proxy.has_room());
    world.pass(2 * SECOND);
    assert!(world.proxy.has_room());
}

#[test]
fn what_is_open_is_counted() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    let _other = world.connect();
    assert_eq!(world.proxy.descriptors(), 2);
    world.send(&mut client, GET);
    assert_eq!(world.proxy.descriptors(), 3);
}

/// A worker without descriptors takes nothing: what it was given goes to another one, whatever the
/// policy, and nothing more comes its way for a while.
#[test]
fn what_a_worker_without_descriptors_cannot_take_goes_to_another_one() {
    use RequestPolicy::{IpHash, LeastConn, NextAvailable, RoundRobin, Sticky};
    for policy in [NextAvailable, RoundRobin, LeastConn, IpHash, Sticky] {
        let mut world = World::new(2, settings(policy));
        let mut client = world.connect();
        world.send(
            &mut client,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        );
        let first = world.channels.lying[0].0;
        // The other one has work, and could have more.
        world.channels.busy = vec![first];
        world.channels.without_descriptors = vec![first];
        world.pass(SECOND / 200);
        assert_eq!(world.channels.lying.len(), 1, "{policy:?}");
        let (second, mut worker) = world.take();
        assert_ne!(second, first, "{policy:?}");
        assert!(arrived(&mut worker).0.ends_with("hi"), "{policy:?}");
        world.send(&mut worker, OK);
        assert!(arrived(&mut client).0.ends_with("ok"), "{policy:?}");
    }
}

/// The only worker is tried again, and where that is in vain the reason is told.
#[test]
fn a_request_that_waits_for_descriptors_of_the_only_worker_is_told_so() {
    let mut world = World::new(1, settings(RequestPolicy::LeastConn));
    world.channels.without_descriptors = vec![MemberId(0)];
    let mut clients = [world.connect(), world.connect()];
    for client in &mut clients {
        world.send(client, GET);
    }
    world.pass(SECOND);
    assert!(!arrived(&mut clients[0]).1);
    world.channels.without_descriptors.clear();
    world.pass(SECOND / 5);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut worker, OK);
    world.channels.without_descriptors = vec![MemberId(0)];
    world.pass(11 * SECOND);
    let said = clients.iter_mut().map(|client| arrived(client).0);
    let said: Vec<_> = said.collect();
    assert!(said.iter().any(|said| said.ends_with("ok")), "{said:?}");
    let (reports, _) = world.proxy.reports();
    assert_eq!(
        reports[0].detail,
        Some("the worker has too many open files; raise its limit (ulimit -n)")
    );
}

/// Who has just come has not been silent: what it asks may lie there unread. It is not closed for the
/// sake of the next one, and after a moment those that do ask nothing are.
#[test]
fn who_has_just_come_is_not_closed_for_the_next_one() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    world.proxy.limit_to(4, 4);
    let mut lasting = world.connect_from("192.0.2.1");
    world.send(&mut lasting, GET);
    let mut others = [1; 3].map(|_| world.connect_from("192.0.2.2"));
    assert!(!world.proxy.make_room_at_once());
    others[0].write_all(GET.as_bytes()).unwrap();
    world.proxy.press(true);
    world.pass(SECOND / 20);
    assert!(!world.proxy.make_room_at_once());
    assert!(others.iter_mut().all(|client| !arrived(client).1));
    // While newcomers wait that happens by itself.
    world.pass(SECOND / 10);
    assert!(world.proxy.has_room());
    assert!(!arrived(&mut others[0]).1);
}
