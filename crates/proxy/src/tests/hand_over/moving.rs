//! Clients that move to the new proxy, with what has been read from them.

use super::*;

#[test]
fn idle_clients_move() {
    let mut world = old();
    let mut fresh = world.connect_from("192.0.2.7");
    let (mut served, mut worker) = at_worker(&mut world, GET);
    world.send(&mut worker, LAST);
    assert!(arrived(&mut served).0.ends_with("ok"));
    let mut two = Two::after(world);
    assert_eq!(two.clients(), (0, 2));
    assert!(two.old.proxy.has_handed_over());
    for client in [&mut fresh, &mut served] {
        two.send(client, get("again"));
        assert!(two.answer().starts_with("GET /again "));
        let (said, ended) = arrived(client);
        assert!(said.ends_with("ok") && !ended, "{said}");
    }
    assert_eq!((two.old.total(), two.new.total()), (1, 2));
}

/// Whatever has come of a request when the client moves, the worker gets it whole and once.
#[test]
fn what_has_been_read_moves_along() {
    let body = "x".repeat(20_000);
    let long = format!("/{}", "y".repeat(31_000));
    let requests = [
        get("whole"),
        get(&long),
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        format!("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{body}"),
    ];
    for served in [false, true] {
        for request in &requests {
            let cuts = (1..60).step_by(9);
            let cuts = cuts.chain([request.len() / 2, request.len() - 1]);
            for cut in cuts.filter(|cut| *cut < request.len()) {
                let mut world = old();
                let mut client = world.connect();
                if served {
                    world.send(&mut client, GET);
                    let (_, mut worker) = world.take();
                    arrived(&mut worker);
                    world.send(&mut worker, LAST);
                    arrived(&mut client);
                }
                let (first, rest) = request.split_at(cut);
                world.send(&mut client, first);
                let mut two = Two::after(world);
                assert!(two.old.channels.lying.is_empty());
                two.send(&mut client, rest);
                let (_, mut worker) = two.new.take();
                let mut asked = arrived(&mut worker).0;
                two.run();
                asked.push_str(&arrived(&mut worker).0);
                let (line, rest) = request.split_once("\r\n").unwrap();
                assert!(asked.starts_with(line), "{cut}");
                let (_, body) = rest.split_once("\r\n\r\n").unwrap();
                assert!(asked.ends_with(&format!("\r\n\r\n{body}")), "{cut}");
                two.send(&mut worker, LAST);
                assert!(arrived(&mut client).0.ends_with("ok"), "{cut}");
                assert!(two.new.channels.lying.is_empty());
            }
        }
    }
}

#[test]
fn a_client_moves_behind_its_response() {
    for kept in [true, false] {
        let mut world = old();
        let (mut client, mut worker) = at_worker(&mut world, GET);
        let head = match kept {
            true => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab",
            false => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nab",
        };
        world.send(&mut worker, head);
        let mut two = Two::after(world);
        assert_eq!(two.clients(), (1, 0));
        two.send(&mut worker, "cd");
        // What comes behind it waits for the new proxy.
        two.send(&mut client, get("next"));
        assert_eq!(two.clients(), (1, 0));
        two.send(&mut worker, "ef");
        assert_eq!(two.clients(), (0, 1));
        assert!(arrived(&mut client).0.ends_with("abcdef"));
        assert!(two.answer().starts_with("GET /next "));
        assert!(arrived(&mut client).0.ends_with("ok"));
    }
}

#[test]
fn requests_that_came_at_once_are_answered_in_their_order() {
    let mut world = old();
    let all: String = (0..5).map(|n| get(&n.to_string())).collect();
    let (mut client, mut worker) = at_worker(&mut world, all);
    let mut two = Two::after(world);
    two.send(&mut worker, LAST);
    for n in 1..5 {
        assert!(two.answer().starts_with(&format!("GET /{n} ")));
    }
    let (said, ended) = arrived(&mut client);
    assert_eq!(said.matches("200 OK").count(), 5);
    assert!(!ended && two.new.channels.lying.is_empty());
    assert_eq!((two.old.total(), two.new.total()), (1, 4));
}

/// One that waits for a worker, and has sent it nothing, is asked anew; also one that lay untaken in a
/// worker's channel.
#[test]
fn a_request_that_waits_moves() {
    for staged in [false, true] {
        let settings = match staged {
            true => settings(RequestPolicy::NextAvailable),
            false => one_at_a_time(),
        };
        let mut world = World::new(1, settings);
        let (mut first, mut worker) = at_worker(&mut world, GET);
        world.channels.busy.push(MemberId(0));
        let post = "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let upload = "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut clients: Vec<_> = (0..3).map(|_| world.connect()).collect();
        for (client, said) in clients
            .iter_mut()
            .zip([get("get"), post.into(), upload.into()])
        {
            world.send(client, said);
        }
        let lying = world.channels.lying.len();
        assert_eq!(
            (lying, world.proxy.waiting(GATE)),
            if staged { (1, 2) } else { (0, 3) }
        );
        world.send(&mut clients[2], "3\r\nabc\r\n");
        let two = Two {
            old: world,
            new: World::new(4, one_at_a_time()),
        };
        let mut two = two.begin();
        assert_eq!(two.clients(), (1, 3));
        assert!(two.old.channels.lying.is_empty());
        two.send(&mut clients[2], "2\r\nde\r\n0\r\n\r\n");
        let mut asked: Vec<_> = (0..3).map(|_| two.answer()).collect();
        asked.sort();
        assert!(asked[0].starts_with("GET /get ") && asked[1].starts_with("POST /small "));
        assert!(asked[1].ends_with("\r\n\r\nhello"), "{}", asked[1]);
        let body = asked[2].split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        two.send(&mut worker, LAST);
        for client in clients.iter_mut().chain([&mut first]) {
            assert_eq!(arrived(client).0.matches("200 OK").count(), 1);
        }
        assert_eq!((two.old.total(), two.new.total()), (1, 3));
        assert_eq!(two.old.proxy.figures(GATE).unwrap().answered, 1);
    }
}

/// A successor that takes its time loses nothing.
#[test]
fn a_full_way_is_waited_for() {
    let mut old = World::new(
        1,
        Settings {
            max_clients: 1000,
            ..settings(RequestPolicy::NextAvailable)
        },
    );
    let long = format!("/{}", "y".repeat(30_000));
    let mut clients: Vec<_> = (0..200).map(|_| old.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        if n % 3 == 0 {
            let request = get(&long);
            old.send(client, request.split_at(29_000).0);
        }
    }
    let (successor, predecessor) = way();
    sockopt::set_socket_send_buffer_size(&successor, 0).unwrap();
    old.hand_over(successor);
    old.run();
    assert!(!old.proxy.has_handed_over());
    let few = Settings {
        max_clients: 150,
        ..settings(RequestPolicy::NextAvailable)
    };
    let mut new = World::new(1, few);
    new.proxy.follow(predecessor).unwrap();
    let mut two = Two { old, new };
    two.run();
    // There is no room for more.
    assert_eq!(two.new.proxy.clients.len(), 150);
    let mut answered = 0;
    for round in 0..2 {
        for (n, client) in clients.iter_mut().enumerate() {
            if n / 150 != round {
                continue;
            }
            let request = get(&long);
            let rest = if n % 3 == 0 {
                request.split_at(29_000).1
            } else {
                &get("short")
            };
            two.send(client, rest);
            let asked = two.answer();
            assert!(asked.starts_with(if n % 3 == 0 {
                "GET //yyy"
            } else {
                "GET /short "
            }));
            assert!(arrived(client).0.ends_with("ok"));
            client.shutdown(std::net::Shutdown::Both).unwrap();
            two.run();
            answered += 1;
        }
    }
    assert_eq!(answered, 200);
    assert!(two.old.proxy.has_handed_over());
}

/// A balancer in front has not said yet, or not all, for whom it has connected.
#[test]
fn a_proxy_header_may_come_later() {
    let behind = Settings {
        proxy_protocol: true,
        ..settings(RequestPolicy::NextAvailable)
    };
    let header = "PROXY TCP4 192.0.2.9 192.0.2.1 1000 80\r\n";
    for cut in [0, 10, header.len()] {
        let mut world = World::new(1, behind.clone());
        let mut client = world.connect();
        world.send(&mut client, header.split_at(cut).0);
        let mut two = Two::with(world, behind.clone());
        assert_eq!(two.clients(), (0, 1));
        two.send(&mut client, format!("{}{GET}", header.split_at(cut).1));
        let asked = two.answer();
        assert!(asked.contains("X-Real-IP: 192.0.2.9\r\n"), "{cut}: {asked}");
        assert!(arrived(&mut client).0.ends_with("ok"));
    }
}
