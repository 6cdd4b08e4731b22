//! The access log: a line for each request, whatever became of it.

use std::path::Path;

use serde_json::Value;

use crate::apps::{Runtime, app, node, started};
use crate::client::Client;
use crate::harness::beside_others;
use crate::http2::curl2;

/// The first so many lines of a log, which are awaited.
fn lines(path: &Path, count: usize) -> Vec<String> {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines
                .iter()
                .map(|line| line.trim_end().to_owned())
                .collect();
        }
        std::thread::yield_now();
    }
}

fn objects(path: &Path, count: usize) -> Vec<Value> {
    let lines = lines(path, count);
    assert_eq!(lines.len(), count, "{lines:?}");
    let read = |line: &String| serde_json::from_str(line).unwrap();
    lines.iter().map(read).collect()
}

#[test]
fn each_request_gets_one_line() {
    let _turn = beside_others();
    let setup = app(Runtime::Bun);
    let path = setup.folder().join("access.log");
    let setup = setup
        .option("--access-log", path.display().to_string())
        .option("--access-log-format", "json")
        .option("--trust-proxy", "127.0.0.1");
    let run = started(setup, 1);
    let mut client = Client::connect(&run);
    client.send(
        "GET /sleep?ms=50 HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: test \"1\"\x1b\r\n\
         X-Forwarded-For: 192.0.2.7\r\n\r\n"
            .replace('\x1b', "\t"),
    );
    let answer = client.response();
    assert_eq!(answer.status, 200);
    client.get("/nowhere");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response().body, b"hello");
    let mut dying = Client::connect(&run);
    assert_eq!(dying.get("/die").status, 502);
    let mut nonsense = Client::connect(&run);
    nonsense.send("GET /\"\x07 nonsense\r\n\r\n");
    assert_eq!(nonsense.response().status, 400);
    let mut leaving = Client::connect(&run);
    leaving.ask("/events");
    assert_eq!(leaving.head().0, 200);
    leaving.chunk();
    drop(leaving);
    let objects = objects(&path, 6);
    let text = |object: &Value, field: &str| object[field].as_str().map(str::to_owned);
    let [sleep, nowhere, echo, die, nonsense, events] = &objects[..] else {
        panic!("{objects:?}");
    };
    assert_eq!(text(sleep, "target").unwrap(), "/sleep?ms=50");
    assert_eq!(text(sleep, "client").unwrap(), "192.0.2.7");
    assert_eq!(text(sleep, "referer").unwrap(), "http://b/");
    assert_eq!(text(sleep, "user_agent").unwrap(), "test \"1\"\t".trim());
    assert_eq!(text(sleep, "protocol").unwrap(), "HTTP/1.1");
    assert_eq!(sleep["status"], 200);
    assert_eq!(sleep["bytes"], answer.body.len());
    assert_eq!(sleep["instance"], 0);
    assert_eq!(text(sleep, "outcome").unwrap(), "answered");
    assert!(sleep["duration_ms"].as_f64().unwrap() >= 50.0, "{sleep}");
    assert_eq!(nowhere["status"], 404);
    assert_eq!(text(nowhere, "client").unwrap(), "127.0.0.1");
    assert_eq!(
        (&echo["method"], &echo["bytes"]),
        (&"POST".into(), &5.into())
    );
    assert_eq!((&die["status"], &die["instance"]), (&502.into(), &0.into()));
    assert_eq!(text(die, "outcome").unwrap(), "failed");
    assert_eq!(text(nonsense, "target").unwrap(), "/\"\u{7}");
    assert_eq!(nonsense["status"], 400);
    assert_eq!(text(events, "outcome").unwrap(), "aborted");
    assert_eq!(
        (&events["status"], &events["bytes"]),
        (&200.into(), &9.into())
    );
}

/// Over HTTP/2 each stream is a request, and its line says so.
#[test]
fn requests_of_http2_are_noted_as_such() {
    let _turn = beside_others();
    let setup = app(Runtime::Node);
    let path = setup.folder().join("access.log");
    let setup = setup.option("--access-log", path.display().to_string());
    let run = started(setup, 1);
    let arguments = ["--user-agent", "own", "--referer", "http://b/"];
    let said = curl2(&run, "/empty?status=204", &arguments);
    assert_eq!(said, "");
    let line = lines(&path, 1).remove(0);
    let wanted = "] \"GET /empty?status=204 HTTP/2.0\" 204 0 \"http://b/\" \"own\"";
    assert!(line.contains(wanted), "{line}");
}

/// To standard output, as a container's log wants it; the last lines come before the end.
#[test]
fn the_log_can_go_to_standard_output() {
    let _turn = beside_others();
    let setup =
        node("http.createServer((q, s) => s.end('ok')).listen(port);").option("--access-log", "-");
    let run = started(setup, 1);
    let mut client = Client::connect(&run);
    for path in ["/one", "/two"] {
        assert_eq!(client.get(path).body, b"ok");
        run.output("its line", |text| {
            text.lines().any(|line| {
                line.starts_with("127.0.0.1 - - [")
                    && line.contains(&format!("] \"GET {path} HTTP/1.1\" 200 2 \"-\" \"-\""))
            })
        });
    }
}
