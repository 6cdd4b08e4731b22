//! Connections to workers: when they are used again, and what is sent over them.

use super::*;

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

/// Clients whose requests have been answered, and the worker's sides of their pairs.
fn answered(world: &mut World, clients: usize) -> (Vec<UnixStream>, Vec<UnixStream>) {
    let clients: Vec<_> = (0..clients).map(|_| world.connect()).collect();
    clients
        .into_iter()
        .map(|mut client| {
            world.send(&mut client, GET);
            let (_, mut worker) = world.take();
            arrived(&mut worker);
            (client, worker)
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(mut client, mut worker)| {
            world.send(&mut worker, OK);
            assert!(arrived(&mut client).0.ends_with("ok"));
            (client, worker)
        })
        .unzip()
}

/// However many come at once, each is sent once.
#[test]
fn requests_that_come_together_are_sent_together() {
    let count = 3 * crate::upstream::batch::TOGETHER as usize / 2;
    let mut world = World::new(1, settings(RequestPolicy::LeastConn));
    let (mut clients, mut workers) = answered(&mut world, count);
    for (n, client) in clients.iter_mut().enumerate() {
        let request = format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
    }
    world.see_to_events();
    let mut said: Vec<_> = workers.iter_mut().map(|it| arrived(it).0).collect();
    // The first lot is not kept waiting for all others.
    assert!(said.iter().any(|said| !said.is_empty()));
    world.run();
    for (said, worker) in said.iter_mut().zip(&mut workers) {
        said.push_str(&arrived(worker).0);
    }
    let mut asked: Vec<usize> = said
        .iter()
        .map(|said| {
            assert_eq!(said.matches("\r\nHost: a").count(), 1, "{said}");
            let number = said.strip_prefix("GET /").unwrap();
            number[..number.find(' ').unwrap()].parse().unwrap()
        })
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, (0..count).collect::<Vec<_>>());
    assert!(world.channels.lying.is_empty());
}

/// A worker that leaves a connection in the very moment in which it is used again has read nothing
/// of the request, whatever its method.
#[test]
fn a_request_over_a_pair_that_is_left_meanwhile_goes_over_another_one() {
    let plain = Settings {
        retry_idempotent: false,
        ..settings(RequestPolicy::LeastConn)
    };
    let mut world = World::new(1, plain);
    let (mut clients, workers) = answered(&mut world, 3);
    for client in &mut clients {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
    }
    world.see_to_events();
    drop(workers);
    world.end_turn();
    world.run();
    for _ in 0..3 {
        let (_, mut fresh) = world.take();
        assert!(arrived(&mut fresh).0.starts_with("POST / "));
        world.send(&mut fresh, OK);
    }
    for client in &mut clients {
        assert!(arrived(client).0.ends_with("ok"));
    }
}

#[test]
fn a_request_whose_client_leaves_before_it_was_sent_is_not_sent() {
    let mut world = World::new(1, settings(RequestPolicy::LeastConn));
    let (mut clients, mut workers) = answered(&mut world, 2);
    for client in &mut clients {
        client.write_all(GET.as_bytes()).unwrap();
    }
    world.see_to_events();
    drop(clients);
    world.see_to_events();
    world.run();
    for worker in &mut workers {
        assert_eq!(arrived(worker), (String::new(), true));
    }
    assert_eq!(world.proxy.figures(GATE).unwrap().in_progress, 0);
}

/// Answers one request of each connection that lies in this worker's channel, and keeps those.
fn take_and_answer(world: &mut World, member: u64, taken: &mut Vec<UnixStream>) {
    let (theirs, others) = std::mem::take(&mut world.channels.lying)
        .into_iter()
        .partition(|(id, _)| *id == MemberId(member));
    world.channels.lying = others;
    let theirs: VecDeque<(MemberId, OwnedFd)> = theirs;
    for (_, end) in theirs {
        let mut stream = UnixStream::from(end);
        stream.set_nonblocking(true).unwrap();
        arrived(&mut stream);
        world.send(&mut stream, OK);
        taken.push(stream);
    }
}

/// A request that moves to another worker moves with its connection, even if that worker has idle
/// ones for the client. They do not add up: what is not needed is left in its time.
#[test]
fn connections_that_requests_moved_with_are_left_when_nobody_needs_them() {
    let mut world = World::new(2, settings(RequestPolicy::LeastConn));
    let mut clients: Vec<_> = (0..6).map(|_| world.connect()).collect();
    for client in &mut clients {
        world.send(client, GET);
    }
    // The one takes nothing, the other all that it is given, over and over.
    world.channels.busy = vec![MemberId(0)];
    let mut taken = Vec::new();
    while taken.len() < clients.len() {
        take_and_answer(&mut world, 1, &mut taken);
        world.pass(SECOND / 200);
    }
    assert_eq!(world.channels.untaken(MemberId(0)), 0);
    assert_eq!(
        world.proxy.cx.upstream.pools[&MemberId(1)].idle().count(),
        6
    );
    world.channels.busy.clear();
    // One client goes on, for longer than an idle connection is kept.
    for _ in 0..12 {
        world.send(&mut clients[0], GET);
        for stream in &mut taken {
            if arrived(stream).0.starts_with("GET / ") {
                stream.write_all(OK.as_bytes()).unwrap();
            }
        }
        for member in [0, 1] {
            take_and_answer(&mut world, member, &mut Vec::new());
        }
        world.pass(SECOND / 2);
    }
    assert!(world.proxy.cx.upstream.pools[&MemberId(1)].idle().count() <= 1);
    world.pass(5 * SECOND);
    assert_eq!(world.proxy.cx.upstream.connections.len(), 0);
}

/// Sends a request, answers it where it arrives, and says whether that was a new connection.
fn is_new(
    world: &mut World,
    client: &mut UnixStream,
    workers: &mut Vec<UnixStream>,
    request: &str,
) -> bool {
    world.send(client, request);
    let fresh = !world.channels.lying.is_empty();
    if fresh {
        workers.push(world.take().1);
    }
    let mut asked = 0;
    for worker in workers {
        if !arrived(worker).0.is_empty() {
            asked += 1;
            world.send(worker, OK);
        }
    }
    assert_eq!(asked, 1);
    assert!(arrived(client).0.ends_with("ok"));
    fresh
}

/// A worker may answer a request without reading its body, and take that for the next request. What
/// it answers then must come to nobody but the one who sent it.
#[test]
fn what_has_carried_a_body_serves_only_where_that_came_from() {
    let get = |named: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{named}\r\n");
    let post =
        |named: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{named}Content-Length: 2\r\n\r\nhi");
    let chunks = |named: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{named}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    };
    let empty =
        |named: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{named}Content-Length: 0\r\n\r\n");
    let (ann, bob) = (
        "X-Forwarded-For: 203.0.113.1\r\n",
        "X-Forwarded-For: 203.0.113.2\r\n",
    );
    let real = "X-Real-IP: 203.0.113.1\r\n";
    let forged = "X-Forwarded-For: 203.0.113.2, 203.0.113.1\r\n";
    let (direct, balancer) = ("192.0.2.1", "10.0.0.1");
    // Who connects, the first request, whether the second comes over the same connection, that
    // request, and whether it goes over the first one's pair.
    let cases = [
        (direct, get(""), true, get(""), true),
        (direct, get(""), false, get(""), true),
        (direct, get(""), false, post(""), true),
        (direct, empty(""), false, get(""), true),
        (direct, post(""), true, get(""), true),
        (direct, post(""), true, post(""), true),
        (direct, post(""), false, get(""), false),
        (direct, post(""), false, post(""), false),
        (direct, chunks(""), true, get(""), true),
        (direct, chunks(""), false, get(""), false),
        // A proxy that is not known as one tells its clients apart all the same.
        (direct, post(ann), true, get(bob), false),
        (balancer, get(ann), true, get(bob), true),
        (balancer, get(ann), false, get(bob), true),
        (balancer, post(ann), true, get(ann), true),
        (balancer, post(ann), true, get(bob), false),
        (balancer, post(ann), true, post(bob), false),
        (balancer, post(ann), false, get(ann), false),
        (balancer, post(ann), true, get(forged), false),
        (balancer, post(ann), true, get(real), false),
        (balancer, post(real), true, get(real), true),
        // One that names nobody may speak for anybody.
        (balancer, post(""), true, get(""), false),
        (balancer, get(""), true, post(""), true),
    ];
    for (peer, first, same, second, shares) in &cases {
        let trusting = Settings {
            trusted: Networks(vec!["10.0.0.0/8".parse().unwrap()]),
            ..settings(RequestPolicy::NextAvailable)
        };
        let mut world = World::new(1, trusting);
        let mut clients = [world.connect_from(peer), world.connect_from(peer)];
        let mut workers = Vec::new();
        assert!(is_new(&mut world, &mut clients[0], &mut workers, first));
        let next = &mut clients[usize::from(!same)];
        let fresh = is_new(&mut world, next, &mut workers, second);
        assert_eq!(
            !fresh, *shares,
            "{peer}, same connection {same}:\n{first}\n{second}"
        );
    }
}

/// The same behind a Unix listener, where some other program is the client, and speaks for many.
#[test]
fn behind_a_unix_socket_a_connection_alone_is_nobody() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let mut workers = Vec::new();
    assert!(is_new(&mut world, &mut client, &mut workers, post));
    assert_eq!(world.proxy.cx.upstream.connections.len(), 0);
}

/// They are no use to anybody when their client has gone, and few are kept while it is there.
#[test]
fn what_is_bound_to_a_client_goes_with_it() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect_from("192.0.2.1");
    let mut workers = Vec::new();
    for n in 0..40 {
        let post =
            format!("POST / HTTP/1.1\r\nHost: a\r\nX-Real-IP: {n}\r\nContent-Length: 2\r\n\r\nhi");
        assert!(is_new(&mut world, &mut client, &mut workers, &post));
        assert!(world.proxy.cx.upstream.connections.len() <= 16);
    }
    assert_eq!(world.proxy.cx.upstream.connections.len(), 16);
    drop(client);
    world.run();
    assert_eq!(world.proxy.cx.upstream.connections.len(), 0);
    assert_eq!(
        world.proxy.cx.upstream.pools[&MemberId(0)].idle().count(),
        0
    );
}
