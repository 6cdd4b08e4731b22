//! Sockets at which nothing of HTTP is spoken, be it that an app has them for itself beside the one
//! that serves.

use std::io::{BufRead, BufReader, Write};

use crate::apps::{Runtime, node, run_by, started};
use crate::client::Client;
use crate::harness::{Setup, beside_others};

/// The server of `multiprocessing.Manager` speaks first, and with the processes of its app alone.
#[test]
fn a_manager_of_multiprocessing_serves_its_app() {
    let _turn = beside_others();
    let text = r#"
import multiprocessing, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = state["known"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        state = manager.dict()
        state["known"] = "by the manager"
        HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
    let setup = Setup::program("app.py", text).option("--per", "request");
    let mut run = started(setup, 2);
    for _ in 0..4 {
        let mut client = crate::client::Client::connect(&run);
        assert_eq!(client.get("/").body, b"by the manager");
    }
    let port = run.port;
    let others = run.events().into_iter().filter(|event| {
        event.is("listening") && !event.text("address").ends_with(&format!(":{port}"))
    });
    assert_eq!(others.count(), 0, "{}", run.story());
}

/// A server that speaks first, as those of mail do, gets its connections whole, and each client is greeted;
/// in strict rotation three of them by three instances. (A free worker is one whose loop waits, and with
/// other policies one may be at the end of an earlier connection.)
#[test]
fn a_server_that_speaks_first_serves() {
    let _turn = beside_others();
    for policy in ["next_available", "round_robin"] {
        let setup = node(
            "net.createServer((socket) => {
                socket.write(`220 ${process.env.NODE_APP_INSTANCE}\\r\\n`);
                socket.on('data', (line) => socket.write(`250 ${line}`));
            }).listen(port);",
        );
        let mut run = started(setup.option("--balance", policy), 3);
        assert!(line(&mut mail(&run)).starts_with("220 "));
        let mut greeted: Vec<_> = (0..30).map(|_| mail(&run)).collect();
        let instances: Vec<_> = greeted.iter_mut().map(line).collect();
        for three in instances.chunks(3) {
            let mut three = three.to_vec();
            assert!(three.iter().all(|it| it.starts_with("220 ")), "{three:?}");
            three.sort();
            if policy == "round_robin" {
                assert_eq!(three, ["220 0", "220 1", "220 2"]);
            }
        }
        for stream in &mut greeted {
            stream.get_mut().write_all(b"HELO there\r\n").unwrap();
            assert_eq!(line(stream), "250 HELO there");
        }
        let event = run.event("what is spoken", |event| event.is("foreign"));
        assert_eq!(event.text("what"), "worker_first");
        let said = run.errors("it", |text| text.contains("speaks before its clients do"));
        assert_eq!(said.matches("speaks before its clients do").count(), 1);
    }
}

fn mail(run: &crate::harness::Run) -> BufReader<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(("127.0.0.1", run.port)).unwrap();
    stream
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    BufReader::new(stream)
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// What an app speaks instead of HTTP is named once, and each client is told why it is not served.
fn is_named(setup: Setup, what: &str, seen: &str, advice: &str) {
    let mut run = started(setup, 2);
    assert_eq!(Client::connect(&run).get("/").status, 502);
    let event = run.event("what is spoken", |event| event.is("foreign"));
    assert_eq!(event.text("what"), what);
    for _ in 0..3 {
        let answer = Client::connect(&run).get("/");
        assert_eq!(answer.status, 502);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains(seen), "{body}\n{}", run.story());
        assert!(!body.contains("per: connection"), "that is not for clients");
    }
    let said = run.errors("the advice", |text| text.contains(advice));
    assert_eq!(said.matches(advice).count(), 1, "{said}");
}

#[test]
fn an_app_that_speaks_tls_is_named() {
    let _turn = beside_others();
    let server = "const fs = require('fs'), https = require('https');
        const files = { key: fs.readFileSync('one.test.key'), cert: fs.readFileSync('one.test.pem') };";
    // The whole listener is wrapped there, after a look whether it has a peer.
    let python = "import http.server, os, ssl
server = http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('one.test.pem', 'one.test.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()";
    let node =
        "https.createServer(files, (_, response) => response.end('ok')).listen(process.env.PORT);";
    let bun = "Bun.serve({ port: process.env.PORT, tls: files, fetch: () => new Response('ok') });";
    for setup in [
        run_by(
            Runtime::Node,
            Setup::program("app.cjs", &format!("{server}{node}")),
        ),
        run_by(
            Runtime::Bun,
            Setup::program("app.cjs", &format!("{server}{bun}")),
        ),
        Setup::program("app.py", python).option("--per", "request"),
    ] {
        let folder = setup.folder().to_owned();
        crate::tls::certificate(&folder, "one.test");
        let setup = setup.option("--cwd", &folder);
        is_named(setup, "tls", "speaks TLS", "set tls_cert and tls_key");
    }
}

#[test]
fn an_app_that_speaks_neither_is_named() {
    let _turn = beside_others();
    let setup = node(
        "net.createServer((socket) => socket.on('data', () => socket.write('-ERR unknown\\r\\n')))
            .listen(port);",
    );
    is_named(
        setup,
        "other",
        "not HTTP",
        "per: connection passes any protocol",
    );
}

/// As nginx answers it: in plain text, at once.
#[test]
fn a_client_that_speaks_tls_to_a_plain_listener_is_told_so() {
    let _turn = beside_others();
    let run = started(
        node("http.createServer((q, r) => r.end()).listen(port);"),
        1,
    );
    let mut client = Client::connect(&run);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh");
    let answer = client.response();
    assert_eq!(answer.status, 400);
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains("this port speaks HTTP"), "{body}");
}
