//! Workers whose event loops stand still: seen in each runtime, whatever they stand still in, and told
//! from those that are idle or have much to do.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Event, Gate, Request, Run, Setup, beside_others};

/// What JavaScript does in the ways that its loop stands still.
const HANG: &str = r#"
import fs from "node:fs";
import process from "node:process";
import { spawnSync } from "node:child_process";
const { GATE, GO } = process.env;
const hang = (how) => {
  if (how === "/compute") while (!fs.existsSync(GO));
  if (how === "/read") fs.readSync(fs.openSync(GATE), new Uint8Array(1));
  if (how === "/child") spawnSync("head", ["-c1", GATE]);
  // From a timer, when no client is connected any more.
  if (how === "/later") setTimeout(() => hang("/read"), 100);
  // Its loop has much to do, and turns.
  if (how === "/busy") (function work() {
    const end = performance.now() + 10;
    while (performance.now() < end);
    setTimeout(work, 0);
  })();
  return String(process.pid);
};
"#;

const NODE: &str = r#"
import { createServer } from "node:http";
createServer(({ url }, response) => {
  response.setHeader("connection", "close");
  response.end(hang(url));
}).listen(process.env.PORT);
"#;

const BUN: &str = r#"
const fetch = ({ url }) => new Response(hang(new URL(url).pathname));
Bun.serve({ port: process.env.PORT, fetch });
"#;

const DENO: &str = r#"
const serve = ({ url }) => new Response(hang(new URL(url).pathname));
Deno.serve({ port: Number(process.env.PORT) }, serve);
"#;

const PYTHON: &str = r#"
import asyncio, os, socket, subprocess
GATE, GO = os.environ["GATE"], os.environ["GO"]

def hang(how):
    if how == "/compute":
        while not os.path.exists(GO):
            pass
    if how == "/read":
        with open(GATE, "rb", buffering=0) as gate:
            gate.read(1)
    if how == "/child":
        # It waits in poll for what the child writes.
        subprocess.run(["head", "-c1", GATE], capture_output=True)
    if how == "/later":
        asyncio.get_running_loop().call_later(0.1, hang, "/read")
    return str(os.getpid()).encode()

async def serve(reader, writer):
    request = await reader.readuntil(b"\r\n\r\n")
    body = hang(request.split()[1].decode())
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", os.environ["PORT"])
    async with server:
        await server.serve_forever()

asyncio.run(main())
"#;

/// One request at a time, and its `accept` blocks.
const PYTHON_BLOCKING: &str = r#"
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        while self.path == "/compute" and not os.path.exists(os.environ["GO"]):
            pass
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// An app that hangs until it is let go on.
struct App {
    run: Run,
    gate: Gate,
    go: PathBuf,
    /// What it has told last.
    last: Event,
}

impl App {
    fn start(setup: Setup, instances: usize) -> App {
        let gate = Gate::new(setup.folder());
        let go = setup.folder().join("go");
        let setup = setup.env("GATE", gate.path()).env("GO", &go);
        let mut run = setup.instances(instances).start();
        let last = run.listening(instances as u64);
        App {
            run,
            gate,
            go,
            last,
        }
    }

    fn ask(&self, path: &str) -> Request {
        let mut request = Request::connect(&self.run.door()).unwrap();
        request.send(path).unwrap();
        request
    }

    /// Waits until another worker is blocked; its pid.
    fn is_blocked(&mut self) -> i32 {
        let blocked = self
            .run
            .event_after(&self.last, "blocked", |event| event.is("blocked"));
        assert!(blocked.number("lasts") >= 1000, "{}", blocked.json);
        self.last = blocked;
        self.last.pid()
    }

    /// Lets it go on, and waits until that is seen.
    fn goes_on(&mut self, path: &str, pid: i32) {
        match path {
            "/compute" => fs::write(&self.go, "").unwrap(),
            _ => self.gate.lets_pass(1),
        }
        let lasted = self.last.number("lasts");
        let goes_on = self
            .run
            .event_after(&self.last, "its end", |event| event.is("unblocked"));
        assert_eq!(goes_on.pid(), pid);
        assert!(goes_on.number("lasted") >= lasted, "{}", goes_on.json);
        self.last = goes_on;
        let _ = fs::remove_file(&self.go);
    }

    /// One of two workers hangs; the other one serves, and is not blocked.
    fn hangs(&mut self, path: &str) {
        let hung = self.ask(path);
        let pid = self.is_blocked();
        for _ in 0..3 {
            let answer = Request::get(&self.run.door(), "/").unwrap();
            assert_ne!(answer.body, pid.to_string(), "{path}");
        }
        self.goes_on(path, pid);
        assert_eq!(hung.receive().unwrap().body, pid.to_string(), "{path}");
    }

    fn hangs_later(&mut self) {
        let answer = Request::get(&self.run.door(), "/later").unwrap();
        assert_eq!(answer.body, self.is_blocked().to_string());
        self.goes_on("/later", self.last.pid());
    }

    /// How often any worker was blocked.
    fn times(&mut self) -> usize {
        let events = self.run.events();
        events.iter().filter(|event| event.is("blocked")).count()
    }
}

/// Each way of standing still is seen, at both levels, and nothing else.
fn is_seen(setup: impl Fn() -> Setup) {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        let mut app = App::start(setup().option("--per", level), 2);
        for path in ["/compute", "/read", "/child"] {
            app.hangs(path);
        }
        app.hangs_later();
        assert_eq!(app.times(), 4, "{level}: {}", app.run.story());
        app.run.no_worker_has_ended();
    }
}

#[test]
fn a_loop_of_node_that_stands_still_is_seen() {
    is_seen(|| Setup::program("app.mjs", &format!("{HANG}{NODE}")));
}

#[test]
fn a_loop_of_bun_that_stands_still_is_seen() {
    is_seen(|| Setup::program("app.mjs", &format!("{HANG}{BUN}")).option("--interpreter", "bun"));
}

#[test]
fn a_loop_of_deno_that_stands_still_is_seen() {
    is_seen(|| {
        Setup::program("app.mjs", &format!("{HANG}{DENO}"))
            .option("--interpreter", "deno")
            .option("--interpreter-args", "run --allow-all --quiet")
    });
}

#[test]
fn a_loop_of_asyncio_that_stands_still_is_seen() {
    is_seen(|| Setup::program("app.py", PYTHON));
}

/// No probe can be sent to it: what lies in its channel shows that it takes nothing.
#[test]
fn a_server_whose_accept_blocks_is_seen_to_compute_while_others_wait() {
    let _turn = beside_others();
    let mut app = App::start(Setup::program("app.py", PYTHON_BLOCKING), 1);
    let (hung, waits) = (app.ask("/compute"), app.ask("/"));
    let pid = app.is_blocked();
    app.goes_on("/compute", pid);
    for request in [hung, waits] {
        assert_eq!(request.receive().unwrap().body, pid.to_string());
    }
}

/// While one is blocked, as long as that takes to be seen, one that has work all the time and one that
/// has none are not.
#[test]
fn a_loop_that_has_much_to_do_is_not_blocked() {
    let _turn = beside_others();
    let program = format!("{HANG}{NODE}");
    let setup = Setup::program("app.mjs", &program).option("--balance", "round_robin");
    let mut app = App::start(setup, 3);
    let busy = Request::get(&app.run.door(), "/busy").unwrap().body;
    Request::get(&app.run.door(), "/").unwrap();
    for _ in 0..2 {
        let hung = app.ask("/read");
        let pid = app.is_blocked();
        assert_ne!(pid.to_string(), busy);
        app.goes_on("/read", pid);
        assert_eq!(hung.receive().unwrap().body, pid.to_string());
        // To the same one again.
        for _ in 0..2 {
            Request::get(&app.run.door(), "/").unwrap();
        }
    }
    assert_eq!(app.times(), 2, "{}", app.run.story());
}
