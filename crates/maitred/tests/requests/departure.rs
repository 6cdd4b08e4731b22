//! Clients that leave before their response: their workers hear of it at once, and a request that
//! still waits for a worker reaches none.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::apps::{RUNTIMES, Runtime, node, run_by, started};
use crate::client::Client;
use crate::harness::{Door, Event, Run, Setup, beside_others};
use crate::tls::secured;

/// Says what it is asked, and that it hears of its client's end; answers `/now` alone.
const NODE: &str = "http.createServer((request, response) => {
  if (request.url === '/now') return response.end('ok');
  if (request.url === '/half') response.write('half');
  response.on('close', () => console.log('left', request.url, response.writableFinished));
  request.resume();
  request.on('error', () => {});
  console.log('asked', request.url);
}).listen(port);";

/// The same with fetch's Request and Response.
const FETCH: &str = r#"
const handle = (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/now") return new Response("ok");
  request.signal.addEventListener("abort", () => console.log("left", pathname, false));
  console.log("asked", pathname);
  if (pathname !== "/half") return new Promise(() => {});
  const start = (to) => to.enqueue(new TextEncoder().encode("half"));
  const cancel = () => console.log("left", pathname, false);
  return new Response(new ReadableStream({ start, cancel }));
};
"#;
const BUN: &str = "Bun.serve({ port: Number(process.env.PORT), idleTimeout: 0, fetch: handle });";
const DENO: &str = r#"import process from "node:process";
Deno.serve({ port: Number(process.env.PORT) }, handle);"#;

fn app(runtime: Runtime) -> Setup {
    match runtime {
        Runtime::Node => node(NODE),
        Runtime::Bun => run_by(runtime, Setup::program("app.ts", &format!("{FETCH}{BUN}"))),
        Runtime::Deno => run_by(runtime, Setup::program("app.js", &format!("{FETCH}{DENO}"))),
    }
}

fn says(run: &Run, line: &str) {
    run.output(line, |text| text.contains(line));
}

#[test]
fn a_worker_hears_at_once_that_its_client_has_left() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        for (path, request) in [
            ("/get", "GET /get HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "/post",
                "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            ),
            ("/half", "GET /half HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let mut client = Client::connect(&run);
            client.send(request);
            says(&run, &format!("asked {path}"));
            if path == "/half" {
                assert_eq!(client.head().0, 200, "{runtime:?}");
                assert_eq!(client.chunk().unwrap(), b"half", "{runtime:?}");
            }
            drop(client);
            says(&run, &format!("left {path} false"));
        }
        assert_eq!(Client::connect(&run).get("/now").status, 200);
    }
}

/// Within TLS a client may say that it leaves while its connection stays open.
#[test]
fn a_worker_hears_of_a_client_that_leaves_within_tls() {
    const CLIENT: &str = "
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
raw = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
client = context.wrap_socket(raw)
client.sendall(b'GET /tls HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
sys.stdin.readline()
try:
    client.unwrap()
except (ssl.SSLError, OSError):
    pass
print('gone', flush=True)
";
    let _turn = beside_others();
    let run = started(secured(node(NODE), &["one.test"]), 1);
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let mut client = Command::new("python3")
        .args(["-c", CLIENT, &address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    says(&run, "asked /tls");
    // Its input ends, whatever becomes of this test: so it ends, too.
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"leave\n").unwrap();
    says(&run, "left /tls false");
    let mut line = String::new();
    let output = client.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "gone\n");
    client.wait().unwrap();
}

/// What was counted of requests at the listener.
fn requests(event: &Event, figure: &str) -> Option<u64> {
    event.json["listeners"][0]["requests"][figure].as_u64()
}

#[test]
fn a_request_whose_client_gives_up_in_the_queue_reaches_no_worker() {
    let _turn = beside_others();
    for policy in [
        "next_available",
        "round_robin",
        "least_conn",
        "ip_hash",
        "sticky",
    ] {
        let setup = app(Runtime::Node)
            .option("--balance", policy)
            .option("--max-concurrency", "1")
            .flag("--stats=1");
        let mut run = started(setup, 1);
        let mut first = Client::connect(&run);
        first.ask("/first");
        says(&run, "asked /first");
        let impatient: Vec<_> = (0..4)
            .map(|_| {
                let mut client = Client::connect(&run);
                client.ask("/impatient");
                client
            })
            .collect();
        let mut live = Client::connect(&run);
        live.ask("/now");
        run.event("requests that wait", |event| {
            event.is("figures") && requests(event, "waiting") == Some(5)
        });
        drop(impatient);
        run.event("those that gave up", |event| {
            event.is("figures")
                && requests(event, "waiting") == Some(1)
                && requests(event, "aborted") == Some(4)
        });
        drop(first);
        assert_eq!(live.response().body, b"ok", "{policy}");
        let said = run.output("the first one's end", |text| text.contains("left /first"));
        assert!(!said.contains("impatient"), "{policy}: {said}");
    }
}
