//! Apps that answer without reading a request's body, and so may take it for the next request: what
//! they answer then reaches the client that sent it, and no other.

use std::process::Command;

use crate::apps::{Runtime, run_by, started, with_node_http};
use crate::client::Client;
use crate::harness::{Run, Setup, beside_others, tool};
use crate::http2::port;

/// Answers with who asked for what. Nothing of a body is read.
const PYTHON: &str = r#"
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Lazy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answer = f"{self.headers['X-Who']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Lazy).serve_forever()
"#;

const NODE: &str = "http.createServer((request, response) => {
  response.end(`${request.headers['x-who']} ${request.url}`);
}).listen(port);";

const FETCH: &str = r#"
const handle = (request) => {
  const url = new URL(request.url);
  return new Response(`${request.headers.get("x-who")} ${url.pathname}`);
};
"#;
const BUN: &str = "Bun.serve({ port: Number(process.env.PORT), fetch: handle });";
const DENO: &str = "Deno.serve({ port: Number(Deno.env.get('PORT')) }, handle);";

fn python() -> Setup {
    Setup::program("lazy.py", PYTHON).option("--per", "request")
}

fn apps() -> [(&'static str, Setup); 4] {
    let fetch =
        |runtime, name, serve| run_by(runtime, Setup::program(name, &format!("{FETCH}{serve}")));
    [
        ("Python", python()),
        ("Node", with_node_http(Runtime::Node, NODE)),
        ("Bun", fetch(Runtime::Bun, "lazy.ts", BUN)),
        ("Deno", fetch(Runtime::Deno, "lazy.js", DENO)),
    ]
}

/// One request of this client, the `n`th of all: with a body or without. A body is a request.
fn request(who: &str, n: usize, names: &str) -> String {
    let fields = format!("Host: a\r\nX-Who: {who}\r\n{names}");
    let hidden = format!("GET /hidden-{n} HTTP/1.1\r\nHost: a\r\nX-Who: {who}\r\n\r\n");
    let length = hidden.len();
    match n * 7919 % 5 {
        0 | 1 => format!("GET /{n} HTTP/1.1\r\n{fields}\r\n"),
        2 => format!("POST /{n} HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n"),
        3 => format!("POST /{n} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{hidden}"),
        _ => format!(
            "POST /{n} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{hidden}\r\n0\r\n\r\n"
        ),
    }
}

/// Sends a request, and reads its response; what the app has said. A connection that ends is made
/// anew for the next one.
fn ask(run: &Run, client: &mut Client, request: String) -> (u16, String) {
    client.send(request);
    let response = client.response();
    if response.field("connection").as_deref() == Some("close") {
        *client = Client::connect(run);
    }
    let said = String::from_utf8_lossy(&response.body).into_owned();
    (response.status, said)
}

const REQUESTS: usize = 1000;

/// Two clients take turns. How many answers were not to what was asked, and that none was to what
/// the other one has asked.
fn answers_to_others(what: &str, run: &Run, one_connection: bool) -> usize {
    let clients = [("ann", "203.0.113.1"), ("bob", "203.0.113.2")];
    let mut connections = [Client::connect(run), Client::connect(run)];
    let mut others = 0;
    for n in 0..REQUESTS {
        let (who, address) = clients[n % 2];
        let names = format!("X-Forwarded-For: {address}\r\n");
        let connection = &mut connections[if one_connection { 0 } else { n % 2 }];
        let (status, said) = ask(run, connection, request(who, n, &names));
        if said != format!("{who} /{n}") {
            others += 1;
            // It misreads its own bodies: what this client hid in one is answered first, and from
            // then on each answer is one to an earlier request of the same client.
            let own = status != 200 || said.starts_with(&format!("{who} /"));
            assert!(
                own,
                "{what}: {who} asked for /{n}, and got {status} {said:?}"
            );
        }
    }
    others
}

#[test]
fn what_an_app_makes_of_an_unread_body_reaches_no_other_client() {
    let _turn = beside_others();
    for (what, setup) in apps() {
        let run = started(setup.limit(400), 1);
        let others = answers_to_others(what, &run, false);
        // A runtime that reads on by itself mistakes nothing.
        assert!(others == 0 || what == "Python", "{what}: {others}");
        println!("{what}: {others} of {REQUESTS} were not what was asked");
    }
}

/// A balancer before us sends many clients' requests over few connections.
#[test]
fn nor_does_it_where_a_balancer_speaks_for_both() {
    let _turn = beside_others();
    for (what, setup) in apps() {
        let setup = setup.option("--trust-proxy", "127.0.0.1").limit(400);
        let run = started(setup, 1);
        for one_connection in [true, false] {
            let others = answers_to_others(what, &run, one_connection);
            assert!(others == 0 || what == "Python", "{what}: {others}");
        }
    }
}

/// The plain case, in which the victim asks directly after the attacker.
#[test]
fn who_asks_next_is_answered_what_it_asked() {
    let _turn = beside_others();
    let run = started(python(), 1);
    let mut attacker = Client::connect(&run);
    let mut victim = Client::connect(&run);
    for n in 0..100 {
        let (_, said) = ask(&run, &mut attacker, request("ann", 5 * n + 2, ""));
        assert!(said.starts_with("ann "), "{said}");
        let (_, said) = ask(&run, &mut victim, request("bob", 5 * n, ""));
        assert_eq!(said, format!("bob /{}", 5 * n));
    }
}

/// Two clients take turns over HTTP/2, each over a connection of its own, or both over a balancer's.
/// Prints each answer that belongs to the other one, and how many answers there were.
const OVER_HTTP2: &str = r#"
const http2 = require("node:http2");
const [port, requests, shared] = process.argv.slice(1).map(Number);
const connect = () => http2.connect(`http://127.0.0.1:${port}`);
const sessions = [connect()];
sessions.push(shared ? sessions[0] : connect());
const ask = (n) => new Promise((resolve, reject) => {
  const at = n % 2, who = ["ann", "bob"][at];
  const fields = { ":path": `/${n}`, "x-who": who, "x-forwarded-for": `203.0.113.${at + 1}` };
  const hides = n * 7919 % 5 > 1;
  const method = hides ? "POST" : "GET";
  const stream = sessions[at].request({ ":method": method, ...fields }, { endStream: !hides });
  if (hides) stream.end(`GET /hidden-${n} HTTP/1.1\r\nHost: a\r\nX-Who: ${who}\r\n\r\n`);
  let status, said = "";
  stream.setEncoding("utf8");
  stream.on("response", (head) => { status = head[":status"]; });
  stream.on("data", (part) => { said += part; });
  stream.on("error", reject);
  stream.on("close", () => resolve([who, status, said]));
});
(async () => {
  let answers = 0;
  for (let n = 0; n < requests; n++) {
    const [who, status, said] = await ask(n);
    answers++;
    if (status === 200 && !said.startsWith(`${who} /`)) console.log(`${who} /${n}: ${said}`);
  }
  console.log(`${answers} answers`);
  for (const session of sessions) session.close();
})();
"#;

const OF_HTTP2: usize = 300;

/// The client's HTTP/2 connection counts as its connection, whichever stream a body came in.
#[test]
fn nor_does_it_over_http2() {
    let _turn = beside_others();
    for is_shared in [false, true] {
        let setup = match is_shared {
            false => python(),
            true => python().option("--trust-proxy", "127.0.0.1"),
        };
        let run = started(setup.limit(400), 1);
        let output = Command::new(tool("node"))
            .args(["-e", OVER_HTTP2, "--", &port(&run).to_string()])
            .args([OF_HTTP2.to_string(), u8::from(is_shared).to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(said, format!("{OF_HTTP2} answers\n"), "{is_shared}");
    }
}
