//! What becomes of requests: those that can be read in two ways are refused, all others written
//! anew.

#[path = "cases/refused.rs"]
mod refused;

use std::mem::MaybeUninit;

use http1::{BodyDecoder, End, HEADERS, Hop, Networks, Refusal, find_end, parse_request};

use refused::REFUSED;

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
    http1::write_request(&request, hop, &mut written);
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
    // Each field is looked up in it, so that a long one would cost much.
    let options = "x,".repeat(300);
    let connection = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\nConnection: {options}\r\n\r\n"
    );
    assert_eq!(pass(connection.as_bytes()), Err(431));
    let chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = format!("{chunks}5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300));
    assert_eq!(pass(extension.as_bytes()), Err(400));
    // Many of them are too much where they come with little data, and not where they sign much.
    for (size, chunks_of_it, expected) in [(1, 60, true), (1, 100, false), (65536, 200, true)] {
        let data = "a".repeat(size);
        let chunk = format!("{size:x};{}\r\n{data}\r\n", "b".repeat(200));
        let signed = format!("{chunks}{}0\r\n\r\n", chunk.repeat(chunks_of_it));
        assert_eq!(
            pass(signed.as_bytes()).is_ok(),
            expected,
            "{chunks_of_it} of {size}"
        );
    }
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
        "POST /a?b HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\nForwarded: for=192.0.2.1;host=\"a:80\";proto=http\r\n\
         X-Real-IP: 192.0.2.1\r\nTransfer-Encoding: chunked\r\nCookie: c\r\nAccept: */*\r\n\r\n"
    );
    assert_eq!((body.as_str(), rest.as_str()), ("hello...", "GET"));
}

/// Text beyond ASCII, and a port that the scheme implies, have one meaning alone.
#[test]
fn targets_that_are_clear_are_passed_on() {
    for (request, line, host) in [
        (
            "GET /caf\u{e9}?\u{20ac} HTTP/1.1\r\nHost: a",
            "/caf\u{e9}?\u{20ac}",
            "a",
        ),
        ("GET http://a:80/x HTTP/1.1\r\nHost: a", "/x", "a:80"),
        ("GET http://a/x HTTP/1.1\r\nHost: A:80", "/x", "a"),
        ("GET https://a:443/ HTTP/1.1\r\nHost: a", "/", "a:443"),
        (
            "GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]",
            "/",
            "[::1]:80",
        ),
    ] {
        let (head, ..) = pass(format!("{request}\r\n\r\n").as_bytes()).unwrap();
        let start = format!("GET {line} HTTP/1.1\r\nHost: {host}\r\n");
        assert!(head.starts_with(&start), "{request}: {head}");
    }
    for target in ["http://a:443/", "https://a:80/", "http://a:8/", "http://b/"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(pass(request.as_bytes()), Err(400), "{target}");
    }
    // Not UTF-8: programs that take a target for text read it in different ways.
    assert_eq!(pass(b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(400));
    assert_eq!(pass(b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"), Err(400));
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
    let written = head("GET http://a?q=/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(written.starts_with("GET /?q=/ HTTP/1.1\r\n"), "{written}");
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
    http1::write_request(&request, hop, &mut written);
    let written = String::from_utf8(written).unwrap();
    assert!(written.contains("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.1.1, 10.0.0.1\r\n"));
    assert!(written.contains("X-Forwarded-Proto: https\r\n"));
    assert!(written.contains("X-Real-IP: 203.0.113.7\r\n"));
    let client = http1::client_of(&request, Some(peer), &trusted);
    assert_eq!(client.unwrap().to_string(), "203.0.113.7");
}

/// A balancer at a Unix socket has no address of its own, and is believed where `unix` is trusted.
#[test]
fn a_balancer_at_a_unix_socket_is_believed_where_it_may() {
    let row = "X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\nX-Real-IP: 9.9.9.9\r\n";
    let one = "X-Real-IP: 203.0.113.7\r\n";
    let believed = "X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n";
    for (trusted, fields, has, client) in [
        (Some("unix"), row, [believed, one], Some("203.0.113.7")),
        (Some("unix"), one, [one, one], None),
        (Some("unix"), "", ["", ""], None),
        (Some("0.0.0.0/0"), row, ["", ""], None),
        (None, row, ["", ""], None),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut room = [MaybeUninit::uninit(); HEADERS];
        let request = parse_request(bytes.as_bytes(), &mut room).unwrap();
        let trusted = Networks(trusted.map(|it| it.parse().unwrap()).into_iter().collect());
        let hop = Hop {
            peer: None,
            tls: false,
            trusted: &trusted,
            authority: "here",
        };
        let mut written = Vec::new();
        http1::write_request(&request, hop, &mut written);
        let written = String::from_utf8(written).unwrap();
        for field in has {
            assert!(written.contains(field), "{trusted:?} {fields}: {written}");
        }
        let count = |name: &str| written.matches(name).count();
        let wanted = has.iter().filter(|it| it.starts_with("X-F")).count();
        assert_eq!(count("X-Forwarded-For"), wanted, "{written}");
        assert_eq!(
            count("X-Real-IP"),
            usize::from(!has[1].is_empty()),
            "{written}"
        );
        let seen = http1::client_of(&request, None, &trusted);
        assert_eq!(seen.map(|it| it.to_string()).as_deref(), client);
    }
}

/// What apps and frameworks believe of a proxy, they can believe: no client's word reaches them.
#[test]
fn nobody_else_can_say_who_the_client_is() {
    let fields = [
        "X-Real-IP",
        "X_Real_IP",
        "x-client-ip",
        "X-CLUSTER-CLIENT-IP",
        "True-Client-IP",
        "True_Client_IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "Client-IP",
        "Forwarded-For",
        "X-Forwarded",
        "X-Forwarded-Port",
        "X_Forwarded_Port",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-Protocol",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-User",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Something-New",
        "X-Scheme",
        "X-Url-Scheme",
        "X-Original-URL",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Host",
        "X-Remote-User",
        "Remote-User",
        "X-Auth-Request-Email",
        "X-SSL-Client-Verify",
        "SSL-Client-Cert",
        "Front-End-Https",
    ];
    let trusted = Networks(vec!["10.0.0.0/8".parse().unwrap()]);
    for field in fields {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}: 6.6.6.6\r\nX-Ours: b\r\n\r\n");
        for (peer, believed) in [([192, 0, 2, 1], false), ([10, 0, 0, 1], true)] {
            let mut room = [MaybeUninit::uninit(); HEADERS];
            let request = parse_request(bytes.as_bytes(), &mut room).unwrap();
            assert_eq!(
                http1::claims(request.headers).count(),
                usize::from(!field.contains('_'))
            );
            let mut written = Vec::new();
            let hop = Hop {
                peer: Some(peer.into()),
                tls: false,
                trusted: &trusted,
                authority: "here",
            };
            http1::write_request(&request, hop, &mut written);
            let written = String::from_utf8(written).unwrap();
            // How a name with underscores was meant is never known.
            let passes = believed && !field.contains('_');
            assert_eq!(written.contains("6.6.6.6"), passes, "{field}: {written}");
            assert_eq!(written.matches("X-Real-IP: ").count(), 1, "{written}");
            assert!(written.contains("\r\nX-Ours: b\r\n"));
        }
    }
    // Many fields begin as those do.
    for field in [
        "X-Requested-With",
        "X-Api-Key",
        "Content-Type",
        "Cookie",
        "X-Csrf-Token",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}: 6\r\n\r\n");
        let (head, ..) = pass(bytes.as_bytes()).unwrap();
        assert!(head.contains(&format!("\r\n{field}: 6\r\n")), "{head}");
    }
}
