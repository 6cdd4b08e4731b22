//! Descriptors that run out, in maitred and in a worker.

use crate::apps::{Runtime, node, run_by, started};
use crate::client::Client;
use crate::harness::{Setup, beside_others};

const ONCE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// With hardly a descriptor more than its workers need, maitred still serves all, one after the
/// other, and says what it lacks. Clients that keep their connections keep no one out.
#[test]
fn a_supervisor_at_its_descriptor_limit_serves_everyone() {
    let _turn = beside_others();
    let setup = node("http.createServer((request, response) => response.end('ok')).listen(port);")
        .before(["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"]);
    let mut run = started(setup, 4);
    run.event("the limit that is needed", |event| {
        event.is("few_descriptors") && event.number("limit") == 64 && event.number("needed") > 64
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
