//! The chunked coding is read at once or byte by byte to the same end.

#![expect(
    clippy::indexing_slicing,
    reason = "a broken expectation anywhere in a test ends it"
)]

use http1::{BodyDecoder, Framing};

/// What came out, and whether it was well formed and complete.
#[derive(Debug, PartialEq)]
struct Read {
    data: Vec<u8>,
    used: usize,
    end: Result<bool, &'static str>,
}

fn read(input: &[u8], piece: usize) -> Read {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut data, mut used) = (Vec::new(), 0);
    for part in input.chunks(piece) {
        let mut at = 0;
        while at < part.len() && !decoder.is_done() {
            let Ok(found) = decoder.read(&part[at..]) else {
                let (used, end) = (0, Err("malformed"));
                return Read { data, used, end };
            };
            data.extend_from_slice(&part[at..][found.data]);
            at += found.read;
            used += found.read;
        }
    }
    let end = Ok(decoder.is_done());
    Read { data, used, end }
}

#[test]
fn a_chunk_s_begin_is_the_same_however_it_comes() {
    let first = "1\r\na";
    for (what, rest, data, end) in [
        ("plain", "\r\n2\r\nbc\r\n0\r\n\r\n", "abc", Ok(true)),
        (
            "capitals",
            "\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "a0123456789",
            Ok(true),
        ),
        (
            "zeros",
            "\r\n0000000000002\r\nbc\r\n00\r\n\r\n",
            "abc",
            Ok(true),
        ),
        (
            "eight digits",
            "\r\n00000002\r\nbc\r\n0\r\n\r\n",
            "abc",
            Ok(true),
        ),
        ("extension", "\r\n2;x=y\r\nbc\r\n0\r\n\r\n", "abc", Ok(true)),
        ("more to come", "\r\n2\r\nb", "ab", Ok(false)),
        ("the end", "\r\n0\r\n\r\nGET ", "a", Ok(true)),
        ("no size", "\r\n\r\nbc", "a", Err("malformed")),
        ("no digit", "\r\ng\r\nbc", "a", Err("malformed")),
        ("a sign", "\r\n+2\r\nbc", "a", Err("malformed")),
        ("a blank", "\r\n2 \r\nbc", "a", Err("malformed")),
        ("no carriage return", "\r\n2\nbc", "a", Err("malformed")),
        ("no line feed", "\r\n2\rbc", "a", Err("malformed")),
        ("no line end", "2\r\nbc", "a", Err("malformed")),
        ("half a line end", "\n2\r\nbc", "a", Err("malformed")),
        (
            "too large",
            "\r\n10000000000000000\r\nbc",
            "a",
            Err("malformed"),
        ),
        ("large", "\r\nffffffff\r\nbc", "abc", Ok(false)),
    ] {
        let input = [first, rest].concat().into_bytes();
        let whole = read(&input, input.len());
        assert_eq!((&*whole.data, whole.end), (data.as_bytes(), end), "{what}");
        for piece in 1..input.len() {
            assert_eq!(read(&input, piece), whole, "{what}, {piece} at a time");
        }
    }
}

/// No figure is asserted: `cargo test --release -p http1 --test chunks -- --nocapture` shows it.
#[test]
fn small_chunks_are_all_read() {
    let mut input = b"1\r\na\r\n".repeat(500_000);
    input.extend(b"0\r\n\r\n");
    let began = std::time::Instant::now();
    let whole = read(&input, 64 * 1024);
    let each = began.elapsed().as_nanos() / 500_000;
    println!("{each} ns for a chunk of one byte");
    assert_eq!((whole.data.len(), whole.end), (500_000, Ok(true)));
    assert_eq!(whole.used, input.len());
}
