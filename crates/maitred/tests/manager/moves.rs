//! Reloading and scaling under clients that never retry: connections outlive their workers.

mod kinds;
mod lasting;
mod load;
mod survivors;
mod websocket;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{PATIENCE, Process, beside_others, gone_within, repository, tool};
use crate::home::Home;
use crate::wait::{until, until_it_is};
use kinds::{KINDS, Kind, UPLOADS};
use lasting::Lasting;
use load::{address, under_load};

/// A server without any signal handler. It echoes bodies; `/slow` takes a second and a half, `/events`
/// has no end, `/grow` takes memory, and WebSockets echo.
struct Server {
    file: &'static str,
    text: String,
    /// How it is started.
    fields: Value,
    /// Kinds of clients whose connections it closes by itself, so they use each of them once.
    closes: &'static [&'static str],
    /// Whether it has `/events` and WebSockets.
    streams: bool,
}

fn node() -> Server {
    Server {
        file: "app.cjs",
        text: include_str!("moves/node.cjs").to_owned(),
        fields: json!({ "env": { "MODULES": repository().join("tests/tools/node_modules") } }),
        closes: &[],
        streams: true,
    }
}

fn bun() -> Server {
    Server {
        file: "app.ts",
        text: [
            include_str!("moves/handler.js"),
            include_str!("moves/bun.ts"),
        ]
        .concat(),
        fields: json!({ "interpreter": "bun" }),
        closes: &[],
        streams: true,
    }
}

fn deno() -> Server {
    Server {
        file: "app.js",
        text: [
            include_str!("moves/handler.js"),
            include_str!("moves/deno.js"),
        ]
        .concat(),
        fields: json!({ "interpreter": "deno", "node_args": "run --allow-all" }),
        // It does so after a request whose body comes later than its head.
        closes: &UPLOADS,
        streams: true,
    }
}

fn uvicorn() -> Server {
    Server {
        file: "app.py",
        text: include_str!("moves/asgi.py").to_owned(),
        fields: json!({
            "interpreter": tool("python3"),
            "env": {
                "PYTHONPATH": repository().join("tests/tools/python"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        }),
        closes: &[],
        streams: true,
    }
}

fn asyncio() -> Server {
    Server {
        file: "app.py",
        text: include_str!("moves/streams.py").to_owned(),
        fields: json!({}),
        closes: &[],
        streams: false,
    }
}

impl Server {
    /// Writes its program, and its config with these fields beside its own.
    fn write(&self, home: &Home, fields: &Value) {
        home.file(self.file, &self.text);
        let mut app = json!({ "name": "app", "script": self.file });
        for more in [&self.fields, fields] {
            let more = more.as_object().unwrap().clone();
            app.as_object_mut().unwrap().extend(more);
        }
        home.file("app.json", &app.to_string());
    }

    fn kinds(&self) -> Vec<Kind> {
        let once = |kind: Kind| Kind {
            anew: kind.anew || self.closes.contains(&kind.name),
            ..kind
        };
        let mut kinds = KINDS.map(once).to_vec();
        kinds.retain(|kind| self.streams || !kind.opaque);
        kinds
    }
}

const LEVELS: [&str; 2] = ["connection", "request"];

/// How often each app is reloaded at each level.
fn reloads() -> usize {
    match std::env::var("MAITRED_TEST_RELOADS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 1,
    }
}

/// Waits until each of these has a successor that is up.
fn are_replaced(home: &Home, before: &[i32]) {
    let stays = |pid: &i32| *pid == 0 || before.contains(pid);
    until_it_is("all are replaced", || !home.pids().iter().any(stays));
}

/// What ends workers while others serve, except for scaling, one after the other.
fn deploys(home: &Home, server: &Server, fields: &Value, mut begins: impl FnMut(String)) {
    for number in 0..reloads() {
        begins(format!("reload {number}"));
        home.does(&["reload", "app"]);
    }

    begins("update".to_owned());
    home.does(&["update", "app"]);

    begins("cron_restart".to_owned());
    let mut each_second = fields.clone();
    each_second["cron_restart"] = json!("* * * * * *");
    server.write(home, &each_second);
    home.does(&["reload", "app.json"]);
    are_replaced(home, &home.pids());
    begins("a reload without cron_restart".to_owned());
    server.write(home, fields);
    home.does(&["reload", "app.json"]);

    begins("watch".to_owned());
    let before = home.pids();
    home.file("changed", "");
    are_replaced(home, &before);

    begins("max_memory_restart".to_owned());
    let before = home.pids();
    Client::new(address(home)).unwrap().receives(b"", "/grow");
    until_it_is("one is replaced", || {
        home.pids().iter().any(|pid| !before.contains(pid))
    });
}

fn loses_nothing(server: &Server, level: &str) {
    let _turn = beside_others();
    let home = Home::new();
    let fields = json!({
        "instances": 2,
        "per": level,
        // So a worker that had something left would not end in the time that a command may take.
        "drain_timeout": "1h",
        "watch": ["changed"],
        "watch_delay": "20ms",
        "max_memory_restart": "400M",
    });
    home.file("changed", "not yet");
    server.write(&home, &fields);
    home.does(&["start", "app.json"]);
    home.is_up("app", 2);
    let first = processes(&home);
    let mut lasting = server
        .streams
        .then(|| Lasting::open(address(&home)).unwrap());
    under_load(&home, &server.kinds(), |step| {
        deploys(&home, server, &fields, |name| {
            let gone_on = lasting.iter_mut().try_for_each(Lasting::go_on);
            gone_on.unwrap_or_else(|error| panic!("before {name}: {error}"));
            step.begins(name);
        });
        if let Some(lasting) = lasting {
            assert!(first.iter().any(Process::is_alive));
            lasting.close().unwrap();
        }
        for count in ["6", "1", "4"] {
            step.begins(format!("scale {count}"));
            home.does(&["scale", "app", count]);
        }
        assert_eq!(gone_within(PATIENCE, &first), []);
    });
}

/// What cannot move lives until `drain_timeout`, and no longer.
#[test]
fn websockets_and_event_streams_live_until_drain_timeout() {
    let _turn = beside_others();
    let limit = Duration::from_secs(3);
    for server in [node(), bun(), deno(), uvicorn()] {
        for level in LEVELS {
            let case = format!("{}, per {level}", server.file);
            let home = Home::new();
            let fields = json!({
                "instances": 1, "per": level, "drain_timeout": limit.as_secs() * 1000,
            });
            server.write(&home, &fields);
            home.does(&["start", "app.json"]);
            home.is_up("app", 1);
            let first = processes(&home);
            let mut lasting = Lasting::open(address(&home)).unwrap();
            let begin = Instant::now();
            home.does(&["reload", "app"]);
            while lasting.go_on().is_ok() {}
            let lived = begin.elapsed();
            assert!(lived >= limit, "{case}: {lived:?}");
            assert_eq!(gone_within(PATIENCE, &first), [], "{case}");
            Client::new(address(&home)).unwrap().receives(b"", "/");
        }
    }
}

/// What ends the only worker, under the same clients: at both levels nobody is refused, cut or closed.
/// A restart ends what cannot move, and nothing else.
#[test]
fn what_restarts_the_only_worker_loses_nothing() {
    let _turn = beside_others();
    let causes: [(Value, &[&str]); 4] = [
        (json!({ "cron_restart": "*/2 * * * * *" }), &[]),
        (json!({ "watch": true, "watch_delay": "20ms" }), &[]),
        (json!({ "max_memory_restart": "400M" }), &[]),
        (json!({}), &["restart", "app"]),
    ];
    let server = node();
    for level in LEVELS {
        for (fields, command) in &causes {
            let home = Home::new();
            let mut fields = fields.clone();
            fields["instances"] = json!(1);
            fields["per"] = json!(level);
            server.write(&home, &fields);
            home.does(&["start", "app.json"]);
            home.is_up("app", 1);
            let first = processes(&home);
            let mut kinds = server.kinds();
            kinds.retain(|kind| command.is_empty() || !kind.opaque);
            under_load(&home, &kinds, |step| {
                step.begins(format!("{fields} {command:?}"));
                home.file("changed", "");
                if fields.get("max_memory_restart").is_some() {
                    Client::new(address(&home)).unwrap().receives(b"", "/grow");
                }
                if !command.is_empty() {
                    home.does(command);
                }
                assert_eq!(gone_within(PATIENCE, &first), [], "{fields}");
            });
        }
    }
}

fn processes(home: &Home) -> Vec<Process> {
    let pids = home.pids();
    pids.iter()
        .map(|pid| Process::find(*pid).unwrap())
        .collect()
}

/// A connection that is no HTTP cannot move. Its worker serves it beside its successor, and ends when it
/// is closed.
#[test]
fn what_cannot_move_is_waited_for() {
    let _turn = beside_others();
    let home = Home::new();
    let echo = "require('net').createServer(c => c.pipe(c)).listen(process.env.PORT, () => console.log('up'))";
    home.file("app.cjs", echo);
    home.does(&["start", "app.cjs", "-i", "1", "--drain-timeout", "1h"]);
    home.is_up("app", 1);
    let mut client = Client::new(address(&home)).unwrap();
    let says = |client: &mut Client, line: &str| {
        client.write(line.as_bytes()).unwrap();
        assert_eq!(client.line().unwrap(), line.trim_end());
    };
    says(&mut client, "hello\r\n");
    let first = processes(&home);
    home.does(&["reload", "app"]);
    says(&mut client, "still there\r\n");
    assert!(first.iter().all(Process::is_alive));
    drop(client);
    assert_eq!(gone_within(PATIENCE, &first), []);
}

/// Tells each client how often its listener was readable.
const COUNTS: &str = "import os, selectors, socket
loop = selectors.DefaultSelector()
listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
listener.setblocking(False)
loop.register(listener, selectors.EVENT_READ)
print('up', flush=True)
turns = 0
while True:
    for key, _ in loop.select():
        if key.fileobj is not listener:
            if key.fileobj.recv(65536):
                key.fileobj.send(b'%d\\r\\n' % turns)
            else:
                loop.unregister(key.fileobj)
                key.fileobj.close()
            continue
        turns += 1
        try:
            while True:
                loop.register(listener.accept()[0], selectors.EVENT_READ)
        except BlockingIOError:
            pass
";

/// A worker that drains is looked at in growing pauses, up to 0.3 s.
#[test]
fn who_is_waited_for_is_not_asked_all_the_time() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.py", COUNTS);
    home.does(&["start", "app.py", "-i", "1", "--drain-timeout", "1h"]);
    home.is_up("app", 1);
    let mut client = Client::new(address(&home)).unwrap();
    let mut turns = || {
        client.write(b"how often?\r\n").unwrap();
        client.line().unwrap().parse::<u32>().unwrap()
    };
    let before = turns();
    home.does(&["reload", "app"]);
    until_it_is("the worker is asked", || turns() > before);
    let begin = Instant::now();
    let asked = turns();
    thread::sleep(Duration::from_secs(1));
    let asked = turns() - asked;
    // Two in each pause, one with a probe, and all the short pauses.
    let most = 20 + 8 * u32::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(asked <= most, "{asked} times, {most} at most");
}

/// How many connections each worker has open, as the metrics tell.
fn open(home: &Home) -> Vec<u32> {
    let metrics = home.does(&["metrics", "app"]);
    let lines = metrics.lines();
    let open = lines.filter_map(|line| line.strip_prefix("maitred_worker_connections_open{"));
    let mut open: Vec<_> = open
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    open.sort_unstable();
    open
}

/// Clients that keep their connections come to have workers that have come after them. Who sticks to a
/// worker stays there.
#[test]
fn connections_even_out_after_workers_have_come() {
    let _turn = beside_others();
    for server in [node(), bun(), deno(), uvicorn(), asyncio()] {
        for balance in ["next_available", "round_robin", "ip_hash"] {
            let case = format!("{}, {balance}", server.file);
            let home = Home::new();
            let fields = json!({ "instances": 2, "balance": balance });
            server.write(&home, &fields);
            home.does(&["start", "app.json"]);
            home.is_up("app", 2);
            let clients = (0..40).map(|_| Client::new(address(&home)).unwrap());
            let mut clients: Vec<_> = clients.collect();
            // Each sends a request now and then, as long as it takes.
            let mut go_on = || {
                for (number, client) in clients.iter_mut().enumerate() {
                    let answered = client.send("/", b"").and_then(|()| client.receive(b""));
                    answered.unwrap_or_else(|error| panic!("{case}: client {number}: {error}"));
                }
            };
            go_on();
            let before = open(&home);
            // Meanwhile they go on: servers close connections that are idle for five seconds.
            let mut scale = home.command(&["scale", "app", "4", "--silent"]);
            let mut scale = scale.spawn().unwrap();
            let done = until(&case, || {
                go_on();
                scale.try_wait().unwrap()
            });
            assert!(done.success(), "{case}: {done}");
            if balance == "ip_hash" {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(2) {
                    go_on();
                    assert_eq!(open(&home)[2..], before, "{case}");
                }
            } else {
                until_it_is(&case, || {
                    go_on();
                    open(&home).iter().all(|open| (9..=11).contains(open))
                });
            }
            go_on();
        }
    }
}

/// Each server at each level.
macro_rules! lose_nothing {
    ($($test:ident: $server:ident, $level:literal;)*) => {
        $(#[test] fn $test() { loses_nothing(&$server(), $level); })*
    };
}

lose_nothing! {
    node_loses_nothing: node, "connection";
    node_loses_nothing_per_request: node, "request";
    bun_loses_nothing: bun, "connection";
    bun_loses_nothing_per_request: bun, "request";
    deno_loses_nothing: deno, "connection";
    deno_loses_nothing_per_request: deno, "request";
    asyncio_loses_nothing: asyncio, "connection";
    uvicorn_loses_nothing: uvicorn, "connection";
    uvicorn_loses_nothing_per_request: uvicorn, "request";
}
