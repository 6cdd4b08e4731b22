//! Requests that lie ready before workers that are busy, and can be taken back.

use super::*;

/// Two workers that have read a request each, and are at work on it.
fn two_at_work(world: &mut World) -> [(UnixStream, MemberId, UnixStream); 2] {
    let mut client = || {
        let mut client = world.connect();
        world.send(&mut client, GET);
        let (member, mut worker) = world.take();
        assert!(arrived(&mut worker).0.starts_with("GET / "));
        world.channels.busy.push(member);
        (client, member, worker)
    };
    [client(), client()]
}

#[test]
fn a_staged_request_goes_to_the_worker_that_frees() {
    let mut world = World::new(2, settings(RequestPolicy::NextAvailable));
    let [(_first, at, mut worker), (_second, other, _busy)] = two_at_work(&mut world);
    let mut third = world.connect();
    world.send(&mut third, GET);
    // It lies behind the younger work.
    assert_eq!(world.channels.untaken(other), 1);
    world.channels.busy.retain(|member| *member != at);
    world.send(&mut worker, OK);
    assert_eq!(world.channels.untaken(other), 0);
    let (member, mut stream) = world.take();
    assert_eq!(member, at);
    assert!(arrived(&mut stream).0.starts_with("GET / "));
    world.send(&mut stream, OK);
    assert!(arrived(&mut third).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_worker_that_takes_a_staged_request_answers_it() {
    let mut world = World::new(2, settings(RequestPolicy::NextAvailable));
    let [(_first, _, _busy), (mut second, other, mut worker)] = two_at_work(&mut world);
    for _ in 0..20 {
        let mut next = world.connect();
        world.send(&mut next, GET);
        assert_eq!(world.channels.untaken(other), 1);
        world.send(&mut worker, OK);
        assert!(arrived(&mut second).0.starts_with("HTTP/1.1 200 "));
        let (member, mut stream) = world.take();
        assert_eq!(member, other);
        world.proxy.turned(member, &mut world.channels);
        assert!(arrived(&mut stream).0.starts_with("GET / "));
        world.run();
        (second, worker) = (next, stream);
    }
    // Of all these connections to the worker one is idle, and one is in use, beside that of the first.
    assert_eq!(world.proxy.cx.upstream.connections.len(), 3);
}

#[test]
fn the_client_of_a_staged_request_may_leave() {
    let mut world = World::new(2, settings(RequestPolicy::NextAvailable));
    let [(_first, at, mut worker), (_second, other, _busy)] = two_at_work(&mut world);
    let mut third = world.connect();
    world.send(&mut third, GET);
    assert_eq!(world.channels.untaken(other), 1);
    drop(third);
    world.run();
    let mut fourth = world.connect();
    world.send(&mut fourth, GET);
    world.channels.busy.retain(|member| *member != at);
    world.send(&mut worker, OK);
    world.pass(SECOND / 100);
    // Over the connection that has just become idle, or a new one.
    let mut answered = arrived(&mut worker).0;
    while !world.channels.lying.is_empty() {
        let (member, mut stream) = world.take();
        if member == at {
            answered.push_str(&arrived(&mut stream).0);
        }
    }
    assert_eq!(answered.matches("GET / ").count(), 1);
}

/// One that can have no more in progress gets nothing staged either.
#[test]
fn nothing_is_staged_beyond_what_a_worker_may_have() {
    let mut settings = settings(RequestPolicy::NextAvailable);
    settings.balance.max_concurrency = 1;
    let mut world = World::new(2, settings);
    let [_one, _two] = two_at_work(&mut world);
    let mut third = world.connect();
    world.send(&mut third, GET);
    world.pass(SECOND / 100);
    assert!(world.channels.lying.is_empty());
    assert_eq!(world.proxy.waiting(GATE), 1);
}
