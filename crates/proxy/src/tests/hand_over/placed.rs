//! Requests of the old proxy's that the new one places.

use super::*;

/// One that lay in a channel and never waited is placed by the new proxy, and answered through the old one.
#[test]
fn a_request_that_was_not_taken_goes_to_another_worker() {
    let mut world = old();
    let mut client = world.connect();
    let post = "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    world.send(&mut client, format!("{post}{}", "a".repeat(40_000)));
    assert_eq!(world.channels.lying.len(), 1);
    let mut two = Two::after(world);
    assert!(two.old.channels.lying.is_empty());
    let (_, mut worker) = two.new.take();
    let mut asked = arrived(&mut worker).0;
    two.send(&mut client, "a".repeat(60_000));
    asked.push_str(&arrived(&mut worker).0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /large ") && body == "a".repeat(100_000));
    two.send(&mut worker, LAST);
    assert!(arrived(&mut client).0.ends_with("ok"));
    assert_eq!(two.clients(), (0, 1));
    two.send(&mut client, get("next"));
    assert!(two.answer().starts_with("GET /next "));
}

/// HTTP/2 clients are told to come again, and what they ask until then is answered: the new proxy finds a
/// worker for it, and counts it there as long as it lasts.
#[test]
fn http2_requests_are_answered_until_the_client_has_heard() {
    let mut world = old();
    let mut client = http2::greeted(&mut world);
    world.send(&mut client, http2::get(1));
    let (_, mut first) = world.take();
    arrived(&mut first);
    let mut settings = settings(RequestPolicy::NextAvailable);
    settings.balance.max_concurrency = 2;
    let mut two = Two::with(world, settings);
    let (said, ended) = http2::frames(&mut client);
    assert!(said.iter().any(|(kind, _)| *kind == http2::GOAWAY) && !ended);
    two.send(&mut client, http2::get(3));
    two.send(&mut client, http2::get(5));
    let (_, mut second) = two.new.take();
    assert!(arrived(&mut second).0.starts_with("GET / "));
    // The worker may have two at a time.
    assert!(two.new.channels.lying.is_empty());
    assert_eq!(two.new.proxy.waiting(GATE), 1);
    two.send(&mut first, LAST);
    two.send(&mut second, LAST);
    two.run();
    let (_, mut third) = two.new.take();
    two.send(&mut third, LAST);
    let (said, _) = http2::frames(&mut client);
    assert_eq!(said.iter().filter(|(kind, _)| *kind == 1).count(), 3);
    assert_eq!(two.old.proxy.figures(GATE).unwrap().answered, 3);
    two.old.pass(4 * SECOND);
    assert!(two.old.proxy.has_handed_over());
}

/// What the old proxy had put into a channel stays there, whatever happens around it; and it goes to another
/// worker when this one leaves.
#[test]
fn what_another_proxy_has_put_into_a_channel_is_not_lost() {
    for is_refused in [false, true] {
        let mut world = World::new(2, settings(RequestPolicy::LeastConn));
        let foreign: Vec<_> = (0..2)
            .map(|n| {
                make_pair(
                    u64::from(std::process::id()) << 31 | 1 << 60 | n,
                    &[1, 0],
                    &[1, 0],
                )
            })
            .map(Result::unwrap)
            .collect();
        let mut foreign: Vec<UnixStream> = foreign
            .into_iter()
            .map(|(ours, theirs)| {
                world.channels.lying.push_back((MemberId(0), theirs));
                ours.into()
            })
            .collect();
        for (n, ours) in foreign.iter_mut().enumerate() {
            ours.write_all(get(&format!("old/{n}")).as_bytes()).unwrap();
        }
        world.channels.busy = vec![MemberId(0), MemberId(1)];
        let mut clients: Vec<_> = (0..6).map(|_| Some(world.connect())).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            world.send(client.as_mut().unwrap(), get(&format!("new/{n}")));
        }
        // Their requests are taken out of the channels.
        clients[0] = None;
        clients[3] = None;
        world.run();
        if is_refused {
            world.channels.full.push(MemberId(0));
        }
        world.pass(SECOND / 50);
        if !is_refused {
            let at_first = world.channels.lying.iter().take(2);
            assert!(
                at_first
                    .into_iter()
                    .all(|(member, _)| *member == MemberId(0))
            );
        }
        world.proxy.leave(MemberId(0), &mut world.channels);
        world.pass(SECOND / 50);
        assert_eq!(world.channels.untaken(MemberId(0)), 0);
        let mut asked = Vec::new();
        while !world.channels.lying.is_empty() {
            let (_, mut worker) = world.take();
            let said = arrived(&mut worker).0;
            asked.push(said.split(' ').nth(1).unwrap_or_default().to_owned());
            world.send(&mut worker, LAST);
        }
        asked.sort();
        let all = ["/new/1", "/new/2", "/new/4", "/new/5", "/old/0", "/old/1"];
        assert_eq!(asked, all, "{is_refused}");
        for ours in &mut foreign {
            ours.set_nonblocking(true).unwrap();
            assert!(arrived(ours).0.ends_with("ok"));
        }
    }
}

/// Requests that another proxy has in progress do not count when that has ended.
#[test]
fn what_another_proxy_had_is_over_with_it() {
    let mut world = old();
    let mut client = http2::greeted(&mut world);
    let mut two = Two::with(world, one_at_a_time());
    two.send(&mut client, http2::get(1));
    let (_, _worker) = two.new.take();
    let mut waiting = two.new.connect();
    two.send(&mut waiting, GET);
    assert_eq!(two.new.proxy.waiting(GATE), 1);
    let Two { old, new } = two;
    drop(old);
    let mut world = new;
    world.pass(SECOND / 100);
    assert_eq!(world.proxy.waiting(GATE), 0);
    assert_eq!(world.channels.lying.len(), 1);
}

/// A worker's requests of the old proxy's count with the new one, for as long as they last.
#[test]
fn what_workers_have_in_progress_is_known_to_the_new_proxy() {
    let mut world = World::new(2, settings(RequestPolicy::LeastConn));
    let (mut client, mut worker) = at_worker(&mut world, GET);
    let mut second = world.connect();
    world.send(&mut second, GET);
    let (member, mut tunnel) = world.take();
    arrived(&mut tunnel);
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    world.send(&mut tunnel, events);
    assert_eq!(member, MemberId(1));
    let two = Two {
        old: world,
        new: World::new(2, one_at_a_time()),
    };
    let mut two = two.begin();
    let awaited = |two: &Two, member, opaque| {
        let found = two.new.proxy.awaited(&[MemberId(member)], opaque, None);
        assert_eq!(
            two.new.proxy.awaited(&[MemberId(member)], opaque, found),
            found
        );
        found.is_some()
    };
    for opaque in [false, true] {
        assert!(awaited(&two, 0, opaque));
        assert_eq!(awaited(&two, 1, opaque), opaque);
    }
    // Each worker may have one at a time.
    let mut third = two.new.connect();
    two.send(&mut third, GET);
    assert_eq!(two.new.proxy.waiting(GATE), 1);
    two.send(&mut worker, LAST);
    assert!(arrived(&mut client).0.ends_with("ok"));
    assert_eq!(two.new.proxy.waiting(GATE), 0);
    let (member, _worker) = two.new.take();
    assert_eq!(member, MemberId(0));
    assert!(two.new.proxy.awaited(&[member], false, None).is_some());
    drop(tunnel);
    two.run();
    assert!(!awaited(&two, 1, true));
}

/// The new proxy may be quicker, and have put something into a channel before the old one has done with it.
#[test]
fn what_the_new_proxy_has_put_into_a_channel_stays_there() {
    let mut world = World::new(1, settings(RequestPolicy::LeastConn));
    let mut client = world.connect();
    world.send(&mut client, get("old"));
    let (ours, theirs) = make_pair(
        u64::from(std::process::id()) << 31 | 1 << 60,
        &[1, 0],
        &[1, 0],
    )
    .unwrap();
    UnixStream::from(ours)
        .write_all(get("new").as_bytes())
        .unwrap();
    world.channels.lying.push_back((MemberId(0), theirs));
    let mut two = Two::after(world);
    assert!(two.answer().starts_with("GET /old "));
    assert!(arrived(&mut client).0.ends_with("ok"));
    let (_, mut worker) = two.old.take();
    assert!(arrived(&mut worker).0.starts_with("GET /new "));
    assert!(two.old.channels.lying.is_empty());
}
