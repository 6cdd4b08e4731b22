//! What becomes of each request is counted once, and clients have no more places than they may.

use super::*;
use telemetry::figures::{RequestFigures, WorkerRequests};
use telemetry::ids::Place;

/// The figures, of which every request must be in exactly one place.
fn figures(world: &World) -> RequestFigures {
    let figures = world.proxy.figures(GATE).unwrap();
    let failed: u64 = figures.failed.values().sum();
    let ended = figures.answered + figures.upgraded + figures.aborted + failed;
    let under_way = (figures.waiting + figures.in_progress) as u64;
    assert_eq!(figures.total, ended + under_way, "{figures:?}");
    let is_busy = |client: &Client| matches!(client.phase, Phase::Serving(_) | Phase::Tunnel(_));
    let clients = world.proxy.clients.iter();
    let busy = clients.filter(|(_, client)| is_busy(client)).count();
    assert_eq!(under_way, busy as u64, "{figures:?}");
    figures
}

/// A request of a new client, and its worker's side.
fn in_progress(world: &mut World, bytes: &str) -> (UnixStream, UnixStream) {
    let mut client = world.connect();
    world.send(&mut client, bytes);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    figures(world);
    (client, worker)
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";

#[test]
fn every_request_is_counted_once_for_what_became_of_it() {
    let plain = Settings {
        retry_idempotent: false,
        ..settings(RequestPolicy::NextAvailable)
    };
    let mut world = World::new(1, plain);

    let (_client, mut worker) = in_progress(&mut world, GET);
    assert_eq!(figures(&world).in_progress, 1);
    world.send(&mut worker, OK);
    assert_eq!(figures(&world).answered, 1);
    drop(worker);
    world.run();

    let (client, mut worker) = in_progress(&mut world, UPGRADE);
    world.send(&mut worker, SWITCH);
    let figures_now = figures(&world);
    assert_eq!((figures_now.in_progress, figures_now.upgraded), (1, 0));
    drop(client);
    drop(worker);
    world.run();
    assert_eq!(figures(&world).upgraded, 1);

    // Its client goes before the response, and in the middle of it.
    for said in ["", HALF] {
        let (client, mut worker) = in_progress(&mut world, GET);
        world.send(&mut worker, said);
        drop(client);
        world.run();
    }
    assert_eq!(figures(&world).aborted, 2);

    // Its worker does.
    for said in ["", HALF, "nonsense\r\n\r\n"] {
        let (_client, mut worker) = in_progress(&mut world, GET);
        world.send(&mut worker, said);
        drop(worker);
        world.run();
    }
    assert_eq!(figures(&world).failed.get(&502), Some(&3));

    // What is no request is one that failed.
    for bytes in ["nonsense\r\n\r\n", "\x16\x03", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = world.connect();
        world.send(&mut client, bytes);
        figures(&world);
    }
    let mut slow = world.connect();
    world.send(&mut slow, "GET /");
    world.pass(11 * SECOND);
    let all = figures(&world);
    assert_eq!(all.failed.get(&400), Some(&2));
    assert_eq!(all.failed.get(&408), Some(&1));
    assert_eq!(all.failed.get(&505), Some(&1));
    assert_eq!((all.total, all.in_progress, all.waiting), (11, 0, 0));
    // 101; 200, and twice its beginning; 400, 400, 408; 502, 502, 505.
    assert_eq!(all.responses, [1, 3, 0, 3, 3]);
    assert_eq!(all.first_byte.count, 4);

    // One that waits, in vain or not.
    world.channels.full = vec![MemberId(0)];
    let mut first = world.connect();
    world.send(&mut first, GET);
    let mut second = world.connect();
    world.send(&mut second, GET);
    assert_eq!(figures(&world).waiting, 2);
    drop(second);
    world.run();
    assert_eq!(figures(&world).aborted, 3);
    world.pass(11 * SECOND);
    assert_eq!(figures(&world).failed.get(&503), Some(&1));
}

/// From the first byte of a request to the first of its response: what the client takes to send its
/// request, and the worker to answer it.
#[test]
fn the_time_to_the_first_byte_is_counted() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, "GET / HTTP/1.1\r\n");
    world.pass(SECOND);
    world.send(&mut client, "Host: a\r\n\r\n");
    let (_, mut worker) = world.take();
    world.pass(2 * SECOND);
    world.send(&mut worker, &OK[..OK.len() - 1]);
    world.pass(4 * SECOND);
    world.send(&mut worker, &OK[OK.len() - 1..]);
    let waited = figures(&world).first_byte;
    assert_eq!((waited.count, waited.longest), (1, 3 * SECOND));
}

/// A worker that listens no more may complete what it has: that is in progress all the same.
#[test]
fn what_a_leaving_worker_completes_is_counted() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let (_client, mut worker) = in_progress(&mut world, GET);
    world.proxy.leave(MemberId(0), &mut world.channels);
    assert_eq!(figures(&world).in_progress, 1);
    world.send(&mut worker, OK);
    assert_eq!(figures(&world).answered, 1);
}

/// Nothing is kept of a listener that is closed.
#[test]
fn a_closed_listener_goes_with_its_last_request() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let (mut client, mut worker) = in_progress(&mut world, GET);
    world.proxy.leave(MemberId(0), &mut world.channels);
    let mut waiting = world.connect();
    world.send(&mut waiting, GET);
    assert_eq!(figures(&world).waiting, 1);
    world.proxy.shut(GATE);
    world.run();
    assert!(arrived(&mut waiting).0.starts_with("HTTP/1.1 503 "));
    assert_eq!(figures(&world).in_progress, 1);
    world.send(&mut worker, OK);
    assert!(arrived(&mut client).0.ends_with("ok"));
    assert!(world.proxy.figures(GATE).is_none());
    // Over a connection that is left nobody is asked any more.
    let _ = client.write_all(GET.as_bytes());
    world.run();
    assert!(arrived(&mut client).1);
    drop(waiting);
    world.run();
    assert_eq!(world.proxy.clients.len(), 0);
}

/// Each worker's own: what it was given, what it has, and what has failed with it.
#[test]
fn each_worker_has_its_own_figures() {
    let mut world = World::new(2, settings(RequestPolicy::RoundRobin));
    let worker = |world: &World, key: u64| {
        let counted = world.proxy.workers(GATE).get(&Place::of_key(key)).copied();
        let WorkerRequests {
            total,
            in_progress,
            failed,
        } = counted.unwrap_or_default();
        (total, in_progress, failed)
    };
    let (_first, mut at_first) = in_progress(&mut world, GET);
    let (second, _at_second) = in_progress(&mut world, UPGRADE);
    assert_eq!(worker(&world, 0), (1, 1, 0));
    assert_eq!(worker(&world, 1), (1, 1, 0));
    world.send(&mut at_first, OK);
    assert_eq!(worker(&world, 0), (1, 0, 0));
    drop(at_first);
    drop(second);
    world.run();
    assert_eq!(worker(&world, 1), (1, 0, 0));
    // It is sent again: the first one has failed, and the other one has it now.
    let (_third, at_first) = in_progress(&mut world, GET);
    drop(at_first);
    world.run();
    assert_eq!(worker(&world, 0), (2, 0, 1));
    assert_eq!(worker(&world, 1), (2, 1, 0));
    // What nobody has taken is nobody's.
    world.proxy.leave(MemberId(1), &mut world.channels);
    assert_eq!(worker(&world, 1), (1, 0, 0));
    figures(&world);
}

#[test]
fn failures_that_nobody_fetches_are_counted() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    for _ in 0..outcome::REPORTS + 10 {
        let mut client = world.connect();
        world.send(&mut client, "\0");
        drop(client);
    }
    let (reports, more) = world.proxy.reports();
    assert_eq!((reports.len(), more), (outcome::REPORTS, 10));
    assert_eq!(world.proxy.reports().1, 0);
}

fn limited(most: usize) -> Settings {
    Settings {
        client_limit: most,
        trusted: Networks(vec!["10.0.0.0/8".parse().unwrap()]),
        ..settings(RequestPolicy::NextAvailable)
    }
}

#[test]
fn a_client_has_no_more_requests_in_progress_than_it_may() {
    let mut world = World::new(1, limited(1));
    let mut first = world.connect_from("192.0.2.1");
    let mut second = world.connect_from("192.0.2.1");
    let mut other = world.connect_from("192.0.2.2");
    world.send(&mut first, GET);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut second, GET);
    let (said, ended) = arrived(&mut second);
    assert!(said.starts_with("HTTP/1.1 429 "), "{said}");
    assert!(said.contains("Retry-After: ") && !ended, "{said}");
    world.send(&mut other, GET);
    assert_eq!(arrived(&mut other).0, "");
    // What is over makes room, however it ended.
    world.send(&mut worker, OK);
    world.send(&mut second, GET);
    assert_eq!(arrived(&mut second).0, "");
    drop(second);
    world.run();
    world.send(&mut first, "GET / nonsense\r\n\r\n");
    let mut third = world.connect_from("192.0.2.1");
    world.send(&mut third, UPGRADE);
    assert_eq!(arrived(&mut third).0, "");
    assert_eq!(figures(&world).failed.get(&429), Some(&1));
}

/// A tunnel keeps its place to its end.
#[test]
fn an_upgraded_connection_counts_as_long_as_it_lasts() {
    let mut world = World::new(1, limited(1));
    let mut tunnel = world.connect_from("2001:db8::1");
    world.send(&mut tunnel, UPGRADE);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut worker, SWITCH);
    let mut beside = world.connect_from("2001:db8::2");
    world.send(&mut beside, GET);
    assert!(arrived(&mut beside).0.starts_with("HTTP/1.1 429 "));
    drop(worker);
    drop(tunnel);
    world.run();
    world.send(&mut beside, GET);
    assert_eq!(arrived(&mut beside).0, "");
    figures(&world);
}

/// Behind a balancer that is trusted it is the client that counts, not the balancer.
#[test]
fn whom_a_trusted_balancer_names_is_the_client() {
    let mut world = World::new(1, limited(1));
    let asks =
        |client: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    for (from, client, refused) in [
        ("10.0.0.1", "192.0.2.1", false),
        ("10.0.0.1", "192.0.2.2", false),
        ("10.0.0.2", "192.0.2.1", true),
        // Anybody else may say what they like.
        ("192.0.2.3", "192.0.2.4", false),
        ("192.0.2.3", "192.0.2.5", true),
    ] {
        let mut client_link = world.connect_from(from);
        world.send(&mut client_link, asks(client));
        let said = arrived(&mut client_link).0;
        assert_eq!(
            said.starts_with("HTTP/1.1 429 "),
            refused,
            "{from} {client}"
        );
        std::mem::forget(client_link);
    }
}
