//! Random bytes that come close to HTTP.

use fastrand::Rng;

const PARTS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"/",
    b"http://a/",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 101 ",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"Host: a",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: upgrade, x",
    b"Upgrade: x",
    b"Keep-Alive: timeout=5",
    b"Expect: 100-continue",
    b"X-Forwarded-For: 192.0.2.7",
    b"Forwarded: for=a",
    b"Trailer: x",
    b": ",
    b" ",
    b"\t",
    b"\0",
    b"5\r\nhello\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"5;a=\"b\"",
    b"ffffffff",
    b"\xff",
    b"X: y",
    b",",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
];

/// Messages that are as they should be, for others to be made of.
const WHOLE: &[&[u8]] = &[
    b"GET /a?b HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Forwarded-For: 192.0.2.7\r\n\r\nhello",
    b"PUT /x HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nTrailer: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\nConnection: keep-alive, x-y\r\nX-Y: z\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nContent-Type: text/event-stream\r\n\r\n",
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"\x025\r\nhello\r\n3;a=\"b;\\\"c\"\r\nabc\r\n0\r\nX: y\r\n\r\nrest",
    b"\x07a\r\n0123456789\r\n0\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02GET",
];

/// Some bytes: parts of messages in any order, or a message with a few of its bytes changed.
pub(crate) fn soup(random: &mut Rng) -> Vec<u8> {
    if random.bool() {
        return spoiled(random);
    }
    let parts = 1 + random.usize(..30);
    let mut bytes = Vec::new();
    for _ in 0..parts {
        bytes.extend_from_slice(PARTS[random.usize(..PARTS.len())]);
        if random.usize(..8) == 0 {
            bytes.push(random.u8(..));
        }
    }
    bytes
}

fn spoiled(random: &mut Rng) -> Vec<u8> {
    let mut bytes = WHOLE[random.usize(..WHOLE.len())].to_vec();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..bytes.len());
        match random.usize(..4) {
            0 => bytes[at] = random.u8(..),
            1 => {
                bytes.remove(at);
            }
            2 => {
                let part = PARTS[random.usize(..PARTS.len())];
                bytes.splice(at..at, part.iter().copied());
            }
            _ => {
                let other = WHOLE[random.usize(..WHOLE.len())];
                let from = random.usize(..other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
