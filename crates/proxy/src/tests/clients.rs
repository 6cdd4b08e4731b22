//! Clients' connections: those that have gone, are idle, or carry something else.

use super::*;
use crate::timeouts::FIRST_REQUEST;

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

/// Thousands of requests may come in one piece: what is left of it stays where it is.
#[test]
fn requests_that_came_at_once_are_not_copied_for_each() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, GET.repeat(10));
    let place = |world: &World| {
        let client = world.proxy.clients.iter().next().unwrap().1;
        (client.link.input.as_ptr() as usize, client.link.input.len())
    };
    let (first, len) = place(&world);
    assert_eq!(len, 9 * GET.len());
    let (_, mut worker) = world.take();
    for n in 1..10 {
        assert!(arrived(&mut worker).0.starts_with("GET / "));
        world.send(&mut worker, OK);
        assert!(arrived(&mut client).0.ends_with("ok"));
        let left = len - n * GET.len();
        let expected = (first + n * GET.len(), left);
        assert!(left == 0 || place(&world) == expected);
    }
}

/// Where the app stops, a connection without a request is closed, but not one whose request is on its way.
#[test]
fn a_request_that_is_on_its_way_while_the_app_stops_is_served() {
    let mut world = World::new(2, settings(RequestPolicy::NextAvailable));
    let mut old = world.connect();
    world.run();
    world.pass(FIRST_REQUEST);
    let (mut idle, mut unread, mut new) = (world.connect(), world.connect(), world.connect());
    let mut silent = world.connect();
    for client in [&mut idle, &mut unread] {
        world.send(client, GET);
        let (_, mut worker) = world.take();
        world.send(&mut worker, OK);
        assert!(arrived(client).0.ends_with("ok"));
        drop(worker);
        world.run();
    }
    // The proxy has not been told of it when it closes.
    unread.write_all(GET.as_bytes()).unwrap();
    world.proxy.close();
    assert!(world.proxy.awaits_requests(GATE));
    assert!(arrived(&mut old).1 && arrived(&mut idle).1);
    world.run();
    world.send(&mut new, GET);
    for (_, mut worker) in [world.take(), world.take()] {
        world.send(&mut worker, OK);
    }
    for client in [&mut unread, &mut new] {
        let (said, ended) = arrived(client);
        assert!(
            said.contains("Connection: close") && said.ends_with("ok"),
            "{said}"
        );
        assert!(ended);
    }
    assert!(world.proxy.awaits_requests(GATE) && !arrived(&mut silent).1);
    world.pass(FIRST_REQUEST);
    assert!(!world.proxy.awaits_requests(GATE));
    world.pass(SECOND);
    assert!(arrived(&mut silent).1);
}
