//! Clients that send as fast as they can, whatever they send: each has its share of a turn, the
//! others have theirs, and what asks for nothing is ended.

use super::http2::{ENHANCE_YOUR_CALM, GOAWAY, frame, frames, get, greeted};
use super::*;
use crate::forward::body::UNITS;
use crate::io::READ;
use crate::limits::shares::OF_CONNECTION;
use crate::link::BYTES;

/// Sends the same over and over.
struct Flood {
    bytes: Vec<u8>,
    /// So much has been sent.
    sent: usize,
}

impl Flood {
    fn of(part: &[u8]) -> Self {
        Self {
            bytes: part.repeat(64 * 1024 / part.len() + 1),
            sent: 0,
        }
    }

    /// Sends until the socket is full.
    fn fill(&mut self, stream: &mut UnixStream) {
        let rest = |sent| &self.bytes[sent % self.bytes.len()..];
        while let Ok(len) = stream.write(rest(self.sent)) {
            self.sent += len;
        }
    }
}

/// What floods there are, and what must have come before them.
fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let preface = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b""),
    ]
    .concat();
    let request = |field: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n").into_bytes();
    vec![
        ("requests in a row", Vec::new(), request("")),
        (
            "large heads",
            Vec::new(),
            request(&format!("X: {}\r\n", "a".repeat(30_000))),
        ),
        ("small chunks", chunks.clone(), b"1\r\na\r\n".to_vec()),
        ("chunks with extensions", chunks, b"1;a=b\r\na\r\n".to_vec()),
        (
            "a large body",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
            vec![b'a'; 9999],
        ),
        ("PING", preface.clone(), frame(6, 0, 0, &[0; 8])),
        ("SETTINGS", preface.clone(), frame(4, 0, 0, b"")),
        (
            "WINDOW_UPDATE",
            preface.clone(),
            frame(8, 0, 0, &[0, 0, 0, 1]),
        ),
        (
            "PRIORITY",
            preface.clone(),
            frame(2, 0, 1, &[0, 0, 0, 3, 0]),
        ),
        ("frames that are not known", preface, frame(99, 0, 0, b"x")),
    ]
}

/// What is left of a share is begun whatever the last step costs: a step itself, all that is read at
/// once, and what of that is framing.
const MOST: u32 = OF_CONNECTION + (READ / BYTES + UNITS) as u32;

/// However much one client has sent, in each turn it gets so far and no further, and whoever comes
/// meanwhile is served in the same turn.
#[test]
fn a_flood_takes_its_share_of_each_turn() {
    for (what, before, flood) in floods() {
        let mut world = World::new(1, settings(RequestPolicy::RoundRobin));
        let mut flooder = world.connect_from("192.0.2.1");
        let mut other = world.connect_from("192.0.2.2");
        world.send(&mut flooder, before);
        let mut flood = Flood::of(&flood);
        let mut workers: Vec<UnixStream> = Vec::new();
        for round in 0..20 {
            flood.fill(&mut flooder);
            other.write_all(GET.as_bytes()).unwrap();
            world.see_to_events();
            world.end_turn();
            let flooder_took = taken(&world);
            assert!((1..=MOST).contains(&flooder_took), "{what}: {flooder_took}");
            // Both lie there, in whichever order.
            while !world.channels.lying.is_empty() {
                workers.push(world.take().1);
            }
            let mut asked = false;
            for worker in &mut workers {
                let mut said = vec![0; 1 << 20];
                let len = worker.read(&mut said).unwrap_or(0);
                let said = String::from_utf8_lossy(&said[..len]);
                asked |= said.contains("X-Real-IP: 192.0.2.2");
                if said.starts_with("GET") {
                    let _ = worker.write_all(OK.as_bytes());
                }
            }
            assert!(asked, "{what}: {round}");
            world.see_to_events();
            world.end_turn();
            assert!(arrived(&mut other).0.ends_with("ok"), "{what}: {round}");
            let _ = flooder.read(&mut vec![0; 1 << 20]);
        }
    }
}

/// What the first client has had of its last turn.
fn taken(world: &World) -> u32 {
    let (_, first) = world.proxy.clients.iter().next().unwrap();
    first.share.taken()
}

/// Frames that ask for nothing are answered for a while.
#[test]
fn what_asks_for_nothing_is_ended() {
    for (what, _, flood) in floods().into_iter().skip(5) {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = greeted(&mut world);
        let mut flood = Flood::of(&flood);
        let mut ended = false;
        let mut farewell = None;
        for _ in 0..200 {
            flood.fill(&mut client);
            world.run();
            let (said, over) = frames(&mut client);
            let last = said.iter().find(|(kind, _)| *kind == GOAWAY);
            farewell = farewell.or(last.map(|(_, payload)| payload[7]));
            ended |= over;
        }
        world.pass(4 * SECOND);
        assert!(ended || frames(&mut client).1, "{what}");
        assert!(
            farewell.is_none_or(|it| it == ENHANCE_YOUR_CALM),
            "{what}: {farewell:?}"
        );
        assert_eq!(world.proxy.clients.len(), 0, "{what}");
    }
}

/// A client with requests may say what it needs to say beside them.
#[test]
fn frames_beside_requests_are_no_flood() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = greeted(&mut world);
    let mut worker = None;
    for n in 0..2000 {
        world.send(
            &mut client,
            [
                get(2 * n + 1),
                frame(8, 0, 0, &[0, 0, 0, 9]),
                frame(6, 0, 0, &[0; 8]),
            ]
            .concat(),
        );
        let worker = worker.get_or_insert_with(|| {
            world
                .channels
                .lying
                .pop_front()
                .map(|(_, end)| UnixStream::from(end))
                .unwrap()
        });
        worker.set_nonblocking(true).unwrap();
        assert!(arrived(worker).0.starts_with("GET / "), "{n}");
        world.send(worker, OK);
        let (said, ended) = frames(&mut client);
        assert!(
            !ended && said.iter().all(|(kind, _)| *kind != GOAWAY),
            "{n}"
        );
    }
}

/// Many connections have no more than one, where it comes to that.
#[test]
fn many_connections_of_one_address_are_one_client() {
    let mut world = World::new(1, settings(RequestPolicy::RoundRobin));
    let ping = frame(6, 0, 0, &[0; 8]);
    let preface = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b""),
    ]
    .concat();
    let mut flooders: Vec<_> = (0..60).map(|_| world.connect_from("192.0.2.1")).collect();
    for flooder in &mut flooders {
        let pings = ping.repeat(900);
        flooder.write_all(&[&preface[..], &pings].concat()).unwrap();
    }
    world.see_to_events();
    world.end_turn();
    let mut answers: Vec<_> = flooders.iter_mut().map(pongs).collect();
    // Sixteen frames cost a unit, and 256 of those is what one address has.
    let taken: usize = answers.iter().sum();
    assert!(taken > 0 && taken < 60 * 900 / 2, "{taken}");
    // Nothing is lost: each is answered in its turn.
    world.run();
    for (flooder, answers) in flooders.iter_mut().zip(&mut answers) {
        *answers += pongs(flooder);
        assert_eq!(*answers, 900);
    }
}

/// How many answers to PING have arrived on a connection that goes on.
fn pongs(client: &mut UnixStream) -> usize {
    let (said, ended) = frames(client);
    assert!(!ended);
    said.iter().filter(|(kind, _)| *kind == 6).count()
}

/// How much of a body of chunks like this one reaches the worker in so many milliseconds, while as much
/// comes as is taken. Two connections of one address bring it.
fn passed_in(milliseconds: u32, world: &mut World, chunk: &[u8]) -> usize {
    let mut floods = Vec::new();
    for _ in 0..2 {
        let mut client = world.connect_from("192.0.2.1");
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.send(&mut client, head);
        floods.push((client, Flood::of(chunk), world.take().1));
    }
    let mut all = 0;
    for _ in 0..milliseconds {
        for (client, flood, worker) in &mut floods {
            flood.fill(client);
            let mut room = [0; 64 * 1024];
            while let Ok(len @ 1..) = worker.read(&mut room) {
                all += len;
            }
        }
        world.pass(SECOND / 1000);
    }
    all
}

/// Chunks that are hardly more than framing come at a rate, whatever else there is to do, and over however
/// many connections. Others are not held up.
#[test]
fn tiny_chunks_have_a_rate() {
    let mut world = World::new(1, settings(RequestPolicy::RoundRobin));
    // Of each six bytes one is data, which pays for one of framing: four count. A million of these
    // are 250,000 chunks; 64 KiB come at once.
    let tiny = passed_in(1000, &mut world, b"1\r\na\r\n");
    assert!((220_000..320_000).contains(&tiny), "{tiny}");
    let mut other = world.connect_from("192.0.2.2");
    world.send(&mut other, GET.as_bytes());
    let mut worker = world.take().1;
    assert!(arrived(&mut worker).0.starts_with("GET / "));
    world.send(&mut worker, OK);
    assert!(arrived(&mut other).0.ends_with("ok"));

    let mut world = World::new(1, settings(RequestPolicy::RoundRobin));
    let small = passed_in(50, &mut world, b"8\r\nabcdefgh\r\n");
    assert!(small > 1_000_000, "{small}");
}

/// A body that is not chunked has no framing, whoever shares its address.
#[test]
fn tiny_chunks_slow_down_no_other_body_of_their_address() {
    let mut world = World::new(1, settings(RequestPolicy::RoundRobin));
    let mut flooder = world.connect_from("192.0.2.1");
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(&mut flooder, head);
    let _held = world.take();
    Flood::of(b"1\r\na\r\n").fill(&mut flooder);
    world.run();
    let mut client = world.connect_from("192.0.2.1");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
    let begin = [head, &"a".repeat(30_000)].concat();
    world.send(&mut client, begin.as_bytes());
    let mut worker = world.take().1;
    arrived(&mut worker);
    world.send(&mut client, b"some body");
    let said = arrived(&mut worker).0;
    assert!(said.ends_with("some body"), "{said}");
}

/// What was held up comes whole, and its request is answered.
#[test]
fn a_body_of_tiny_chunks_comes_whole() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect_from("192.0.2.1");
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(&mut client, head);
    let mut worker = world.take().1;
    let bytes = [&b"1\r\na\r\n".repeat(100_000)[..], b"0\r\n\r\n"].concat();
    let (mut sent, mut body) = (0, String::new());
    let begun = world.now;
    while !body.ends_with("0\r\n\r\n") {
        sent += client.write(&bytes[sent..]).unwrap_or(0);
        world.pass(SECOND / 1000);
        let (said, ended) = arrived(&mut worker);
        assert!(!ended);
        body += &said;
        assert!(world.now - begun < 2 * SECOND, "{sent} sent");
    }
    assert!(body.bytes().filter(|byte| *byte == b'a').count() >= 100_000);
    world.send(&mut worker, OK);
    assert!(arrived(&mut client).0.ends_with("ok"));
}

/// What a client sends behind a refusal is thrown away, and not as fast as it comes.
#[test]
fn what_comes_behind_a_refusal_has_a_rate() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect_from("192.0.2.1");
    world.send(&mut client, b"POST / HTTP/1.1\r\n\r\n");
    let mut flood = Flood::of(b"a");
    let mut said = String::new();
    for _ in 0..400 {
        flood.fill(&mut client);
        world.pass(SECOND / 1000);
        said += &arrived(&mut client).0;
    }
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    // In 0.4 s there are 100 reads, and what the socket holds.
    assert!(
        (3_000_000..7_500_000).contains(&flood.sent),
        "{}",
        flood.sent
    );
    world.pass(2 * SECOND);
    assert_eq!(world.proxy.clients.len(), 0);
}
