//! Responses: what is passed on to clients of each version, and what is not.
#![expect(
    clippy::unwrap_used,
    reason = "a broken expectation anywhere in a test ends it"
)]

use std::mem::MaybeUninit;

use http1::{BodyDecoder, Extra, Framing, HEADERS, Version, parse_response, write_response};

fn parse(bytes: &str, head: bool) -> Result<(Framing, bool, Option<u64>), &'static str> {
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let response = parse_response(bytes.as_bytes(), head, &mut room).map_err(|error| error.0)?;
    Ok((response.framing, response.keep_alive, response.idle_timeout))
}

#[test]
fn the_framing_follows_from_status_method_and_fields() {
    for (bytes, head, framing, keep_alive) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            false,
            Framing::Length(5),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            true,
            Framing::Empty,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            Framing::Chunked,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", false, Framing::Close, false),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            false,
            Framing::Empty,
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            false,
            Framing::Empty,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            false,
            Framing::Length(5),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
            false,
            Framing::Length(5),
            false,
        ),
        (
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            false,
            Framing::Length(0),
            true,
        ),
    ] {
        let (read, goes_on, _) = parse(bytes, head).unwrap();
        assert_eq!((read, goes_on), (framing, keep_alive), "{bytes:?}");
    }
    let kept = parse(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=9, timeout=5\r\n\r\n",
        false,
    );
    assert_eq!(kept.unwrap().2, Some(5));
}

#[test]
fn what_tells_its_length_in_two_ways_is_not_passed_on() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        assert!(parse(bytes, false).is_err(), "{bytes:?}");
    }
}

fn written(bytes: &str, client: Version, framing: Framing, keep_alive: bool) -> String {
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let response = parse_response(bytes.as_bytes(), false, &mut room).unwrap();
    let extra = Extra {
        fields: [Some(("X-Instance", "2")), None],
    };
    let mut to = Vec::new();
    write_response(&response, client, framing, keep_alive, extra, &mut to);
    String::from_utf8(to).unwrap()
}

#[test]
fn a_response_is_written_anew() {
    let bytes = "HTTP/1.1 200 Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                 Upgrade: h2\r\nTransfer-Encoding: chunked\r\nContent-Type:  text/plain\r\n\r\n";
    assert_eq!(
        written(bytes, Version::Http11, Framing::Chunked, true),
        "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX-Instance: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        written(bytes, Version::Http10, Framing::Close, false),
        "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX-Instance: 2\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn an_upgrade_keeps_its_fields() {
    let bytes =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let head = written(bytes, Version::Http11, Framing::Empty, true);
    assert!(head.contains("Upgrade: websocket\r\n") && head.contains("Connection: Upgrade\r\n"));
}

/// What frames a message, or says what is to be done with it, is not believed behind it.
#[test]
fn trailers_carry_only_what_may_stand_there() {
    for (sent, kept) in [
        (
            "X-Checksum:1\r\nServer-Timing:  a\r\n",
            "X-Checksum: 1\r\nServer-Timing: a\r\n",
        ),
        (
            "Content-Length: 7\r\nTransfer-Encoding: chunked\r\nX: 1\r\n",
            "X: 1\r\n",
        ),
        ("Set-Cookie: a=b\r\nHost: a\r\nConnection: close\r\n", ""),
        (
            "Cache-Control: public\r\nLocation: /\r\nContent_Length: 7\r\n",
            "",
        ),
        ("", ""),
    ] {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let body = format!("0\r\n{sent}\r\n");
        let piece = decoder.read(body.as_bytes()).unwrap();
        assert!(decoder.is_done() && piece.read == body.len());
        assert_eq!(std::str::from_utf8(decoder.trailers()).unwrap(), kept);
    }
}

#[test]
fn what_must_be_spoken_instead_is_told() {
    let bytes = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Content-Length: 0\r\n\r\n";
    for (keep_alive, connection) in [(true, "Upgrade"), (false, "Upgrade, close")] {
        let head = written(bytes, Version::Http11, Framing::Length(0), keep_alive);
        assert!(head.contains("Upgrade: websocket\r\n"), "{head}");
        assert!(
            head.ends_with(&format!("\r\nConnection: {connection}\r\n\r\n")),
            "{head}"
        );
    }
}
