//! Requests that were made to be read in two ways: what is refused, and what becomes of the rest.
//!
//! From RFC 9112 and 9110, from the collections of those who study request smuggling (Linhart et
//! al. 2005, Kettle 2019 to 2025, the HTTP Garden), and from what was published of proxies and
//! servers: CVE-2019-16276 (Go), CVE-2019-18860 and CVE-2020-10108 and -10109 (Twisted),
//! CVE-2020-8287, CVE-2021-22960, CVE-2022-32213 to -32215, CVE-2022-35256, CVE-2023-30589 and
//! CVE-2024-22019 (Node), CVE-2021-21299 and -32714 (hyper), CVE-2021-40346 and CVE-2023-25725 and
//! -40225 (HAProxy), CVE-2019-20372 and CVE-2009-2629 (nginx), CVE-2024-53868 (Traffic Server),
//! CVE-2025-4366 and CVE-2025-58068 (Pingora, Eventlet), CVE-2023-46846 (Squid).

use std::mem::MaybeUninit;

use http::{BodyDecoder, End, HEADERS, Hop, Networks, Refusal, find_end, parse_request};

/// What a proxy makes of the bytes of one request: the head it writes and the body it passes on,
/// and what is left over for the next request.
fn pass(bytes: &[u8]) -> Result<(String, String, String), u16> {
    let refused = |refusal: Refusal| refusal.status();
    let end = match find_end(bytes, 0).map_err(refused)? {
        End::At(end) => end,
        End::Beyond(_) => return Err(0),
    };
    let (head, mut rest) = bytes.split_at(end);
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let request = parse_request(head, &mut room).map_err(refused)?;
    let mut written = Vec::new();
    let hop = Hop {
        peer: Some([192, 0, 2, 1].into()),
        tls: false,
        trusted: &Networks::default(),
        authority: "here",
    };
    http::write_request(&request, hop, &mut written);
    let mut decoder = BodyDecoder::new(request.framing);
    let mut body = Vec::new();
    while !decoder.is_done() && !rest.is_empty() {
        let piece = decoder.read(rest).map_err(refused)?;
        body.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.read..];
    }
    if !decoder.is_done() {
        return Err(0);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&written), text(&body), text(rest)))
}

/// Each must be refused with this status.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "CL and TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
    ),
    (
        "TE and CL",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
        400,
    ),
    (
        "two lengths that differ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        400,
    ),
    (
        "two equal lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        400,
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        400,
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        400,
    ),
    (
        "a length in hexadecimal",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        400,
    ),
    (
        "a length with an underscore",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhellohello",
        400,
    ),
    (
        "a length with a space",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhellohello",
        400,
    ),
    (
        "a fraction of a length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello",
        400,
    ),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        400,
    ),
    (
        "no length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        400,
    ),
    (
        "an unknown coding before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "identity before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "chunked is not last",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in two lines",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "identity in a second line",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "identity alone",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
    ),
    (
        "xchunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "quoted chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked with a parameter",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a vertical tab before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an empty coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n",
        400,
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a tab before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello",
        400,
    ),
    (
        "a space before the first field",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        400,
    ),
    (
        "a folded coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an empty name",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        400,
    ),
    (
        "a field without colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        400,
    ),
    (
        "a control byte in a name",
        "GET / HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
        400,
    ),
    (
        "a zero byte in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        400,
    ),
    (
        "a bare CR in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "a bare CR after the request line",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a field",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        400,
    ),
    (
        "a bare LF after the request line",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        400,
    ),
    ("bare LFs alone", "GET / HTTP/1.1\nHost: a\n\n", 400),
    (
        "LF CR LF at the end",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        400,
    ),
    (
        "an empty line first",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    (
        "two Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
    ),
    (
        "two equal Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a Host with a path",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
    ),
    (
        "a Host with a user",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        400,
    ),
    (
        "a Host with a space",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
    ),
    (
        "a Host with a bad port",
        "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n",
        400,
    ),
    (
        "target and Host differ",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a target with a user",
        "GET http://a@b/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
        400,
    ),
    (
        "a target without slash",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "another scheme",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("a star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "bytes beyond ASCII in the target",
        "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "a space after the version",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a tab for a space",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("no version", "GET /\r\nHost: a\r\n\r\n", 400),
    (
        "a version in lower case",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("version 2.0", "PRI * HTTP/2.0\r\n\r\n", 505),
    ("version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (
        "a version with two digits",
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "CONNECT",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        405,
    ),
    (
        "a method with a slash",
        "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("TLS", "\x16\x03\x01\x02", 400),
    (
        "a chunk's size with 0x",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a signed chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk's size beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "no chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a space before a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a space after a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a chunk",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk longer than its size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF in a chunk's extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare CR in a chunk's extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF in a quoted extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF at the body's end",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\nGET",
        400,
    ),
    (
        "a malformed trailer",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n",
        400,
    ),
    (
        "a folded trailer",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n",
        400,
    ),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (what, bytes, status) in REFUSED {
        match pass(bytes.as_bytes()) {
            Err(refused) => assert_eq!(refused, *status, "{what}"),
            Ok(passed) => panic!("{what}: passed as {passed:?}"),
        }
    }
    assert!(REFUSED.len() >= 60);
}

#[test]
fn what_is_too_large_is_refused() {
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: a\r\n".repeat(HEADERS)
    );
    assert_eq!(pass(many.as_bytes()), Err(431));
    let chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = format!("{chunks}5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300));
    assert_eq!(pass(extension.as_bytes()), Err(400));
    let trailers = format!("{chunks}0\r\nX: {}\r\n\r\n", "a".repeat(9000));
    assert_eq!(pass(trailers.as_bytes()), Err(431));
}

#[test]
fn a_request_is_written_anew() {
    let (head, body, rest) = pass(
        b"POST /a?b HTTP/1.1\r\nhost:  a:80\t\r\nCONNECTION: close, x-Secret , Cookie\r\nX-Secret: 1\r\n\
          Cookie: c\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Forwarded-For: 6.6.6.6\r\n\
          X_Forwarded_For: 6.6.6.6\r\nContent_Length: 9\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
          Upgrade: h2c\r\nHTTP2-Settings: AAAA\r\nAccept:*/*\r\ntransfer-encoding: CHUNKED\r\n\r\n\
          5;ext=\"a;\\\"b\"\r\nhello\r\n0003\r\n...\r\n0\r\nContent-Length: 7\r\n\r\nGET",
    )
    .unwrap();
    assert_eq!(
        head,
        "POST /a?b HTTP/1.1\r\nHost: a:80\r\nCookie: c\r\nAccept: */*\r\nX-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\nForwarded: for=192.0.2.1;host=\"a:80\";proto=http\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!((body.as_str(), rest.as_str()), ("hello...", "GET"));
}

#[test]
fn requests_in_a_row_are_told_apart() {
    let (_, body, rest) =
        pass(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(body, "");
    let (head, ..) = pass(rest.as_bytes()).unwrap();
    assert!(head.starts_with("GET /2 HTTP/1.1\r\n"));
}

#[test]
fn absolute_targets_and_old_clients_are_understood() {
    let head = |bytes: &str| pass(bytes.as_bytes()).unwrap().0;
    let written = head("GET HTTP://A.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(
        written.starts_with("GET /x HTTP/1.1\r\nHost: A.example\r\n"),
        "{written}"
    );
    assert!(head("GET / HTTP/1.0\r\n\r\n").contains("\r\nHost: here\r\n"));
    assert!(head("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("OPTIONS * "));
    assert!(head("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").contains("\r\nHost: [::1]:80\r\n"));
    assert!(head("GET / HTTP/1.1\r\nHost: \r\n\r\n").contains("\r\nHost: \r\n"));
}

#[test]
fn an_upgrade_is_passed_on_only_where_nothing_hides_behind_it() {
    let upgraded = |bytes: &str| pass(bytes.as_bytes()).unwrap().0.contains("\r\nUpgrade: ");
    let fields = "Host: a\r\nUpgrade: websocket\r\n";
    assert!(upgraded(&format!(
        "GET / HTTP/1.1\r\n{fields}Connection: Upgrade\r\n\r\n"
    )));
    assert!(!upgraded(&format!("GET / HTTP/1.1\r\n{fields}\r\n")));
    assert!(!upgraded(&format!(
        "GET / HTTP/1.0\r\n{fields}Connection: Upgrade\r\n\r\n"
    )));
    assert!(!upgraded(&format!(
        "GET / HTTP/1.1\r\n{fields}Connection: Upgrade\r\nContent-Length: 1\r\n\r\nx"
    )));
}

#[test]
fn those_who_are_trusted_are_believed() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n\
                  X-Forwarded-Proto: https\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n";
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let request = parse_request(bytes, &mut room).unwrap();
    let trusted = Networks(vec!["10.0.0.0/8".parse().unwrap()]);
    let peer = [10, 0, 0, 1].into();
    let mut written = Vec::new();
    let hop = Hop {
        peer: Some(peer),
        tls: false,
        trusted: &trusted,
        authority: "here",
    };
    http::write_request(&request, hop, &mut written);
    let written = String::from_utf8(written).unwrap();
    assert!(written.contains("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.1.1, 10.0.0.1\r\n"));
    assert!(written.contains("X-Forwarded-Proto: https\r\n"));
    let client = http::client_of(&request, peer, &trusted);
    assert_eq!(client.to_string(), "203.0.113.7");
}
