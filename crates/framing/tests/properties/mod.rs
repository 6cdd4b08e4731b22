//! What must hold of any bytes at all. Each function takes some, and panics where something does
//! not hold; the seeded tests call them, and so do the fuzz targets in `fuzz/`.

use std::mem::MaybeUninit;

use framing::{Connection, Seen};
use http1::{BodyDecoder, End, HEADERS, Upgrade, find_end, parse_request, parse_response};

pub(crate) type Property = fn(&[u8]);

/// All of them, by name.
pub(crate) const ALL: [(&str, Property); 2] = [
    ("followed_requests", requests),
    ("followed_responses", responses),
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What the strict reader makes of some bytes.
#[derive(Debug)]
struct Strict {
    /// How many messages are complete.
    complete: usize,
    /// Nothing is left of the bytes.
    whole: bool,
    /// Each of them lets the connection go on as it is.
    goes_on: bool,
}

/// A connection that has got these requests is idle only when as many answers have been given as the
/// strict reader finds requests, and nothing of another one has come. How they are cut on their way
/// changes nothing.
pub(crate) fn requests(bytes: &[u8]) {
    let strict = strict_requests(bytes);
    let mut all = Vec::new();
    for cut in cuts(bytes) {
        let mut connection = Connection::new();
        let mut follow = || {
            for piece in bytes.chunks(cut) {
                connection.received(piece);
            }
            let mut answers = 0;
            while connection.seen() == Seen::Busy && answers < 70 {
                connection.sent(ANSWER);
                answers += 1;
            }
            (connection.seen(), answers)
        };
        let (seen, answers) = follow();
        if seen == Seen::Idle {
            assert_eq!(follow(), (seen, answers), "the same again");
        }
        if let (Seen::Idle, Some(strict)) = (seen, &strict) {
            assert_eq!(answers, strict.complete, "{strict:?}");
            assert!(strict.whole && strict.goes_on, "{strict:?}");
        }
        all.push((seen, answers));
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    if let Some(strict) = strict.filter(|it| it.whole && it.goes_on && it.complete <= 64) {
        // What is plain is followed: else nothing is gained. A field too long to be kept is not.
        let plain = bytes
            .split(|byte| *byte == b'\n')
            .all(|line| line.len() < 64);
        assert!(!plain || all[0].0 == Seen::Idle, "{strict:?} {all:?}");
    }
}

/// The same of responses to a request, and to a HEAD.
pub(crate) fn responses(bytes: &[u8]) {
    for request in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let strict = strict_response(bytes, request.starts_with(b"HEAD"));
        let mut all = Vec::new();
        for cut in cuts(bytes) {
            let mut connection = Connection::new();
            let mut follow = || {
                connection.received(request);
                for piece in bytes.chunks(cut) {
                    connection.sent(piece);
                }
                connection.seen()
            };
            let seen = follow();
            if seen == Seen::Idle {
                assert_eq!(follow(), seen, "the same again");
            }
            if let (Seen::Idle, Some(strict)) = (seen, &strict) {
                assert_eq!(strict.complete, 1, "{strict:?}");
                assert!(strict.whole && strict.goes_on, "{strict:?}");
            }
            all.push(seen);
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    }
}

/// Sizes of pieces: all at once, one by one, and one that the bytes choose.
fn cuts(bytes: &[u8]) -> [usize; 3] {
    [
        bytes.len().max(1),
        1,
        usize::from(bytes.first().map_or(2, |first| first % 19 + 2)),
    ]
}

/// `None` if it refuses them.
fn strict_requests(mut bytes: &[u8]) -> Option<Strict> {
    let mut strict = Strict {
        complete: 0,
        whole: true,
        goes_on: true,
    };
    while !bytes.is_empty() {
        let end = match find_end(bytes, 0).ok()? {
            End::At(end) => end,
            End::Beyond(_) => {
                strict.whole = false;
                break;
            }
        };
        let (head, rest) = bytes.split_at(end);
        let mut room = [MaybeUninit::uninit(); HEADERS];
        let request = parse_request(head, &mut room).ok()?;
        strict.goes_on &= request.keep_alive
            && request.upgrade == Upgrade::No
            && request.field("upgrade").is_none()
            && request.version == http1::Version::Http11;
        let mut body = BodyDecoder::new(request.framing);
        bytes = rest;
        while !body.is_done() && !bytes.is_empty() {
            bytes = &bytes[body.read(bytes).ok()?.read..];
        }
        if !body.is_done() {
            strict.whole = false;
            // The request counts: its answer may come before its end.
        }
        strict.complete += 1;
    }
    Some(strict)
}

fn strict_response(mut bytes: &[u8], is_head: bool) -> Option<Strict> {
    let mut strict = Strict {
        complete: 0,
        whole: false,
        goes_on: true,
    };
    while strict.complete == 0 {
        let End::At(end) = find_end(bytes, 0).ok()? else {
            return Some(strict);
        };
        let (head, rest) = bytes.split_at(end);
        let mut room = [MaybeUninit::uninit(); HEADERS];
        let response = parse_response(head, is_head, &mut room).ok()?;
        bytes = rest;
        if response.is_interim() {
            continue;
        }
        strict.goes_on &= response.keep_alive && response.status != 101;
        let mut body = BodyDecoder::new(response.framing);
        while !body.is_done() && !bytes.is_empty() {
            bytes = &bytes[body.read(bytes).ok()?.read..];
        }
        if !body.is_done() {
            return Some(strict);
        }
        strict.complete = 1;
    }
    strict.whole = bytes.is_empty();
    Some(strict)
}
