//! HTTP/2 connections and time: what becomes of those that do nothing, or do not end.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const SETTINGS: u8 = 4;
const RESET: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
pub(super) const ENHANCE_YOUR_CALM: u8 = 11;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET /` on this stream.
pub(super) fn get(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, &[0x82, 0x84, 0x86, 0x41, 1, b'a'])
}

/// The frames that have arrived, each with its payload, and whether the connection has ended.
pub(super) fn frames(stream: &mut UnixStream) -> (Vec<(u8, Vec<u8>)>, bool) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).is_ok();
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
        let (payload, next) = behind.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        frames.push((*kind, payload.to_vec()));
        rest = next;
    }
    (frames, ended)
}

fn has(frames: &[(u8, Vec<u8>)], kind: u8) -> bool {
    frames.iter().any(|(it, _)| *it == kind)
}

pub(super) fn greeted(world: &mut World) -> UnixStream {
    let mut client = world.connect();
    world.send(&mut client, PREFACE);
    world.send(&mut client, frame(SETTINGS, 0, 0, b""));
    let (said, ended) = frames(&mut client);
    assert!(has(&said, SETTINGS) && !ended);
    client
}

#[test]
fn an_idle_connection_is_told_that_it_ends() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    world.pass(59 * SECOND);
    assert!(!has(&frames(&mut client).0, GOAWAY));
    world.pass(2 * SECOND);
    assert!(has(&frames(&mut client).0, GOAWAY));
    // It does not agree, and goes all the same.
    world.pass(3 * SECOND);
    assert!(frames(&mut client).1);
    assert_eq!(world.proxy.clients.len(), 0);
}

#[test]
fn a_connection_with_a_request_is_not_idle() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    world.send(&mut client, get(1));
    let (_, mut worker) = world.take();
    world.send(&mut worker, "HTTP/1.1 200 OK\r\n\r\nfirst");
    for _ in 0..10 {
        world.pass(30 * SECOND);
        world.send(&mut worker, "more");
        let (said, ended) = frames(&mut client);
        assert!(!has(&said, GOAWAY) && !has(&said, RESET) && !ended);
    }
}

#[test]
fn who_does_not_greet_is_gone_in_the_time_of_a_head() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(&mut client, PREFACE.split_at(20).0);
    world.pass(11 * SECOND);
    assert!(frames(&mut client).1);
}

/// A head that never ends holds nothing for longer than an idle connection.
#[test]
fn half_a_head_is_not_waited_for() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    world.send(&mut client, frame(1, 1, 1, &[0x82, 0x84]));
    world.pass(64 * SECOND);
    assert!(frames(&mut client).1);
}

#[test]
fn what_there_is_no_room_for_may_be_asked_again() {
    let mut settings = settings(RequestPolicy::NextAvailable);
    settings.max_clients = 3;
    let mut world = World::new(1, settings);
    let mut client = greeted(&mut world);
    for stream in [1, 3, 5] {
        world.send(&mut client, get(stream));
    }
    let (said, _) = frames(&mut client);
    let resets: Vec<_> = said.iter().filter(|(kind, _)| *kind == RESET).collect();
    let refused = [0, 0, 0, 7].to_vec();
    assert_eq!(resets, [&(RESET, refused)]);
}

/// Where it is crowded, those that ask nothing are not kept.
#[test]
fn idle_connections_make_room() {
    let mut settings = settings(RequestPolicy::NextAvailable);
    settings.max_clients = 16;
    let mut world = World::new(1, settings);
    let mut idle: Vec<_> = (0..15).map(|_| greeted(&mut world)).collect();
    let mut busy = greeted(&mut world);
    assert!(!world.proxy.has_room());
    world.pass(SECOND / 2);
    world.send(&mut busy, frame(6, 0, 0, &[0; 8]));
    world.pass(2 * SECOND);
    assert!(world.proxy.has_room());
    assert!(idle.iter_mut().any(|client| frames(client).1));
    assert!(!frames(&mut busy).1);
}

#[test]
fn a_connection_ends_with_its_last_request_when_the_app_stops() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    world.send(&mut client, get(1));
    let (_, mut worker) = world.take();
    world.proxy.close();
    world.pass(SECOND);
    let (said, ended) = frames(&mut client);
    assert!(has(&said, GOAWAY) && !ended);
    arrived(&mut worker);
    world.send(&mut worker, OK);
    let (said, _) = frames(&mut client);
    assert!(has(&said, 1) && has(&said, 0), "{said:?}");
    world.pass(4 * SECOND);
    assert!(frames(&mut client).1);
    assert_eq!(world.proxy.clients.len(), 0);
}

/// Where the client is gone, its requests are, too.
#[test]
fn a_broken_connection_ends_all_its_requests() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    for stream in [1, 3, 5] {
        world.send(&mut client, get(stream));
    }
    assert_eq!(world.proxy.clients.len(), 4);
    drop(client);
    world.run();
    assert_eq!(world.proxy.clients.len(), 0);
    assert_eq!(world.proxy.figures(GATE).unwrap().in_progress, 0);
}
