//! Clients that leave: while their request waits, is with a worker, is being sent or answered.

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// What a request may be at when its client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing has been answered.
    Worker,
    /// The same, with a body that the worker has been sent.
    Posted,
    /// Half of the body has been sent, and the worker has read it.
    Upload,
    /// Nothing more of the body fits into the connection to the worker.
    CloggedUpload,
    /// A part of the response has gone out, and the worker pauses.
    Paused,
    /// The client has stopped to read.
    Clogged,
    Events,
}

const ALL: [At; 7] = [
    At::Worker,
    At::Posted,
    At::Upload,
    At::CloggedUpload,
    At::Paused,
    At::Clogged,
    At::Events,
];

impl At {
    fn reached(self, world: &mut World) -> (UnixStream, UnixStream) {
        let mut client = world.connect();
        let request = match self {
            Self::Worker | Self::Paused | Self::Clogged | Self::Events => GET.to_owned(),
            Self::Posted => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
            Self::Upload | Self::CloggedUpload => format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n{}",
                "x".repeat(20_000)
            ),
        };
        world.send(&mut client, request);
        let (_, mut worker) = world.take();
        if self == Self::CloggedUpload {
            let part = [b'x'; 10_000];
            while client.write(&part).is_ok() {
                world.run();
            }
        } else {
            arrived(&mut worker);
        }
        match self {
            Self::Paused => world.send(&mut worker, format!("{HEAD}some")),
            Self::Events => world.send(&mut worker, format!("{EVENTS}data: 1\n\n")),
            Self::Clogged => {
                world.send(&mut worker, HEAD);
                let part = [b'x'; 10_000];
                while worker.write(&part).is_ok() {
                    world.run();
                }
            }
            Self::Worker | Self::Posted | Self::Upload | Self::CloggedUpload => {}
        }
        (client, worker)
    }
}

/// Whether a worker hears that its client has left: its connection has ended.
fn hears(worker: &mut UnixStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match worker.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_worker_hears_at_once_that_its_client_has_left() {
    for at in ALL {
        for whole in [false, true] {
            let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
            let (client, mut worker) = at.reached(&mut world);
            assert!(at == At::CloggedUpload || !hears(&mut worker), "{at:?}");
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let _kept = (!whole).then_some(client);
            world.run();
            assert!(hears(&mut worker), "{at:?}");
            let figures = world.proxy.figures(GATE).unwrap();
            assert_eq!((figures.aborted, figures.in_progress), (1, 0), "{at:?}");
            assert_eq!(world.proxy.clients.len(), 0, "{at:?}");
            assert_eq!(world.proxy.cx.upstream.connections.len(), 0, "{at:?}");
        }
    }
}

/// Where half-closed clients are answered, only those leave who are gone altogether, or who would
/// hold a stream for ever.
#[test]
fn a_client_that_closes_one_side_stays_where_it_may() {
    for at in ALL {
        let patient = Settings {
            half_closed: true,
            ..settings(RequestPolicy::NextAvailable)
        };
        let mut world = World::new(1, patient);
        let (client, mut worker) = at.reached(&mut world);
        client.shutdown(std::net::Shutdown::Write).unwrap();
        world.run();
        let leaves = matches!(at, At::Events | At::Upload);
        if at != At::CloggedUpload {
            assert_eq!(hears(&mut worker), leaves, "{at:?}");
        }
        // A response that pauses for long may have no reader any more.
        world.pass(9 * SECOND);
        assert_eq!(world.proxy.clients.len(), usize::from(!leaves), "{at:?}");
        world.pass(2 * SECOND);
        let gone = leaves || at == At::Paused;
        assert_eq!(world.proxy.clients.len(), usize::from(!gone), "{at:?}");
        drop(client);
        world.run();
        assert_eq!(world.proxy.clients.len(), 0, "{at:?}");
        assert!(hears(&mut worker), "{at:?}");
    }
}

#[test]
fn a_request_whose_client_has_left_in_the_queue_reaches_no_worker() {
    use RequestPolicy::{IpHash, LeastConn, NextAvailable, RoundRobin, Sticky};
    for policy in [NextAvailable, RoundRobin, LeastConn, IpHash, Sticky] {
        let mut one = settings(policy);
        one.balance.max_concurrency = 1;
        let mut world = World::new(1, one);
        let mut first = world.connect();
        world.send(&mut first, GET);
        let (_, mut worker) = world.take();
        arrived(&mut worker);
        let mut waiting: Vec<_> = (0..4).map(|_| world.connect()).collect();
        for client in &mut waiting {
            world.send(client, GET);
        }
        let mut live = world.connect();
        world.send(&mut live, "GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(world.proxy.figures(GATE).unwrap().waiting, 5, "{policy:?}");
        let half = waiting.split_off(2);
        drop(waiting);
        for client in &half {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        world.run();
        let figures = world.proxy.figures(GATE).unwrap();
        assert_eq!((figures.waiting, figures.aborted), (1, 4), "{policy:?}");
        world.send(&mut worker, OK);
        let (said, _) = arrived(&mut worker);
        assert!(said.starts_with("GET /live "), "{policy:?}: {said}");
        assert!(world.channels.lying.is_empty(), "{policy:?}");
    }
}

/// A request and its client's end may come together: then no worker hears of either.
#[test]
fn a_request_that_comes_with_its_clients_end_reaches_no_worker() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    client.write_all(GET.as_bytes()).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    world.run();
    assert!(world.channels.lying.is_empty());
    assert_eq!(world.proxy.figures(GATE).unwrap().aborted, 1);
    assert!(arrived(&mut client).1);
}

/// A response that is complete, and still on its way, is not given up.
#[test]
fn the_rest_of_a_complete_response_goes_out() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, GET);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    world.send(&mut worker, OK);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    world.run();
    let (said, ended) = arrived(&mut client);
    assert!(said.ends_with("ok") && ended, "{said}");
    assert_eq!(world.proxy.figures(GATE).unwrap().answered, 1);
}

/// A worker that is blocked has taken nothing of what lies in its channel: what clients that have
/// left had asked for goes out of it, and the rest stays in its order.
#[test]
fn a_request_whose_client_has_left_is_taken_out_of_a_blocked_workers_channel() {
    use RequestPolicy::{IpHash, LeastConn, NextAvailable, RoundRobin, Sticky};
    // What is answered so is not kept for the next request.
    let last = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for is_refused in [false, true] {
        for policy in [NextAvailable, RoundRobin, LeastConn, IpHash, Sticky] {
            let mut world = World::new(1, settings(policy));
            let mut clients: Vec<_> = (0..6).map(|_| Some(world.connect())).collect();
            for (n, client) in clients.iter_mut().enumerate() {
                let request = format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
                world.send(client.as_mut().unwrap(), request);
            }
            world.channels.busy.push(MemberId(0));
            // Under some policies one waits for a free worker.
            let waiting = world.proxy.figures(GATE).unwrap().waiting;
            assert_eq!(world.channels.lying.len() + waiting, 6, "{policy:?}");
            for gone in [0, 2, 5] {
                clients[gone] = None;
            }
            world.run();
            if is_refused {
                // Not even what it had is taken by it again.
                world.channels.full.push(MemberId(0));
            }
            world.pass(SECOND / 100);
            let figures = world.proxy.figures(GATE).unwrap();
            assert_eq!(figures.aborted, 3, "{policy:?}");
            assert_eq!(figures.in_progress + figures.waiting, 3, "{policy:?}");
            world.channels.full.clear();
            world.channels.busy.clear();
            world.proxy.turned(MemberId(0), &mut world.channels);
            world.pass(SECOND / 100);
            let mut asked = Vec::new();
            while !world.channels.lying.is_empty() {
                let (_, mut worker) = world.take();
                let (said, ended) = arrived(&mut worker);
                assert!(!ended, "{policy:?}: {said}");
                asked.push(said.split(' ').nth(1).unwrap_or_default().to_owned());
                world.send(&mut worker, &last);
            }
            assert_eq!(asked, ["/1", "/3", "/4"], "{policy:?} {is_refused}");
            for client in clients.iter_mut().flatten() {
                assert!(arrived(client).0.ends_with("ok"), "{policy:?}");
            }
        }
    }
}
