//! Responses that are broken, cut, or read slowly.

use super::*;

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
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
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

/// A worker that never comes to its response is cut off, whether its client hears of interim ones or
/// not.
#[test]
fn interim_responses_have_an_end() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (version, lot, lots) in [("1.1", 1, 1000), ("1.1", 40, 25), ("1.0", 1000, 1)] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        for is_too_many in [false, true] {
            let mut client = world.connect();
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
            world.send(&mut client, head);
            let (_, mut worker) = world.take();
            arrived(&mut worker);
            let mut said = String::new();
            for _ in 0..lots {
                world.send(&mut worker, HINT.repeat(lot));
                said += &arrived(&mut client).0;
            }
            let heard = if version == "1.1" { 1000 } else { 0 };
            assert_eq!(said.matches(" 103 ").count(), heard);
            world.send(&mut worker, if is_too_many { HINT } else { OK });
            let (said, _) = arrived(&mut client);
            let status = if is_too_many { " 502 " } else { " 200 " };
            assert!(said.contains(status), "{said}");
        }
        assert_eq!(world.proxy.figures(GATE).unwrap().in_progress, 0);
    }
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
