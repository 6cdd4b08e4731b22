//! The same promise on a machine that is busy with something else: what is late there is not
//! blocked, and simultaneous requests still go to different workers, in every round.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::harness::{Door, Gate, PATIENCE, Request, Run, Setup, alone, rounds};

const WORKERS: usize = 3;
/// Those that promise it. Of connections, `least_conn` goes by those that are open: on a busy machine a
/// worker may not have closed one of the round before, and rightly gets nothing then. Of requests it is
/// known that they are over.
const PROMISES: [(&str, &str); 5] = [
    ("connection", "next_available"),
    ("connection", "round_robin"),
    ("request", "next_available"),
    ("request", "round_robin"),
    ("request", "least_conn"),
];

/// Each request rings, and blocks its worker until the test lets it go on: who has one begins no
/// other.
const SERVER: &str = r#"
const fs = require("node:fs");
const gate = fs.openSync(process.env.GATE, "r");
const bell = fs.openSync(process.env.BELL, "w");
const answer = JSON.stringify({ instance: process.env.NODE_APP_INSTANCE, pid: process.pid });
require("node:http").createServer((request, response) => {
  if (request.url === "/api") {
    fs.writeSync(bell, ".");
    fs.readSync(gate, new Uint8Array(1));
  }
  response.setHeader("Content-Length", answer.length);
  response.end(answer);
}).listen(Number(process.env.PORT));
"#;

const PYTHON: &str = r#"
import json, os
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

gate = os.open(os.environ["GATE"], os.O_RDONLY)
bell = os.open(os.environ["BELL"], os.O_WRONLY)
answer = json.dumps({"instance": os.environ["NODE_APP_INSTANCE"], "pid": os.getpid()}).encode()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/api":
            os.write(bell, b".")
            os.read(gate, 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

class Server(TCPServer):
    allow_reuse_address = True
    request_queue_size = 128

Server(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Workers ring it, each with a byte that it writes into a pipe.
struct Bell {
    path: PathBuf,
    pipe: File,
}

impl Bell {
    fn new(setup: &Setup) -> Bell {
        let path = setup.folder().join("bell");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        // With both ends here, neither side waits for the other to open it.
        let pipe = OpenOptions::new().read(true).write(true).open(&path);
        Bell {
            path,
            pipe: pipe.unwrap(),
        }
    }

    /// Waits until it has rung so many times; how many times it rang until patience ended.
    fn rings(&self, count: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut rung = 0;
        while rung < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap();
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            if poll(&mut fds, Some(&left)).unwrap() == 0 {
                break;
            }
            rung += (&self.pipe).read(&mut vec![0; count - rung]).unwrap();
        }
        rung
    }
}

/// Keeps both processors busy with something else.
fn beside_other_programs(body: impl FnOnce()) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        body();
    });
}

fn every_worker_answers_one(app: impl Fn() -> Setup) {
    let _turn = alone();
    for (per, policy) in PROMISES {
        let setup = app().option("--balance", policy).option("--per", per);
        let (gate, bell) = (Gate::new(setup.folder()), Bell::new(&setup));
        let setup = setup.env("GATE", gate.path()).env("BELL", &bell.path);
        let mut run = setup
            .instances(WORKERS)
            .flag("--stats=1")
            .limit(3600)
            .start();
        run.listening(WORKERS as u64);
        until_all_have_answered(&run.door());
        beside_other_programs(|| {
            for round in 0..3 * rounds() {
                let round = format!("per {per}, {policy}, round {round}");
                play(&mut run, &gate, &bell, &round);
            }
        });
        run.no_worker_has_ended();
        println!("per {per}, {policy}: {} rounds, 0 uneven", 3 * rounds());
    }
}

/// A worker that has just begun to listen may still be busy with its start.
fn until_all_have_answered(door: &Door) {
    let mut seen = BTreeSet::new();
    while seen.len() < WORKERS {
        seen.insert(Request::get(door, "/").unwrap().worker());
    }
}

fn play(run: &mut Run, gate: &Gate, bell: &Bell, round: &str) {
    let door = run.door();
    let mut requests: Vec<_> = (0..WORKERS)
        .map(|_| Request::connect(&door).unwrap())
        .collect();
    for request in &mut requests {
        request.send("/api").unwrap();
    }
    let at_work = bell.rings(WORKERS);
    assert_eq!(at_work, WORKERS, "{round}\n{}", run.story());
    gate.lets_pass(WORKERS);
    let answers = requests
        .into_iter()
        .map(|request| request.receive().unwrap());
    let who: BTreeSet<_> = answers.map(|answer| answer.worker()).collect();
    assert_eq!(who.len(), WORKERS, "{round}: {who:?}");
}

#[test]
fn node() {
    every_worker_answers_one(|| Setup::program("app.cjs", SERVER));
}

#[test]
fn bun() {
    every_worker_answers_one(|| Setup::program("app.cjs", SERVER).option("--interpreter", "bun"));
}

#[test]
fn deno() {
    every_worker_answers_one(|| {
        Setup::program("app.cjs", SERVER)
            .option("--interpreter", "deno")
            .option("--interpreter-args", "run --allow-all --quiet")
    });
}

#[test]
fn python() {
    every_worker_answers_one(|| Setup::program("app.py", PYTHON));
}
