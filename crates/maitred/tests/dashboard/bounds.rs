//! What a client can cost is bounded.

use std::io::{ErrorKind, Read, Write};

use crate::harness::beside_others;
use crate::home::{Home, NODE_SERVER};
use crate::server::Dashboard;

/// As many connections as may be open; so many clients may hear of changes.
const CONNECTIONS: usize = 128;
const STREAMS: usize = 32;

#[test]
fn who_holds_all_connections_keeps_nobody_out() {
    let _turn = beside_others();
    let home = Home::new();
    let dashboard = Dashboard::of(&home);
    // One that has shown the token is not closed for those that have not.
    let mut trusted = dashboard.connect();
    let ask = format!("GET /api/v1/apps HTTP/1.1\r\n{}\r\n\r\n", dashboard.own());
    trusted.write_all(ask.as_bytes()).unwrap();
    let mut begin = [0; 12];
    trusted.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let mut held: Vec<_> = (0..CONNECTIONS + 8).map(|_| dashboard.connect()).collect();
    for stream in &mut held {
        // Some were closed already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: ");
    }
    assert_eq!(dashboard.get("/livez", "").status, 200);
    trusted.write_all(ask.as_bytes()).unwrap();
    assert!(trusted.read(&mut begin).unwrap() > 0);
    // The oldest of the others is closed.
    let closed = held[0].read(&mut begin);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[test]
fn orders_and_heads_are_short() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh", "-x"]);
    let dashboard = Dashboard::of(&home);
    let restart = "/api/v1/apps/job/restart";
    let long = format!("{{\"instance\": 0{}}}", " ".repeat(5000));
    for (path, body, status) in [
        (restart, "{}", 200),
        (restart, "{\"instance\": 0}", 200),
        (restart, "{\"instance\": 7}", 404),
        (restart, "{\"instance\": -1}", 400),
        (restart, "{\"instances\": 2}", 400),
        (restart, "{\"x\": 1}", 400),
        (restart, "[", 400),
        (restart, "null", 400),
        (restart, &long, 413),
        ("/api/v1/apps/job/scale", "{}", 400),
        (
            "/api/v1/apps/job/scale",
            "{\"instances\": 1, \"instance\": 0}",
            400,
        ),
        ("/api/v1/apps/job/scale", "{\"instances\": 0}", 409),
        ("/api/v1/apps/job/scale", "{\"instances\": 5000}", 409),
        ("/api/v1/apps/none/restart", "{}", 404),
        ("/api/v1/apps/all/restart", "{}", 404),
        ("/api/v1/apps/%2Fj%2F/restart", "{}", 404),
    ] {
        let answer = dashboard.orders(path, body);
        assert_eq!(answer.status, status, "{path} {body} {answer:?}");
    }
    let plain = format!(
        "POST {restart} HTTP/1.1\r\n{}\r\nContent-Length: 2",
        dashboard.own()
    );
    assert_eq!(dashboard.sends(&plain, "{}").status, 415);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(100_000)
    );
    let mut stream = dashboard.connect();
    // It may be closed while it is still being sent.
    let _ = stream.write_all(format!("{long}\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let reset = matches!(&read, Err(error) if error.kind() == ErrorKind::ConnectionReset);
    assert!(reset || text.starts_with("HTTP/1.1 431"), "{read:?} {text}");
    assert_eq!(dashboard.get("/livez", "").status, 200);
}

/// A client that reads nothing is cut off, and costs no memory for what it does not read.
#[test]
fn streams_are_for_those_that_keep_pace() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-n", "api"]);
    home.file(
        "loud.js",
        "setInterval(() => console.log('x'.repeat(4000).concat('\\n').repeat(200)), 10)",
    );
    home.does(&["start", "loud.js", "-n", "loud"]);
    let dashboard = Dashboard::of(&home);
    let ask = |path: &str| {
        let mut stream = dashboard.connect();
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", dashboard.own());
        stream.write_all(head.as_bytes()).unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        (stream, String::from_utf8_lossy(&begin).into_owned())
    };
    let (mut slow, begin) = ask("/api/v1/stream?logs=loud");
    assert_eq!(begin, "HTTP/1.1 200");
    let others: Vec<_> = (1..STREAMS).map(|_| ask("/api/v1/stream")).collect();
    assert!(others.iter().all(|(_, begin)| begin == "HTTP/1.1 200"));
    assert_eq!(ask("/api/v1/stream").1, "HTTP/1.1 503");
    dashboard.until("the slow one makes room", |_| {
        ask("/api/v1/stream").1 == "HTTP/1.1 200"
    });
    // What it was sent until then is all there is.
    let mut rest = Vec::new();
    let end = slow.read_to_end(&mut rest);
    assert!(
        !matches!(&end, Err(error) if error.kind() == ErrorKind::WouldBlock),
        "{end:?}"
    );
    drop(others);
    assert_eq!(ask("/api/v1/stream?logs=none").1, "HTTP/1.1 404");
    assert_eq!(ask("/api/v1/stream?logs=%f").1, "HTTP/1.1 400");
}
