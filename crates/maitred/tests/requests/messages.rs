//! Requests and responses as they arrive on the other side.

use std::net::SocketAddr;

use crate::apps::{RUNTIMES, Runtime, app, node, started, with_node_http};
use crate::client::Client;
use crate::harness::{Door, beside_others};

#[test]
fn each_runtime_sees_the_client_and_what_is_told_of_it() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let mut client = Client::connect(&run);
        client.send(
            "GET /who?x=1 HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Own: 1\r\n\r\n",
        );
        let seen = client.response().json();
        let ip = seen["ip"].as_str().unwrap();
        assert!(ip.ends_with("127.0.0.1"), "{runtime:?}: {ip}");
        let headers = &seen["headers"];
        assert_eq!(headers["host"], "example.org");
        assert_eq!(headers["x-own"], "1");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-real-ip"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "example.org");
        assert_eq!(
            headers["forwarded"],
            "for=127.0.0.1;host=\"example.org\";proto=http"
        );
    }
}

/// A listener for all addresses shows the one that the client connected to, also over a connection
/// to the worker that is used again, and to a client that names no host.
#[test]
fn a_worker_sees_the_address_that_its_client_connected_to() {
    let _turn = beside_others();
    let setup = node(
        "http.createServer((q, s) => {
            s.setHeader('Content-Length', 100);
            s.end(`${q.socket.localAddress} ${q.socket.localPort} ${q.headers.host}`.padEnd(100));
        }).listen(port);",
    );
    let run = started(setup, 1);
    let Door::Tcp(door) = run.door() else {
        panic!("not a TCP app");
    };
    for address in ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"] {
        let to = SocketAddr::new(address.parse().unwrap(), door.port());
        let mut client = Client::connect_to(to);
        client.send("GET / HTTP/1.0\r\n\r\n");
        let seen = client.response().body;
        let seen = String::from_utf8(seen).unwrap();
        let expected = format!("::ffff:{address} {} {to}", to.port());
        assert_eq!(seen.trim(), expected);
    }
}

/// Node keeps 1,000 fields, and drops the rest without a word.
#[test]
fn a_client_cannot_push_out_what_is_told_of_it() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node), 1);
    let mut client = Client::connect(&run);
    let fields = "X-Fill: 1\r\n".repeat(999);
    client.send(format!("GET /who HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let seen = client.response().json();
    let headers = &seen["headers"];
    assert_eq!(headers["x-real-ip"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["forwarded"], "for=127.0.0.1;host=\"a\";proto=http");
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_bodies_go_both_ways() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 2);
        let mut client = Client::connect(&run);
        let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n\
                       5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX: 1\r\n\r\n";
        client.send(format!(
            "GET /sleep?ms=50 HTTP/1.1\r\nHost: a\r\n\r\n{chunked}\
             POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\
             HEAD /who HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(client.response().status, 200);
        assert_eq!(client.response().body, b"hello, world", "{runtime:?}");
        assert_eq!(client.response().body, b"hi");
        let (status, head) = client.head();
        assert!(
            status == 200 && head.to_lowercase().contains("x-app: yes"),
            "{head}"
        );
        assert_eq!(client.response().status, 404);
        // Trailers have confused nobody: the connections are good for more.
        for _ in 0..5 {
            client.send(chunked);
            assert_eq!(client.response().body, b"hello, world");
        }
    }
}

#[test]
fn an_old_client_gets_what_it_understands() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node), 1);
    let mut client = Client::connect(&run);
    client.send("GET /who HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (_, head) = client.head();
    assert!(!head.to_lowercase().contains("chunked"), "{head}");
    client.all_the_rest();
    let setup = node(
        "http.createServer((q, s) => { s.setHeader('Content-Length', 2); s.end('ok'); }).listen(port);",
    );
    let run = started(setup, 1);
    let mut client = Client::connect(&run);
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("connection").unwrap(), "keep-alive");
        assert_eq!(response.body, b"ok");
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().field("connection").unwrap(), "close");
    assert!(client.all_the_rest().is_empty());
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let _turn = beside_others();
    let body = "http.createServer((request, response) => {
           response.writeProcessing();
           response.writeEarlyHints({ link: '</a.css>; rel=preload' });
           request.on('data', () => {}).on('end', () => response.end('done'));
         }).listen(port);";
    for runtime in RUNTIMES {
        let run = started(with_node_http(runtime, body), 1);
        let mut client = Client::connect(&run);
        for _ in 0..2 {
            client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            );
            assert_eq!(client.head().0, 100, "{runtime:?}");
            assert_eq!(client.head().0, 102, "{runtime:?}");
            let (status, head) = client.head();
            assert_eq!(status, 103, "{runtime:?}");
            let hint = "link: </a.css>; rel=preload";
            assert!(head.to_lowercase().contains(hint), "{runtime:?}: {head}");
            client.send("hello");
            assert_eq!(client.response().body, b"done", "{runtime:?}");
        }
        // HTTP/1.0 has no such responses.
        client.send("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().body, b"done", "{runtime:?}");
    }
}

/// An answer that comes before the request is complete ends the connection: what follows could
/// be taken for another request.
#[test]
fn an_early_answer_ends_the_connection() {
    let _turn = beside_others();
    let setup = node(
        "http.createServer((request, response) => {
           if (request.method === 'POST') { response.statusCode = 401; response.end('no'); }
           else response.end('yes');
         }).listen(port);",
    );
    let run = started(setup, 1);
    for _ in 0..3 {
        let mut client = Client::connect(&run);
        // So much of it that a worker is asked for.
        let beginning = "x".repeat(16 * 1024);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{beginning}GET /smuggled HTTP/1.1\r\n",
        ));
        let response = client.response();
        assert_eq!(response.status, 401);
        assert_eq!(response.field("connection").unwrap(), "close");
        assert!(client.all_the_rest().is_empty());
        assert_eq!(Client::connect(&run).get("/").body, b"yes");
    }
}

/// A client that has said all it wants, and closes that side, still gets its answers where
/// `half_closed_clients` says that such clients have not left.
#[test]
fn a_half_closed_client_is_answered() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime).flag("--half-closed-clients"), 1);
        let mut client = Client::connect(&run);
        client.ask("/sleep?ms=300");
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.response().status, 200);
        assert_eq!(client.response().body, b"hello", "{runtime:?}");
        assert!(client.all_the_rest().is_empty());
    }
}

/// Responses without a body are followed by the next one, whatever their fields say.
#[test]
fn responses_without_a_body_end_with_their_head() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let mut client = Client::connect(&run);
        for (method, path, status) in [
            ("HEAD", "/who", 200),
            ("HEAD", "/big?mb=1", 200),
            ("GET", "/empty?status=204", 204),
            ("GET", "/empty?status=304", 304),
            ("HEAD", "/empty?status=304", 304),
        ] {
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.head().0, status, "{runtime:?} {method} {path}");
            assert_eq!(
                client.get("/who").status,
                200,
                "{runtime:?} {method} {path}"
            );
        }
    }
}

/// A client that waits to be told to go on is told so, by whichever runtime.
#[test]
fn who_waits_for_a_sign_to_send_its_body_gets_it() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let mut client = Client::connect(&run);
        for _ in 0..3 {
            client.send(
                "POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            );
            assert_eq!(client.head().0, 100, "{runtime:?}");
            client.send("hello");
            assert_eq!(client.response().json()["length"], 5, "{runtime:?}");
        }
    }
}

/// What follows a body reaches a client that can take it.
#[test]
fn trailers_follow_a_response() {
    let _turn = beside_others();
    let body = "http.createServer((request, response) => {
           response.setHeader('Trailer', 'X-Sum');
           response.write('some');
           response.addTrailers({ 'X-Sum': '4', 'Set-Cookie': 'a=b' });
           response.end();
         }).listen(port);";
    for runtime in RUNTIMES {
        let run = started(with_node_http(runtime, body), 1);
        let mut client = Client::connect(&run);
        for _ in 0..3 {
            client.ask("/");
            let (status, head) = client.head();
            assert!(
                status == 200 && head.to_lowercase().contains("trailer: x-sum"),
                "{runtime:?}: {head}"
            );
            assert_eq!(client.until("\r\n0\r\n"), "4\r\nsome", "{runtime:?}");
            // A cookie is for the head.
            assert_eq!(client.until("\r\n\r\n"), "X-Sum: 4", "{runtime:?}");
        }
    }
}

#[test]
fn a_balancer_before_us_names_the_client() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun).flag("--proxy-protocol"), 1);
    let mut client = Client::connect(&run);
    client.send("PROXY TCP4 192.0.2.7 192.0.2.8 1111 80\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    let seen = client.response().json();
    assert_eq!(seen["ip"], "192.0.2.7");
    assert_eq!(seen["headers"]["x-forwarded-for"], "192.0.2.7");
    let mut client = Client::connect(&run);
    client.ask("/who");
    assert!(client.response().status == 400);
}
