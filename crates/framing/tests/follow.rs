//! Conversations whose outcome is known, one by one.

#[path = "../../http1/tests/cases/refused.rs"]
mod refused;

use framing::{Connection, Seen};
use refused::REFUSED;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How a connection stands after this has been read (`>`) and written (`<`).
fn after(said: &[&str]) -> Seen {
    let mut seen = Vec::new();
    for size in [usize::MAX, 1, 3] {
        let mut connection = Connection::new();
        for line in said {
            let (side, bytes) = line.split_at(1);
            for piece in bytes.as_bytes().chunks(size) {
                if side == ">" {
                    connection.received(piece);
                } else {
                    connection.sent(piece);
                }
            }
        }
        seen.push(connection.seen());
    }
    assert!(seen.iter().all(|it| *it == seen[0]), "{said:?}: {seen:?}");
    seen[0]
}

/// Every character of a token (RFC 9110, 5.6.2) may stand in a method, and after a known field's name
/// makes another name of it.
#[test]
fn methods_and_field_names_are_tokens() {
    for byte in 0u8..128 {
        let sign = char::from(byte);
        let token = sign.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(sign);
        let expected = if token { Seen::Busy } else { Seen::Opaque };
        if !" \r\n".contains(sign) {
            let request = format!(">A{sign} / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(after(&[&request]), expected, "method {request:?}");
        }
        if !":\n".contains(sign) {
            let request = format!(">GET / HTTP/1.1\r\nHost: a\r\nUpgrade{sign}: a\r\n\r\n");
            assert_eq!(after(&[&request]), expected, "field {request:?}");
        }
    }
}

#[test]
fn conversations_come_to_what_is_known_of_them() {
    let get = &format!(">{GET}")[..];
    let ok = &format!("<{OK}")[..];
    let request = |fields: &str| format!(">POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let response = |fields: &str| format!("<HTTP/1.1 200 OK\r\n{fields}\r\n");
    let length = &request("Content-Length: 5\r\n")[..];
    let expects = &request("Content-Length: 5\r\nExpect: 100-continue\r\n")[..];
    let closes = &request("Connection: close\r\n")[..];
    let upgrade = &request("Connection: Upgrade\r\nUpgrade: websocket\r\n")[..];
    let untold = &response("")[..];
    let stream = &response("Content-Type: text/event-stream\r\n")[..];
    let chunked = &response("Transfer-Encoding: chunked\r\n")[..];
    let last = &response("Content-Length: 0\r\nConnection: close\r\n")[..];
    let empty = "<HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n";
    let empty_with_body = &format!("{empty}ok")[..];
    let old = ">GET / HTTP/1.0\r\n\r\n";
    let old_kept = ">GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let kept = &response("Content-Length: 0\r\nConnection: keep-alive\r\n")[..];
    for (what, said, expected) in [
        ("nothing yet", &[][..], Seen::Idle),
        ("a request", &[get], Seen::Busy),
        ("answered", &[get, ok], Seen::Idle),
        ("half a head", &[get, ok, ">GET / HT"], Seen::Busy),
        (
            "half an answer",
            &[get, "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"],
            Seen::Busy,
        ),
        ("pipelined", &[get, get, ok], Seen::Busy),
        ("pipelined, both answered", &[get, get, ok, ok], Seen::Idle),
        ("an answer before the body", &[length, ok], Seen::Busy),
        (
            "the body after the answer",
            &[length, ok, ">hello"],
            Seen::Idle,
        ),
        (
            "a body that is not read to its end",
            &[length, ">hell", ok],
            Seen::Busy,
        ),
        (
            "100",
            &[expects, "<HTTP/1.1 100 Continue\r\n\r\n", ">hello"],
            Seen::Busy,
        ),
        (
            "100, then 200",
            &[expects, "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", ok],
            Seen::Idle,
        ),
        (
            "a body that is not wanted",
            &[expects, "<HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"],
            Seen::Busy,
        ),
        ("the client says close", &[closes, ok], Seen::Busy),
        ("the server says close", &[get, last], Seen::Busy),
        ("an old client", &[old, kept], Seen::Busy),
        ("an old client that is kept", &[old_kept, kept], Seen::Idle),
        ("an old client that is not", &[old_kept, ok], Seen::Busy),
        (
            "the same answer to a HEAD, with its body",
            &[get, ok, ">HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", ok],
            Seen::Opaque,
        ),
        (
            "the same answer to an old client",
            &[get, ok, old_kept, ok],
            Seen::Busy,
        ),
        (
            "the same empty answer, with a body",
            &[get, empty, get, empty, "<ok"],
            Seen::Opaque,
        ),
        (
            "the same empty answer and its body at once",
            &[get, empty, get, empty_with_body],
            Seen::Opaque,
        ),
        ("an upgrade", &[upgrade], Seen::Opaque),
        (
            "101",
            &[get, "<HTTP/1.1 101 Switching Protocols\r\n\r\n"],
            Seen::Opaque,
        ),
        ("until the connection ends", &[get, untold], Seen::Opaque),
        ("an event stream", &[get, stream], Seen::Opaque),
        (
            "an event stream in chunks",
            &[get, chunked, "<5\r\ndata:\r\n"],
            Seen::Busy,
        ),
        (
            "its end",
            &[get, chunked, "<5\r\ndata:\r\n0\r\n\r\n"],
            Seen::Idle,
        ),
        ("an answer to nothing", &[ok], Seen::Opaque),
        ("an answer to half a head", &[">GET / HT", ok], Seen::Opaque),
        ("an answer too many", &[get, ok, ok], Seen::Opaque),
        (
            "an empty line between requests",
            &[get, ok, ">\r\n"],
            Seen::Busy,
        ),
        (
            "and a request after it",
            &[get, ok, ">\r\n", get, ok],
            Seen::Idle,
        ),
        (
            "a line folded with a space",
            &[">GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n"],
            Seen::Opaque,
        ),
        (
            "a line folded with a tab",
            &[">GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n"],
            Seen::Opaque,
        ),
        (
            "a tab within a line",
            &[">GET / HTTP/1.1\r\nX:\ta\tb\r\n\r\n", ok],
            Seen::Idle,
        ),
        ("TLS", &[">\x16\x03\x01\x02"], Seen::Opaque),
        (
            "HTTP/2",
            &[">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
            Seen::Opaque,
        ),
        (
            "a server that speaks first",
            &["<220 ready\r\n"],
            Seen::Opaque,
        ),
    ] {
        assert_eq!(after(said), expected, "{what}");
    }
}

#[test]
fn more_requests_than_are_kept_in_mind_are_not_followed() {
    let mut connection = Connection::new();
    for _ in 0..64 {
        connection.received(GET.as_bytes());
    }
    assert_eq!(connection.seen(), Seen::Busy);
    let mut more = connection.clone();
    more.received(GET.as_bytes());
    assert_eq!(more.seen(), Seen::Opaque);
    for _ in 0..64 {
        connection.sent(OK.as_bytes());
    }
    assert_eq!(connection.seen(), Seen::Idle);
}

#[test]
fn what_is_not_seen_must_be_a_piece_of_a_body() {
    let mut connection = Connection::new();
    connection.received(GET.as_bytes());
    connection.sent(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let mut beyond = connection.clone();
    beyond.sent_unseen(6);
    assert_eq!(beyond.seen(), Seen::Opaque);
    connection.sent_unseen(4);
    assert_eq!(connection.seen(), Seen::Busy);
    connection.sent_unseen(1);
    assert_eq!(connection.seen(), Seen::Idle);
    connection.sent_unseen(1);
    assert_eq!(connection.seen(), Seen::Opaque);
}

/// What the strict reader refuses for where a message ends is not followed. What it refuses for what
/// is asked for ends where everybody sees its end, and is a request like others.
#[test]
fn what_can_be_read_in_two_ways_is_not_followed() {
    const ENDS_WHERE_ALL_SEE_IT: &[&str] = &[
        "a whole URL in place of Host",
        "a target that names a port alone",
        "a field without colon",
        "an empty line first",
        "no Host",
        "two Hosts",
        "two equal Hosts",
        "a Host with a path",
        "a Host with a user",
        "a Host with a space",
        "a Host with a bad port",
        "target and Host differ",
        "a target with a user",
        "a target without slash",
        "another scheme",
        "a star for GET",
        "a fragment",
        "a space in the target",
        "bytes beyond ASCII in the target",
        "two spaces",
        "a malformed trailer",
    ];
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    for (what, bytes, _) in REFUSED {
        let mut connection = Connection::new();
        connection.received(bytes.as_bytes());
        connection.sent(answer);
        let idle = ENDS_WHERE_ALL_SEE_IT.contains(what);
        assert_eq!(
            connection.seen() == Seen::Idle,
            idle,
            "{what}: {connection:?}"
        );
    }
}
