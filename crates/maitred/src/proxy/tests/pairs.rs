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
    let count = 3 * super::super::post::TOGETHER as usize / 2;
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
    assert_eq!(world.proxy.desks[&MemberId(1)].idle().count(), 6);
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
    assert!(world.proxy.desks[&MemberId(1)].idle().count() <= 1);
    world.pass(5 * SECOND);
    assert_eq!(world.proxy.pairs.len(), 0);
}
