//! Kept-alive connections that the app closes while they are idle: with `keep_alive_timeout` they stay open, and
//! clients that never retry lose nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::brought_back::kill_supervisor;
use crate::client::Client;
use crate::harness::{Door, beside_others, repository, tool};
use crate::home::Home;
use crate::wait::until_it_is;

/// How many clients there are, and how often each asks in the moment at which the app closes.
const CLIENTS: usize = 50;
const ROUNDS: usize = 10;

/// A client asks so much before or after that moment.
const AROUND: Duration = Duration::from_millis(10);

const NODE: &str = "
const server = require('http').createServer((_, answer) => answer.end(''));
server.keepAliveTimeout = 200;
server.listen(process.env.PORT);
";

/// Deno closes idle connections where an app is written for Node; its own server does not.
const DENO: &str = "
import http from 'node:http';
const server = http.createServer((_, answer) => answer.end(''));
server.keepAliveTimeout = 200;
server.listen(Number(process.env.PORT));
";

const BUN: &str = "
Bun.serve({ port: process.env.PORT, idleTimeout: 1, fetch() { return new Response('') } });
";

const UVICORN: &str = "
import os, uvicorn
async def app(scope, receive, send):
    if scope['type'] == 'http':
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'0')]})
        await send({'type': 'http.response.body', 'body': b''})
uvicorn.run(app, port=int(os.environ['PORT']), timeout_keep_alive=1, log_level='warning')
";

/// An app that closes connections when they have been idle for a moment.
struct Server {
    file: &'static str,
    text: &'static str,
    fields: Value,
}

fn servers() -> [Server; 4] {
    [
        Server {
            file: "app.cjs",
            text: NODE,
            fields: json!({}),
        },
        Server {
            file: "app.mjs",
            text: DENO,
            fields: json!({ "interpreter": "deno", "node_args": "run --allow-all" }),
        },
        Server {
            file: "app.ts",
            text: BUN,
            fields: json!({ "interpreter": "bun" }),
        },
        Server {
            file: "app.py",
            text: UVICORN,
            fields: json!({
                "interpreter": tool("python3"),
                "env": {
                    "PYTHONPATH": repository().join("tests/tools/python"),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
            }),
        },
    ]
}

/// The app, started with these fields beside its own.
fn started(server: &Server, fields: &Value) -> Home {
    let home = Home::new();
    home.file(server.file, server.text);
    let mut app = json!({ "name": "app", "script": server.file, "instances": 2 });
    for more in [&server.fields, fields] {
        app.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
    }
    home.file("app.json", &app.to_string());
    home.does(&["start", "app.json"]);
    home
}

fn client(home: &Home) -> Client {
    let Door::Tcp(address) = home.door() else {
        panic!("a TCP port");
    };
    Client::new(address).unwrap()
}

fn ask(client: &mut Client) -> std::io::Result<()> {
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    client.receive(b"")
}

/// The sum of a metric of the app.
fn metric(home: &Home, name: &str) -> usize {
    let metrics = home.does(&["metrics", "app"]);
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("maitred_"));
    let values = lines.filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|it| it.starts_with('{'))
    });
    values
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap())
        .sum()
}

fn are_parked(home: &Home, count: usize) {
    until_it_is("idle connections are parked", || {
        metric(home, "connections_parked") == count
    });
}

/// How long the app lets a connection be idle.
fn idle_time(home: &Home) -> Duration {
    let mut client = client(home);
    ask(&mut client).unwrap();
    let begin = Instant::now();
    assert!(client.line().is_err(), "the app closes");
    begin.elapsed()
}

/// Clients that ask again just when the app closes: how many requests are lost.
fn lost(idle: Duration, clients: &mut [Client]) -> usize {
    let lost = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            let lost = &lost;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Spread evenly, and differently in each round.
                    let part = (number * ROUNDS + round * 7) % (CLIENTS * ROUNDS);
                    let part = 2.0 * part as f64 / (CLIENTS * ROUNDS) as f64;
                    if ask(client).is_err() {
                        lost.fetch_add(1, Ordering::Relaxed);
                        client.connect().unwrap();
                        ask(client).unwrap();
                    }
                    thread::sleep(idle.saturating_sub(AROUND) + AROUND.mul_f64(part));
                }
            });
        }
    });
    lost.into_inner()
}

#[test]
fn clients_do_not_meet_the_moment_at_which_the_app_closes() {
    let _turn = beside_others();
    for server in servers() {
        let home = started(&server, &json!({}));
        let idle = idle_time(&home);
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&home)).collect();
        let before = lost(idle, &mut clients);
        home.does(&["delete", "app"]);

        let home = started(&server, &json!({ "keep_alive_timeout": "10m" }));
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&home)).collect();
        let with = lost(idle, &mut clients);
        println!(
            "{}: idle for {idle:?}; of {} requests {before} are lost without keep_alive_timeout, {with} with it",
            server.file,
            CLIENTS * ROUNDS
        );
        assert_eq!(with, 0, "{}", server.file);
        are_parked(&home, CLIENTS);
    }
}

/// What is done with the app while connections are parked closes none of them, until it is stopped.
#[test]
fn parked_connections_outlive_workers_and_their_supervisor() {
    let _turn = beside_others();
    let [node, ..] = servers();
    let home = started(&node, &json!({ "keep_alive_timeout": "10m" }));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&home)).collect();
    let acts: [&[&str]; 6] = [
        &["reload", "app"],
        &["scale", "app", "1"],
        &["scale", "app", "3"],
        &["restart", "app"],
        &["update", "app"],
        &[],
    ];
    for act in acts {
        for client in &mut clients {
            ask(client).unwrap_or_else(|error| panic!("before {act:?}: {error}"));
        }
        are_parked(&home, CLIENTS);
        match act {
            [] => drop(kill_supervisor(&home, "app")),
            _ => drop(home.does(act)),
        }
        // None was given to a worker for that.
        assert_eq!(metric(&home, "connections_parked"), CLIENTS, "{act:?}");
        assert_eq!(metric(&home, "worker_connections_open"), 0, "{act:?}");
    }
    for client in &mut clients {
        ask(client).unwrap();
    }
    // The next supervisor's workers park, too.
    are_parked(&home, CLIENTS);
    home.does(&["stop", "app"]);
    for client in &mut clients {
        assert!(client.line().is_err(), "stop closes");
    }
    home.does(&["start", "app"]);
    let mut client = client(&home);
    ask(&mut client).unwrap();
    are_parked(&home, 1);
    ask(&mut client).unwrap();
}

/// A parked connection is closed at the end of its time; one whose client leaves is forgotten at once.
#[test]
fn parked_connections_are_closed_in_the_end() {
    let _turn = beside_others();
    let [node, ..] = servers();
    let home = started(&node, &json!({ "keep_alive_timeout": "4s" }));
    let mut one = client(&home);
    ask(&mut one).unwrap();
    are_parked(&home, 1);
    ask(&mut one).unwrap();
    are_parked(&home, 1);
    assert!(one.line().is_err(), "closed");
    are_parked(&home, 0);

    let home = started(&node, &json!({ "keep_alive_timeout": "10m" }));
    let mut others: Vec<_> = (0..3).map(|_| client(&home)).collect();
    for other in &mut others {
        ask(other).unwrap();
    }
    are_parked(&home, 3);
    others.pop();
    are_parked(&home, 2);
    // Half a request is handed to a worker, whose own time for it runs.
    others[0].write(b"GET / HT").unwrap();
    are_parked(&home, 1);
    others[0].write(b"TP/1.1\r\nHost: a\r\n\r\n").unwrap();
    others[0].receive(b"").unwrap();
}

/// Where more are parked than descriptors allow, the longest idle ones leave, and nobody waits for them.
#[test]
fn the_longest_idle_leave_when_descriptors_run_short() {
    let _turn = beside_others();
    let [node, ..] = servers();
    let home = Home::new();
    home.file(node.file, node.text);
    let maitred = home.command(&[]);
    let program = maitred.get_program().to_str().unwrap().to_owned();
    let script = format!(
        "ulimit -n 256; exec {program} start app.cjs --name app -i 2 --keep-alive-timeout 10m"
    );
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(home.folder())
        .envs(
            maitred
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    assert!(command.status().unwrap().success());
    // Three eighths of all descriptors are for what is parked.
    let most = 256 / 8 * 3;
    let mut lots: Vec<Vec<Client>> = Vec::new();
    for _ in 0..15 {
        let mut lot: Vec<_> = (0..20).map(|_| client(&home)).collect();
        lot.iter_mut().for_each(|client| ask(client).unwrap());
        lots.push(lot);
        until_it_is("the app closes all", || {
            metric(&home, "worker_connections_open") == 0
        });
        assert!(metric(&home, "connections_parked") <= most);
    }
    let parked = metric(&home, "connections_parked");
    let open = |lot: &mut Vec<Client>| lot.iter_mut().map(|it| usize::from(ask(it).is_ok())).sum();
    let open: Vec<usize> = lots.iter_mut().map(open).collect();
    assert_eq!(open.iter().sum::<usize>(), parked, "{open:?}");
    // Those that came first have left, and those that came last are there.
    assert!(
        open.is_sorted() && open[0] == 0 && open[14] == 20,
        "{open:?}"
    );
}
