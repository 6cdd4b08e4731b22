//! Which worker gets a request.

use std::collections::BTreeSet;

use crate::apps::{RUNTIMES, Runtime, app, gated_app, node, started};
use crate::client::Client;
use crate::harness::{beside_others, rounds};

/// Three simultaneous requests over connections that have been used before go to three workers.
#[test]
fn warm_connections_do_not_pin_requests() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        for policy in ["next_available", "least_conn", "round_robin"] {
            let (setup, gate) = gated_app(runtime);
            let run = started(setup.option("--balance", policy), 3);
            let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&run)).collect();
            for client in &mut clients {
                client.get("/who");
            }
            for round in 1..=rounds() {
                for client in &mut clients {
                    client.ask("/wait");
                }
                // A worker that waits begins nothing else.
                run.output("all three at work", |text| {
                    text.matches("waits").count() == 3 * round
                });
                gate.lets_pass(3);
                let reached: BTreeSet<_> = clients
                    .iter_mut()
                    .map(|client| client.response().instance())
                    .collect();
                assert_eq!(reached.len(), 3, "{runtime:?}, {policy}, round {round}");
            }
        }
    }
}

/// No more than so many requests are in progress at a worker; the others wait in one queue, and
/// past its bound they are refused.
#[test]
fn what_is_above_the_limit_waits_and_past_the_queue_it_is_refused() {
    let _turn = beside_others();
    let setup = node(
        "let now = 0, most = 0, held = [];
         http.createServer((request, response) => {
           if (request.url === '/hold') {
             most = Math.max(most, ++now);
             held.push(() => { now--; response.end(String(most)); });
             console.log('holding ' + held.length);
           } else response.end();
         }).listen(port);
         process.on('SIGUSR2', () => { for (const go of held.splice(0)) go(); });",
    );
    let setup = setup
        .option("--max-concurrency", "2")
        .option("--queue", "2")
        .option("--balance", "least_conn");
    let run = started(setup, 1);
    let mut held: Vec<_> = (0..2).map(|_| Client::connect(&run)).collect();
    for client in &mut held {
        client.ask("/hold");
    }
    run.output("two are held", |text| text.contains("holding 2"));
    let mut waiting: Vec<_> = (0..2).map(|_| Client::connect(&run)).collect();
    for client in &mut waiting {
        client.ask("/hold");
    }
    // Whoever comes when two wait is refused at once; before that it would wait too.
    let refused = loop {
        let mut next = Client::connect(&run);
        next.stream
            .set_read_timeout(Some(std::time::Duration::from_millis(50)))
            .unwrap();
        next.ask("/hold");
        if next.read().is_ok() {
            break next.response();
        }
    };
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some());
    for _ in 0..2 {
        run.signal(rustix::process::Signal::USR2);
        for client in std::mem::replace(&mut held, std::mem::take(&mut waiting)).iter_mut() {
            assert_eq!(client.response().body, b"2");
        }
        if !held.is_empty() {
            run.output("the others are held", |text| {
                text.matches("holding 2").count() == 2
            });
        }
    }
}

/// The cookie that a response sets brings the client back to the same worker.
#[test]
fn a_cookie_sticks_to_its_worker() {
    let _turn = beside_others();
    let setup = app(Runtime::Node)
        .option("--balance", "sticky")
        .option("--instance-header", "X-Served-By");
    let run = started(setup, 3);
    let first = Client::connect(&run).get("/who");
    let cookie = first.field("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(first.field("x-served-by").unwrap(), first.instance());
    for _ in 0..10 {
        let mut client = Client::connect(&run);
        client.send(format!(
            "GET /who HTTP/1.1\r\nHost: a\r\nCookie: x=1; {cookie}\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(response.instance(), first.instance());
        assert_eq!(response.field("set-cookie"), None);
    }
}

/// One client, one worker, over however many connections.
#[test]
fn ip_hash_keeps_a_client_at_one_worker() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun).option("--balance", "ip_hash"), 3);
    let reached: BTreeSet<_> = (0..9)
        .map(|_| Client::connect(&run).get("/who").instance())
        .collect();
    assert_eq!(reached.len(), 1);
}

/// A worker that is busy for long holds up nobody.
#[test]
fn nobody_waits_behind_a_busy_worker() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let (setup, gate) = gated_app(runtime);
        let run = started(setup, 2);
        let mut long = Client::connect(&run);
        long.ask("/wait");
        run.output("one at work", |text| text.contains("waits"));
        // Whoever waited for it would wait for ever.
        let mut other = Client::connect(&run);
        let served: BTreeSet<_> = (0..100).map(|_| other.get("/who").instance()).collect();
        gate.lets_pass(1);
        let busy = long.response().instance();
        assert_eq!(served.len(), 1, "{runtime:?}: {served:?}, not {busy}");
        assert!(!served.contains(&busy));
    }
}
