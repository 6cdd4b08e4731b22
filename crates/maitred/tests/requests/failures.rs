//! Workers that die or stay silent.

use crate::apps::{RUNTIMES, Runtime, app, node, started};
use crate::client::Client;
use crate::harness::{Run, beside_others};

fn failed(run: &mut Run, status: u64) {
    let event = run.event("a failed request", |event| {
        event.is("request_failed") && event.number("status") == status
    });
    assert_eq!(event.text("id").len(), 16);
    assert!(!event.text("reason").is_empty());
}

#[test]
fn a_worker_that_dies_is_told_to_its_client_alone() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let mut run = started(app(runtime), 2);
        let mut client = Client::connect(&run);
        let response = client.get("/die");
        assert_eq!(response.status, 502, "{runtime:?}");
        assert!(response.field("x-request-id").is_some());
        failed(&mut run, 502);
        // On the same connection the next one is served by the other worker.
        for _ in 0..20 {
            assert_eq!(client.get("/who").status, 200);
        }
    }
}

#[test]
fn a_worker_that_dies_in_the_middle_cuts_the_response() {
    let _turn = beside_others();
    let setup = node(
        "http.createServer((request, response) => {
           if (request.method === 'POST') request.once('data', () => process.kill(process.pid, 'SIGKILL'));
           else response.write('some');
         }).listen(port);",
    );
    let mut run = started(setup, 1);
    let worker = run.started(0);
    let mut client = Client::connect(&run);
    client.ask("/");
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk().unwrap(), b"some");
    let worker = rustix::process::Pid::from_raw(worker.pid).unwrap();
    rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    assert!(client.all_the_rest().is_empty(), "no last chunk may come");
    let event = run.event("a cut response", |event| event.is("request_failed"));
    // Its successor dies in the middle of an upload.
    let again = run.event_after(&event, "a successor", |event| event.is("listening"));
    let mut client = Client::connect(&run);
    let half = "x".repeat(50_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{half}"
    ));
    assert_eq!(client.response().status, 502);
    run.event_after(&again, "a failed upload", |event| {
        event.is("request_failed") && event.number("status") == 502
    });
}

/// Whatever its requests are at when it dies: waiting for an answer, in the middle of an upload or
/// of a response. None of them is left without an end, and none looks as if it were whole.
#[test]
fn whatever_a_worker_is_at_when_it_dies_ends_with_it() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let mut run = started(app(runtime), 1);
        let worker = run.event("a worker", |event| event.is("listening"));
        let mut asking = Client::connect(&run);
        asking.ask("/sleep?ms=60000");
        let mut streaming = Client::connect(&run);
        streaming.ask("/events");
        assert_eq!(streaming.head().0, 200);
        assert_eq!(streaming.chunk().unwrap(), b"data: 0\n\n");
        let mut sending = Client::connect(&run);
        sending.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        sending.send("x".repeat(50_000));
        // It has all of them by then.
        let mut last = Client::connect(&run);
        assert_eq!(last.get("/who").status, 200);
        let pid = rustix::process::Pid::from_raw(worker.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(asking.response().status, 502, "{runtime:?}");
        assert!(streaming.all_the_rest().is_empty(), "{runtime:?}");
        let upload = sending.response();
        assert_eq!(upload.status, 502, "{runtime:?}");
        assert_eq!(upload.field("connection").unwrap(), "close");
        // Its successor serves on the same connections, where they go on.
        assert_eq!(last.get("/who").status, 200, "{runtime:?}");
        assert_eq!(asking.get("/who").status, 200, "{runtime:?}");
    }
}

/// Whoever stops an app need not lose what it is at, even where the app ends at once.
#[test]
fn what_is_in_progress_is_answered_before_the_app_stops() {
    let _turn = beside_others();
    let setup = node(
        "http.createServer((request, response) => {
           console.log('asked');
           setTimeout(() => response.end('answered'), 300);
         }).listen(port);",
    );
    let run = started(setup.option("--kill-timeout", "60000"), 1);
    let mut client = Client::connect(&run);
    client.ask("/");
    run.output("a request in progress", |text| text.contains("asked"));
    run.signal(rustix::process::Signal::TERM);
    let response = client.response();
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"answered"[..])
    );
    assert!(client.all_the_rest().is_empty());
}

/// Of many failures few are told of one by one, and of the others how many they were.
#[test]
fn no_failure_goes_untold() {
    let _turn = beside_others();
    let mut run = started(app(Runtime::Node), 1);
    const ALL: u64 = 100;
    for _ in 0..ALL {
        let mut client = Client::connect(&run);
        client.send("nonsense\r\n\r\n");
        assert_eq!(client.response().status, 400);
    }
    let mut last = run.event("a worker", |event| event.is("listening"));
    let mut told = 0;
    while told < ALL {
        last = run.event_after(&last, "a failure", |event| {
            event.is("request_failed") || event.is("requests_failed")
        });
        told += if last.is("requests_failed") {
            last.number("count")
        } else {
            1 + last.number("unsaid")
        };
    }
    assert_eq!(told, ALL);
}

/// What a dead worker had not taken goes to its successor, a POST too: nobody has read it.
#[test]
fn what_nobody_has_taken_is_not_lost() {
    let _turn = beside_others();
    let mut run = started(app(Runtime::Bun), 1);
    let worker = run.event("a worker", |event| event.is("listening"));
    let mut blocking = Client::connect(&run);
    blocking.ask("/block?ms=10000");
    // What it takes before it is blocked may be lost with it.
    run.output("a blocked worker", |text| text.contains("blocked"));
    let mut waiting: Vec<_> = (0..10).map(|_| Client::connect(&run)).collect();
    for client in &mut waiting {
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    }
    let worker = rustix::process::Pid::from_raw(worker.pid()).unwrap();
    rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    for client in &mut waiting {
        assert_eq!(client.response().body, b"hi");
    }
}

const COUNTS_AND_DIES: &str = "
const fs = require('fs');
http.createServer((request, response) => {
  if (request.url === '/ok') return response.end('ok');
  fs.appendFileSync(process.env.SEEN, request.method + '\\n');
  process.kill(process.pid, 'SIGKILL');
}).listen(port);";

#[test]
fn only_what_changes_nothing_is_sent_again_and_only_when_asked() {
    let _turn = beside_others();
    for (retry, method, times) in [
        ("none", "GET", 1),
        ("idempotent", "GET", 2),
        ("idempotent", "POST", 1),
        ("idempotent", "PUT", 2),
    ] {
        let setup = node(COUNTS_AND_DIES).option("--retry", retry);
        let seen = setup.folder().join("seen");
        let run = started(setup.env("SEEN", &seen), 3);
        let mut client = Client::connect(&run);
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status, 502);
        let seen = std::fs::read_to_string(seen).unwrap();
        assert_eq!(
            seen,
            format!("{method}\n").repeat(times),
            "{retry} {method}"
        );
        assert_eq!(client.get("/ok").body, b"ok");
    }
}

/// Connections that the worker closes when they have been idle are not used after that.
#[test]
fn idle_connections_of_a_worker_are_left_in_time() {
    let _turn = beside_others();
    let setup = node(
        "const server = http.createServer((request, response) => response.end('ok'));
         server.keepAliveTimeout = 1000; server.listen(port);",
    );
    let run = started(setup, 2);
    let mut client = Client::connect(&run);
    // Around the moment at which the worker closes; a stray 502 would show.
    for pause in (0..12).map(|step| 950 + 10 * step) {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().status, 200, "after {pause} ms");
    }
}

#[test]
fn a_worker_that_stays_silent_is_given_up() {
    let _turn = beside_others();
    // In this time the second request has to be answered, too.
    let setup = app(Runtime::Node).option("--response-timeout", "10000");
    let mut run = started(setup, 2);
    let mut client = Client::connect(&run);
    assert_eq!(client.get("/sleep?ms=60000").status, 504);
    failed(&mut run, 504);
    assert_eq!(client.get("/who").status, 200);
}

#[test]
fn without_a_worker_requests_wait_and_are_refused_in_the_end() {
    let _turn = beside_others();
    let setup = app(Runtime::Node)
        .option("--queue-timeout", "5000")
        .option("--restart-delay", "60000");
    let mut run = started(setup, 1);
    let mut client = Client::connect(&run);
    assert_eq!(client.get("/die").status, 502);
    let response = client.get("/who");
    assert_eq!(response.status, 503);
    assert!(response.field("retry-after").is_some());
    failed(&mut run, 503);
}

const APPENDS_AND_ECHOES: &str = "
const fs = require('fs');
http.createServer((request, response) => {
  let body = '';
  request.on('data', (data) => { body += data; });
  request.on('error', () => {});
  request.on('end', () => {
    fs.appendFileSync(process.env.SEEN, body.slice(0, 20) + '\\n');
    response.end(body);
  });
}).listen(port);";

/// While workers are killed again and again, no answer goes to the wrong client, no request is
/// done twice, and what was answered was done.
#[test]
fn nothing_is_mixed_up_while_workers_die() {
    let _turn = beside_others();
    for policy in ["next_available", "least_conn"] {
        let setup = node(APPENDS_AND_ECHOES)
            .option("--balance", policy)
            .option("--restart-delay", "20")
            .option("--max-restarts", "1000")
            .option("--retry", "idempotent");
        let seen = setup.folder().join("seen");
        let mut run = started(setup.env("SEEN", &seen), 3);
        let (results, arrived) = std::sync::mpsc::channel();
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let results = results.clone();
                let mut client = Client::connect(&run);
                std::thread::spawn(move || {
                    for number in 0..150 {
                        let name = format!("{thread:08}-{number:011}");
                        let body = format!("{name}{}", "x".repeat(number * 97));
                        let length = body.len();
                        client.send(format!(
                            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                        ));
                        let response = client.response();
                        match response.status {
                            200 => assert_eq!(response.body, body.as_bytes()),
                            502 => {}
                            other => panic!("{other}: {response:?}"),
                        }
                        results.send((response.status, name)).unwrap();
                    }
                })
            })
            .collect();
        drop(results);
        let mut answered = Vec::new();
        let mut failures = 0;
        let mut last = run.event("a start", |event| event.is("listening"));
        for (count, (status, name)) in arrived.iter().enumerate() {
            if status == 200 {
                answered.push(name);
            } else {
                failures += 1;
            }
            // One worker after another dies in the middle of it all.
            if count % 150 == 149 {
                let pid = rustix::process::Pid::from_raw(last.pid()).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                last = run.event_after(&last, "a successor", |event| event.is("listening"));
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let seen = std::fs::read_to_string(seen).unwrap();
        let mut done: Vec<_> = seen.lines().map(str::to_owned).collect();
        done.sort();
        let all = done.len();
        done.dedup();
        assert_eq!(done.len(), all, "{policy}: a request was done twice");
        for name in &answered {
            assert!(done.binary_search(name).is_ok(), "{policy}: {name}");
        }
        assert_eq!(answered.len() + failures, 16 * 150, "{policy}");
    }
}
