//! Frames of HTTP/2 that no client would send: floods, nonsense, and what could be read in two ways.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::apps::{Runtime, app, node, started};
use crate::client::Client;
use crate::harness::{Run, beside_others};
use crate::http2::{curl2, port};

/// Frames, one by one.
struct Frames(TcpStream);

impl Frames {
    /// Connects, and says what a client says first.
    fn connect(run: &Run) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port(run))).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        stream.set_write_timeout(patience).unwrap();
        let mut frames = Self(stream);
        frames
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        assert!(frames.send(4, 0, 0, b""));
        frames
    }

    /// Sends a frame; `false` if the other side is gone.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).is_ok()
    }

    /// GET for this path.
    fn get(&mut self, stream: u32, path: &str) -> bool {
        let mut head = vec![0x82, 0x86, 0x41, 1, b'a', 0x04];
        head.push(u8::try_from(path.len()).unwrap());
        head.extend(path.bytes());
        self.send(1, 5, stream, &head)
    }

    /// Reads so much; `false` at the connection's end, by force or not.
    fn read(&mut self, room: &mut [u8]) -> bool {
        match self.0.read_exact(room) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => false,
        }
    }

    /// The next frame: its kind and payload; none at the end.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        if !self.read(&mut head) {
            return None;
        }
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.read(&mut payload).then_some((kind, payload))
    }

    /// The reason that the connection's end is given, or none if it ends without a word.
    fn farewell(&mut self) -> Option<u32> {
        while let Some((kind, payload)) = self.next() {
            if kind == 7 {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        None
    }
}

const ENHANCE_YOUR_CALM: u32 = 11;

fn still_serves(run: &Run) {
    assert_eq!(Client::connect(run).get("/who").status, 200);
    assert!(curl2(run, "/who", &[]).contains("instance"));
}

/// Requests that are called off as soon as a worker has them. (CVE-2023-44487.)
#[test]
fn who_calls_off_too_much_is_sent_away() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun), 2);
    let mut frames = Frames::connect(&run);
    let mut asked = 0;
    // One after the other, so that each is taken before it is called off.
    let farewell = loop {
        assert!(asked < 2000, "nobody minds");
        let stream = 2 * asked + 1;
        asked += 1;
        let alive = frames.get(stream, "/sleep?ms=60000")
            && frames.send(6, 0, 0, &[0; 8])
            && loop {
                match frames.next() {
                    Some((6, ..)) => break true,
                    Some((7, payload)) => {
                        assert_eq!(payload[7], 11);
                        break false;
                    }
                    Some(_) => {}
                    None => break false,
                }
            }
            && frames.send(3, 0, stream, &8_u32.to_be_bytes());
        if !alive {
            break frames.farewell();
        }
    };
    assert!(farewell.is_none() && asked > 100, "{asked}");
    still_serves(&run);
}

/// The same, all at once.
#[test]
fn a_flood_of_resets_is_ended() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun), 2);
    let mut frames = Frames::connect(&run);
    let sent = (0..20_000).take_while(|at| {
        let stream = 2 * at + 1;
        frames.get(stream, "/who") && frames.send(3, 0, stream, &8_u32.to_be_bytes())
    });
    sent.count();
    // Where what was sent was not read, the last words may be lost.
    let farewell = frames.farewell();
    assert!(
        farewell.is_none_or(|it| it == ENHANCE_YOUR_CALM),
        "{farewell:?}"
    );
    still_serves(&run);
}

/// Heads without an end, data without content, and what is not HTTP/2. (CVE-2024-27316 and others.)
#[test]
fn what_breaks_the_protocol_is_ended() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun), 2);
    let mut endless = Frames::connect(&run);
    assert!(endless.send(1, 1, 1, &[0x82, 0x84, 0x86]));
    let field = [&[0x00, 0x01, b'a', 0x64][..], &[b'b'; 0x64]].concat();
    let taken = (0..100_000).take_while(|_| endless.send(9, 0, 1, &field));
    taken.count();
    // The last words may be lost where what was sent has not been read.
    assert!(endless.farewell().is_none_or(|reason| reason != 0));
    still_serves(&run);
    let mut empty = Frames::connect(&run);
    assert!(empty.send(1, 4, 1, &[0x83, 0x84, 0x86, 0x41, 1, b'a']));
    let taken = (0..100_000).take_while(|_| empty.send(0, 0, 1, b""));
    taken.count();
    let reason = empty.farewell();
    assert!(reason.is_none_or(|it| it == ENHANCE_YOUR_CALM));
    still_serves(&run);
    let mut nonsense = Frames::connect(&run);
    let _ = nonsense.0.write_all(&[0xff; 1000]);
    assert!(nonsense.farewell().is_some());
    still_serves(&run);
}

/// What HTTP/2 can say and HTTP/1.1 cannot reaches no worker.
#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let _turn = beside_others();
    let run = started(
        node(
            "http.createServer((request, response) => {
               console.log('reached', JSON.stringify(request.rawHeaders));
               response.end();
             }).listen(port);",
        ),
        1,
    );
    let start = [0x82, 0x86, 0x41, 1, b'a'];
    let path = [0x84];
    let field = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let mut field = vec![0, length(name)];
        field.extend(name.bytes());
        field.push(length(value));
        field.extend(value.bytes());
        field
    };
    for (what, bytes) in [
        (
            "a coding",
            [&path[..], &field("transfer-encoding", "chunked")].concat(),
        ),
        (
            "two lines in a value",
            [&path[..], &field("x", "a\r\nb: c")].concat(),
        ),
        (
            "a line feed in a value",
            [&path[..], &field("x", "a\nb")].concat(),
        ),
        (
            "a NUL in a value",
            [&path[..], &field("x", "a\0b")].concat(),
        ),
        (
            "a line in a name",
            [&path[..], &field("x\r\ny", "a")].concat(),
        ),
        (
            "a colon in a name",
            [&path[..], &field("x:y", "a")].concat(),
        ),
        ("capitals in a name", [&path[..], &field("X", "a")].concat()),
        ("another host", [&path[..], &field("host", "b")].concat()),
        (
            "connection fields",
            [&path[..], &field("connection", "close")].concat(),
        ),
        (
            "an upgrade",
            [&path[..], &field("upgrade", "websocket")].concat(),
        ),
        (
            "two lengths",
            [
                &path[..],
                &field("content-length", "1"),
                &field("content-length", "2"),
            ]
            .concat(),
        ),
        (
            "a length that is none",
            [&path[..], &field("content-length", "+1")].concat(),
        ),
        (
            "a length without a body",
            [&path[..], &field("content-length", "5")].concat(),
        ),
        ("no path", Vec::new()),
        ("a line in a path", field(":path", "/ HTTP/1.1\r\nx: y\r\n")),
        ("a blank in a path", field(":path", "/a b")),
        ("a path that is none", field(":path", "a")),
        ("two paths", [&path[..], &path].concat()),
        (
            "a pseudo field behind others",
            [&field("x", "y")[..], &path].concat(),
        ),
        (
            "a pseudo field that is not known",
            [&path[..], &field(":x", "y")].concat(),
        ),
    ] {
        let mut frames = Frames::connect(&run);
        assert!(frames.send(1, 5, 1, &[&start[..], &bytes].concat()));
        let refused = loop {
            match frames.next() {
                Some((3 | 7, ..)) | None => break true,
                // 400, from the table of HPACK.
                Some((1, head)) => break head.first() == Some(&0x8c),
                Some(_) => {}
            }
        };
        assert!(refused, "{what}");
    }
    // What is told on another connection later is told after all that.
    Client::connect(&run).get("/");
    let seen = run.output("a request", |text| text.contains("reached"));
    assert!(seen.contains("localhost"), "{seen}");
}
