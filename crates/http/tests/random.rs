//! Random bytes and random cuts, from printed seeds: nothing panics, and it makes no difference
//! how a message is cut into pieces on its way.

use std::mem::MaybeUninit;

use http::{BodyDecoder, End, Framing, HEADERS, find_end, parse_request, read_proxy_header};
use random::Random;

const PARTS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"/",
    b"http://a/",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"Host: a",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Upgrade: x",
    b": ",
    b" ",
    b"\t",
    b"\0",
    b"5\r\nhello\r\n",
    b"0\r\n",
    b"5;a=\"b\"",
    b"ffffffff",
    b"\xff",
    b"X: y",
    b",",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
];

fn soup(random: &mut Random) -> Vec<u8> {
    let parts = 1 + random.index(30);
    let mut bytes = Vec::new();
    for _ in 0..parts {
        bytes.extend_from_slice(PARTS[random.index(PARTS.len())]);
        if random.index(8) == 0 {
            bytes.push(random.next() as u8);
        }
    }
    bytes
}

/// The data of a chunked body, and how much was read; `None` if it is refused.
fn decode(bytes: &[u8], mut cut: impl FnMut() -> usize) -> Option<(Vec<u8>, usize, bool)> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut data, mut at) = (Vec::new(), 0);
    while at < bytes.len() && !decoder.is_done() {
        let end = (at + cut()).min(bytes.len());
        let input = &bytes[at..end];
        let piece = decoder.read(input).ok()?;
        assert!(piece.read <= input.len() && piece.data.end <= piece.read);
        assert!(piece.read > 0 || decoder.is_done());
        data.extend_from_slice(&input[piece.data]);
        at += piece.read;
    }
    Some((data, at, decoder.is_done()))
}

#[test]
fn heads_of_any_bytes_do_not_panic_and_cuts_make_no_difference() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let bytes = soup(&mut random);
        let whole = find_end(&bytes, 0);
        let mut from = 0;
        let mut cut = Ok(End::Beyond(0));
        for len in 1..=bytes.len() {
            cut = find_end(&bytes[..len], from);
            match cut {
                Ok(End::Beyond(next)) => from = next,
                _ => break,
            }
        }
        match (whole, cut) {
            (Ok(End::At(a)), Ok(End::At(b))) => assert_eq!(a, b, "seed {seed}"),
            (Ok(End::Beyond(_)), Ok(End::Beyond(_))) | (Err(_), Err(_)) => {}
            // What comes first decides, however much is there.
            (whole, cut) => panic!("seed {seed}: {whole:?} and {cut:?}"),
        }
        if let Ok(End::At(end)) = whole {
            let mut room = [MaybeUninit::uninit(); HEADERS];
            let _ = parse_request(&bytes[..end], &mut room);
            let mut room = [MaybeUninit::uninit(); HEADERS];
            let _ = http::parse_response(&bytes[..end], false, &mut room);
        }
        let _ = read_proxy_header(&bytes);
    }
}

#[test]
fn bodies_are_the_same_however_they_are_cut() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut bytes = Vec::new();
        if random.index(2) == 0 {
            for _ in 0..random.index(5) {
                let data = vec![b'x'; 1 + random.index(40)];
                bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                bytes.extend_from_slice(&data);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\nrest");
        } else {
            bytes = soup(&mut random);
        }
        let whole = decode(&bytes, || usize::MAX / 2);
        let single = decode(&bytes, || 1);
        let mixed = decode(&bytes, || 1 + random.index(9));
        assert_eq!(whole, single, "seed {seed}");
        assert_eq!(whole, mixed, "seed {seed}");
    }
}
