//! Clients that stay with the old proxy, and what is refused.

use super::*;

#[test]
fn an_upload_in_progress_comes_to_its_end() {
    let mut world = old();
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut client = world.connect();
    world.send(&mut client, upload);
    let (_, mut worker) = world.take();
    let mut asked = arrived(&mut worker).0;
    let mut two = Two::after(world);
    two.send(&mut client, "3\r\nde");
    two.send(&mut client, format!("f\r\n0\r\n\r\n{}", get("next")));
    asked.push_str(&arrived(&mut worker).0);
    let (_, body) = asked.split_once("\r\n\r\n").unwrap();
    let data: String = body
        .split("\r\n")
        .filter(|it| it.len() > 1 || *it == "f")
        .collect();
    assert_eq!(data, "abcdef");
    two.send(&mut worker, LAST);
    assert!(two.answer().starts_with("GET /next "));
    assert_eq!(arrived(&mut client).0.matches("200 OK").count(), 2);
}

#[test]
fn a_tunnel_goes_on() {
    let mut world = old();
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
    let (mut client, mut worker) = at_worker(&mut world, upgrade);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
    world.send(&mut worker, switch);
    let mut two = Two::after(world);
    arrived(&mut client);
    for word in ["one", "two"] {
        two.send(&mut client, word);
        assert_eq!(arrived(&mut worker).0, word);
        two.send(&mut worker, word);
        assert_eq!(arrived(&mut client).0, word);
    }
    assert!(!two.old.proxy.has_handed_over());
    two.old.proxy.cut();
    two.run();
    assert!(two.old.proxy.has_handed_over());
    assert!(arrived(&mut client).1 && arrived(&mut worker).1);
}

/// Where no successor is left, those who could not move are answered, and let go.
#[test]
fn without_a_successor_clients_are_let_go() {
    let mut world = old();
    let (mut idle, mut worker) = at_worker(&mut world, GET);
    world.send(&mut worker, OK);
    assert!(!arrived(&mut idle).1);
    drop(worker);
    world.run();
    let mut half = world.connect();
    world.send(&mut half, "GET / HT");
    let (mut busy, mut worker) = at_worker(&mut world, GET);
    let (successor, predecessor) = way();
    drop(predecessor);
    world.hand_over(successor);
    world.run();
    assert!(arrived(&mut idle).1);
    world.send(&mut half, "TP/1.1\r\nHost: a\r\n\r\n");
    let (said, _) = arrived(&mut half);
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    world.send(&mut worker, OK);
    let (said, ended) = arrived(&mut busy);
    assert!(said.ends_with("ok") && ended, "{said}");
    drop(half);
    drop(busy);
    world.run();
    assert!(world.proxy.has_handed_over());
}

/// What another version may send is refused, and what it asks for is closed.
#[test]
fn what_is_not_understood_is_refused() {
    let mut random = fastrand::Rng::with_seed(7);
    let (ours, predecessor) = way();
    let mut world = old();
    world.proxy.follow(predecessor).unwrap();
    for _ in 0..2000 {
        let len = random.usize(1..400);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        bytes[0] = 1;
        if let Some(kind) = bytes.get_mut(1) {
            *kind %= 6;
        }
        let descriptor = random.bool().then(|| way().0);
        let fd = descriptor.as_ref().map(std::os::fd::AsFd::as_fd);
        sys::send(std::os::fd::AsFd::as_fd(&ours), &bytes, fd).unwrap();
        world.run();
    }
    assert_eq!(world.proxy.clients.len(), 0);
    assert!(world.proxy.has_predecessor());
    drop(ours);
    world.run();
    assert!(!world.proxy.has_predecessor());
}
