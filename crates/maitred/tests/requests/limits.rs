//! Clients that send too much, too slowly, or something else.

use std::io::Write;
use std::net::Shutdown;

use crate::apps::{Runtime, app, node, started};
use crate::client::Client;
use crate::harness::{beside_others, raise_file_limit};

#[test]
fn what_is_too_large_is_refused() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node).option("--max-body", "1000"), 1);
    let mut client = Client::connect(&run);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(40_000)
    ));
    assert_eq!(client.response().status, 431);
    let mut client = Client::connect(&run);
    client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(client.response().status, 413);
    let mut client = Client::connect(&run);
    client.send("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("400\r\n{}\r\n0\r\n\r\n", "a".repeat(1024)));
    assert_eq!(client.response().status, 413);
    let mut client = Client::connect(&run);
    client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    client.send("a".repeat(1000));
    assert_eq!(client.response().json()["length"], 1000);
}

#[test]
fn what_is_too_slow_is_refused() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node).option("--header-timeout", "500"), 1);
    let mut silent = Client::connect(&run);
    let mut slow = Client::connect(&run);
    slow.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(slow.response().status, 408);
    assert_eq!(silent.response().status, 408);
    let run = started(app(Runtime::Node).option("--idle-timeout", "500"), 1);
    let mut idle = Client::connect(&run);
    assert_eq!(idle.get("/who").status, 200);
    assert!(
        idle.all_the_rest().is_empty(),
        "an idle connection ends without a word"
    );
}

#[test]
fn what_is_not_http_gets_a_clear_answer() {
    let _turn = beside_others();
    let mut run = started(app(Runtime::Bun), 1);
    for bytes in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
        b"\0\0\0\x08\x04\xd2\x16/",
    ] {
        let mut client = Client::connect(&run);
        client.send(bytes);
        let response = client.response();
        assert_eq!(response.status, 400);
        assert!(String::from_utf8_lossy(&response.body).contains("speaks HTTP"));
    }
    run.event("the error", |event| {
        event.is("request_failed") && event.text("reason").contains("speaks HTTP")
    });
    let mut client = Client::connect(&run);
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(client.response().status, 400);
    assert!(client.all_the_rest().is_empty());
}

/// A thousand clients that send a byte now and then, half of them of a head and half of a body, hold
/// no worker: none has a connection of theirs that brings no request, or one of their requests, or
/// lacks the concurrency that they would take.
#[test]
fn slow_clients_hold_no_worker() {
    let _turn = beside_others();
    raise_file_limit(4096);
    // How many connections there are says nothing: a request that one worker was too slow to take
    // moves to another one together with its connection.
    let app = node(
        "const silent = new Set();\n\
         let posts = 0;\n\
         const server = http.createServer((request, response) => {\n\
           silent.delete(request.socket);\n\
           if (request.method === 'POST') posts += 1;\n\
           request.resume().on('end', () => {\n\
             response.end(JSON.stringify({ silent: silent.size, posts }));\n\
           });\n\
         }).listen(port);\n\
         server.on('connection', (socket) => {\n\
           silent.add(socket);\n\
           socket.on('close', () => silent.delete(socket));\n\
         });",
    );
    let app = app.option("--max-concurrency", "1");
    // They are slow on purpose, and the machine may be, too.
    let run = started(app.option("--header-timeout", "600000"), 2);
    let head = b"GET / HTTP/1.1\r\nHost: a";
    let mut slow: Vec<_> = (0..1000).map(|_| Client::connect(&run)).collect();
    for slow in slow.iter_mut().skip(1).step_by(2) {
        slow.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            head.len() + 4
        ));
    }
    let mut client = Client::connect(&run);
    for byte in head {
        for slow in &mut slow {
            slow.stream.write_all(&[*byte]).unwrap();
        }
        for _ in 0..20 {
            let seen = client.get("/").json();
            assert_eq!((&seen["silent"], &seen["posts"]), (&0.into(), &0.into()));
        }
    }
    for slow in &mut slow {
        slow.send("\r\n\r\n");
    }
    for slow in &mut slow {
        assert_eq!(slow.response().status, 200);
    }
}

/// A client that waits for a word before it sends its body, or that sends one of unknown length,
/// may be in a conversation: its request begins at once.
#[test]
fn a_body_that_may_depend_on_the_answer_is_not_waited_for() {
    let _turn = beside_others();
    let app = node(
        "http.createServer((request, response) => {\n\
           response.write('begun');\n\
           request.resume().on('end', () => response.end());\n\
         }).listen(port);",
    );
    let run = started(app, 1);
    let mut client = Client::connect(&run);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk().unwrap(), b"begun");
    client.send("0\r\n\r\n");
    assert!(client.chunk().is_none());
    let mut client = Client::connect(&run);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(client.head().0, 100);
    client.send("a");
    assert_eq!(client.response().body, b"begun");
}

/// A body that ends before its length, and before a worker has been asked for, is refused.
#[test]
fn a_body_that_ends_early_is_refused() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node), 1);
    let mut client = Client::connect(&run);
    client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response().status, 400);
}

/// One client may not have all workers to itself.
#[test]
fn a_client_has_no_more_requests_in_progress_than_it_may() {
    let _turn = beside_others();
    let setup = app(Runtime::Bun)
        .option("--client-limit", "2")
        .option("--trust-proxy", "127.0.0.1");
    let run = started(setup, 1);
    let ask = |client: &mut Client, path: &str, address: &str| {
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n"
        ));
    };
    let mut events: Vec<_> = (0..2).map(|_| Client::connect(&run)).collect();
    for client in &mut events {
        ask(client, "/events", "192.0.2.1");
        assert_eq!(client.head().0, 200);
    }
    let mut client = Client::connect(&run);
    ask(&mut client, "/who", "192.0.2.1");
    let response = client.response();
    assert_eq!(response.status, 429);
    assert!(response.field("retry-after").is_some());
    ask(&mut client, "/who", "192.0.2.2");
    assert_eq!(client.response().status, 200);
    drop(events);
    // That they have gone is seen a moment later.
    loop {
        ask(&mut client, "/who", "192.0.2.1");
        if client.response().status == 200 {
            break;
        }
    }
}

/// As many fields as Node and Bun take, and as Node shows its app, pass in a request, and more in a
/// response; over HTTP/2, too.
#[test]
fn as_many_fields_pass_as_apps_take() {
    const MANY: &str =
        "const response = (n) => new Map(Array.from({ length: n }, (_, i) => [`x-${i}`, 'y']));";
    let _turn = beside_others();
    let setup = node(&format!(
        "{MANY} http.createServer((request, reply) => {{\n\
           reply.setHeaders(response(Number(request.headers['x-count'] ?? 0)));\n\
           reply.end(String(Object.keys(request.headers).length));\n\
         }}).listen(port);"
    ));
    let mut run = started(setup, 1);
    let ask = |count: usize, fields: usize| {
        let mut client = Client::connect(&run);
        let more: String = (0..fields).map(|n| format!("a{n}: b\r\n")).collect();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Count: {count}\r\n{more}\r\n"
        ));
        client.response()
    };
    for fields in [50, 150, 900] {
        let response = ask(fields * 3, fields);
        assert_eq!(response.status, 200);
        let seen: usize = String::from_utf8(response.body).unwrap().parse().unwrap();
        assert!(seen > fields, "{seen}");
        let lines = response.head.lines().filter(|line| line.starts_with("x-"));
        assert_eq!(lines.count(), 3 * fields);
    }
    let refused = ask(0, 1001);
    assert_eq!(refused.status, 431);
    assert!(String::from_utf8_lossy(&refused.body).contains("max_fields"));
    // What a response cannot have, it is told so, in the answer and in the log.
    let failed = ask(10_001, 0);
    assert_eq!(failed.status, 502);
    assert!(String::from_utf8_lossy(&failed.body).contains("more than 10,000 header fields"));
    let crate::harness::Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let output = std::process::Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            "--http2-prior-knowledge",
            "-D",
            "-",
        ])
        .args(["-o", "/dev/null", "-H", "X-Count: 1500"])
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    let head = String::from_utf8(output.stdout).unwrap();
    let lines = head.lines().filter(|line| line.starts_with("x-"));
    assert_eq!(lines.count(), 1500, "{head}");
    run.event("the true reason", |event| {
        event.is("request_failed") && event.text("reason").contains("10,000 header fields")
    });
}

/// Where an app takes more, maitred can be told to.
#[test]
fn the_limits_of_heads_can_be_raised() {
    let _turn = beside_others();
    let setup = node(
        "const server = http.createServer({ maxHeaderSize: 200000 }, (request, reply) => {\n\
           reply.end(String(Object.keys(request.headers).length));\n\
         }).listen(port);\n\
         server.maxHeadersCount = 0;",
    );
    let setup = setup
        .option("--max-head", "100k")
        .option("--max-fields", "3000");
    let run = started(setup, 1);
    for (fields, length) in [(2500, 1), (10, 9000)] {
        let mut client = Client::connect(&run);
        let value = "b".repeat(length);
        let more: String = (0..fields).map(|n| format!("a{n}: {value}\r\n")).collect();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n"));
        let response = client.response();
        assert_eq!(response.status, 200);
        let seen: usize = String::from_utf8(response.body).unwrap().parse().unwrap();
        assert!(seen > fields, "{seen}");
    }
    let mut client = Client::connect(&run);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(103_000)
    ));
    let response = client.response();
    assert_eq!(response.status, 431);
    assert!(String::from_utf8_lossy(&response.body).contains("max_head"));
}
