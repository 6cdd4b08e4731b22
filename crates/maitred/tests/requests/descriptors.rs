//! Descriptors that run out, in maitred and in a worker.

use std::fs;

use rustix::process::{Signal, kill_process};

use crate::apps::{Runtime, node, run_by, started};
use crate::client::{Client, connect_from};
use crate::harness::{Door, Run, Setup, beside_others, read_some};

const ONCE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// With hardly a descriptor more than its workers need, maitred still serves all, one after the
/// other, and says what it lacks. Clients that keep their connections keep no one out.
#[test]
fn a_supervisor_at_its_descriptor_limit_serves_everyone() {
    let _turn = beside_others();
    let app = "http.createServer((request, response) => response.end('ok')).listen(port);";
    let limit = 70 + passed_on();
    let mut run = started(limited(node(app), 70), 4);
    run.event("the limit that is needed", |event| {
        event.is("few_descriptors")
            && event.number("limit") == limit
            && event.number("needed") > limit
    });
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&run)).collect();
    for client in &mut clients {
        client.ask("/");
    }
    // Those who have been answered leave.
    for mut client in clients {
        assert_eq!(client.response().body, b"ok");
    }
    run.event("clients that had to wait", |event| event.is("crowded"));
    assert_eq!(Client::connect(&run).get("/").body, b"ok");
}

/// Node closes at once what it accepts with the descriptor that it has in reserve. The connections
/// that it cannot take wait for it, or go to another worker.
#[test]
fn a_worker_at_its_descriptor_limit_loses_no_request() {
    const APP: &str = "const http = require('http');
      if (process.env.NODE_APP_INSTANCE === '0') {
        const limit = ['--pid', process.pid, '--nofile=40:40'];
        require('child_process').execFileSync('prlimit', limit);
      }
      http.createServer((request, response) => {
        setTimeout(() => response.end('ok'), 100);
      }).listen(Number(process.env.PORT));";
    let _turn = beside_others();
    for (per, policy) in [
        ("request", "least_conn"),
        ("request", "next_available"),
        ("request", "round_robin"),
        ("connection", "least_conn"),
    ] {
        let setup = Setup::program("app.cjs", APP).option("--balance", policy);
        let setup = match per {
            "request" => run_by(Runtime::Node, setup),
            _ => setup.option("--interpreter", "node"),
        };
        let mut run = started(setup, 2);
        for _ in 0..3 {
            let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&run)).collect();
            for client in &mut clients {
                client.send(ONCE);
            }
            for client in &mut clients {
                assert_eq!(client.response().body, b"ok", "{per} {policy}");
            }
        }
        run.no_worker_has_ended();
    }
}

/// How many descriptors, beside the standard ones, each process that we start gets from us, since
/// we got them so.
fn passed_on() -> u64 {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap();
    let passed = infos.filter(|info| {
        let path = info.as_ref().unwrap().path();
        let number = path
            .file_name()
            .and_then(|it| it.to_str()?.parse::<i32>().ok());
        // One that another thread has closed by now is none of them.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        number.is_some_and(|number| number > 2)
            && flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
    });
    passed.count() as u64
}

/// Opens so many files beside those that we pass on, and no more.
fn limited(setup: Setup, files: u64) -> Setup {
    let limit = format!("ulimit -n {}; exec \"$@\"", files + passed_on());
    setup.before(["sh", "-c", &limit, "sh"])
}

fn connect(run: &Run, from: [u8; 4]) -> Client {
    let Door::Tcp(to) = run.door() else {
        panic!("not a TCP app");
    };
    Client::over(connect_from(from, to).unwrap())
}

/// Clients that say nothing make room for others, those of their own address too.
#[test]
fn silent_clients_lock_nobody_out() {
    let _turn = beside_others();
    let app = "http.createServer((request, response) => response.end('ok')).listen(port);";
    for silent in [48, 200] {
        let run = started(limited(node(app), 256), 8);
        let held: Vec<_> = (0..silent).map(|_| connect(&run, [127, 0, 0, 1])).collect();
        for from in [[127, 0, 0, 2], [127, 0, 0, 1]] {
            let mut other = connect(&run, from);
            assert_eq!(other.get("/").body, b"ok", "{silent} {from:?}");
        }
        // More than there are places: so some have been ended.
        if silent == 200 {
            let mut first = held.into_iter().next().unwrap();
            assert!(matches!(
                read_some(&mut first.stream, &mut [0; 64]),
                Ok(0) | Err(_)
            ));
        }
    }
}

/// At a limit that leaves room for next to no client, a request that lasts keeps no others out; and
/// when all places are taken by such, that is said, and each is answered in the end.
#[test]
fn a_request_that_lasts_keeps_nobody_out_at_a_low_limit() {
    const APP: &str = "let held = [];
      process.on('SIGUSR2', () => { held.forEach((it) => it.end('held')); held = null; });
      http.createServer((request, response) => {
        if (request.url === '/hold' && held) {
          held.push(response);
          console.log('holds');
        } else response.end('ok');
      }).listen(port);";
    let _turn = beside_others();
    let mut run = started(limited(node(APP), 64), 1);
    let mut holder = connect(&run, [127, 0, 0, 2]);
    holder.ask("/hold");
    run.output("a request that is held", |text| text.contains("holds"));
    for _ in 0..40 {
        let mut other = connect(&run, [127, 0, 0, 1]);
        other.send(ONCE);
        assert_eq!(other.response().body, b"ok");
    }
    let mut others: Vec<_> = (0..40).map(|_| connect(&run, [127, 0, 0, 1])).collect();
    for other in &mut others {
        other.ask("/hold");
    }
    run.event("clients that have to wait", |event| event.is("crowded"));
    kill_process(run.newest_worker(), Signal::USR2).unwrap();
    for client in [holder].iter_mut().chain(&mut others) {
        let response = client.response();
        assert_eq!(response.status, 200, "{response:?}");
    }
    run.no_worker_has_ended();
}
