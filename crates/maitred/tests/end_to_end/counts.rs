//! What depends on how many connections are open: `least_conn`, `--max-connections`, the choice
//! among free workers; and the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{
    Door, Event, Process, Request, Run, Setup, alone, beside_others, children_of, deal, read_some,
};

/// A connection that its client keeps.
struct Kept(TcpStream);

impl Kept {
    fn open(run: &Run) -> Kept {
        let Door::Tcp(address) = run.door() else {
            panic!("the examples listen on TCP");
        };
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Kept(stream)
    }

    fn send(&mut self) {
        let request = "GET /api?ms=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.0.write_all(request.as_bytes()).unwrap();
    }

    /// The instance that answers.
    fn receive(&mut self) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let len = read_some(&mut self.0, &mut piece).unwrap();
            assert!(len > 0, "closed: {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..len]);
            let text = String::from_utf8_lossy(&text);
            if let Some((_, body)) = text.split_once("\r\n\r\n")
                && let Ok(json) =
                    serde_json::from_str::<Value>(body.trim_end_matches("\r\n0\r\n\r\n"))
            {
                return json["instance"].as_str().unwrap().to_owned();
            }
        }
    }

    fn ask(&mut self) -> String {
        self.send();
        self.receive()
    }
}

/// Waits for figures in which so many connections are open.
fn until_open(run: &mut Run, open: u64) -> Event {
    let last = run.events().last().unwrap().clone();
    run.event_after(&last, &format!("{open} open"), |event| {
        event.is("figures") && event.sum("open") == open
    })
}

/// The connections that a browser keeps stand at different workers, also after some of them were
/// closed and opened again.
fn kept_connections_stand_at_different_workers(setup: Setup) {
    const WORKERS: usize = 3;
    let _turn = alone();
    let mut run = setup.instances(WORKERS).flag("--stats=1").start();
    run.listening(WORKERS as u64);
    deal(&run.door(), "/api?ms=0", 30);
    until_open(&mut run, 0);
    let workers: Vec<_> = (0..WORKERS as u64).map(|it| run.started(it)).collect();
    let mut kept: Vec<Kept> = Vec::new();
    let (mut round, mut judged) = (0, 0);
    while judged < 4 {
        // Whoever still works would be passed over for one that has more connections.
        run.comes_to_rest();
        let moved = run.moved();
        let ran: Vec<_> = workers.iter().map(Process::times_run).collect();
        kept.extend((kept.len()..WORKERS).map(|_| Kept::open(&run)));
        let by: BTreeSet<_> = kept.iter_mut().map(Kept::ask).collect();
        // Bun collects garbage now and then, and is passed over meanwhile: a worker that answered nobody
        // has run.
        let collected_garbage =
            workers
                .iter()
                .zip(ran)
                .enumerate()
                .any(|(number, (worker, ran))| {
                    !by.contains(&number.to_string()) && worker.times_run() != ran
                });
        // What a worker has not taken within a millisecond, for want of a processor, say, goes to
        // another that is free, also if that one has more.
        if run.moved_until_now() == moved && !collected_garbage {
            assert_eq!(by.len(), WORKERS, "round {round}: {by:?}\n{}", run.story());
            judged += 1;
        }
        // Two of them close, others in each round.
        for offset in 0..2 {
            kept.remove((round + offset) % kept.len());
        }
        until_open(&mut run, 1);
        round += 1;
    }
}

#[test]
fn kept_connections_to_bun_stand_at_different_workers() {
    kept_connections_stand_at_different_workers(Setup::example("bun-serve/server.ts"));
}

#[test]
fn kept_connections_to_node_stand_at_different_workers() {
    let setup = Setup::example("node-http/server.mjs");
    kept_connections_stand_at_different_workers(setup);
}

/// Among workers that are all free, new connections go to those with the fewest.
#[test]
fn least_conn_evens_out_what_clients_keep() {
    let _turn = beside_others();
    let mut run = Setup::example("node-http/server.mjs")
        .instances(3)
        .option("--balance", "least_conn")
        .flag("--stats=1")
        .start();
    run.listening(3);
    let mut kept: Vec<_> = (0..12).map(|_| Kept::open(&run)).collect();
    let mut by: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, connection) in kept.iter_mut().enumerate() {
        by.entry(connection.ask()).or_default().push(number);
    }
    assert!(by.values().all(|own| own.len() == 4), "{by:?}");
    // All but one of one worker's clients go: the next three are its.
    let (instance, own) = by.pop_first().unwrap();
    for number in own[1..].iter().rev() {
        kept.remove(*number);
    }
    until_open(&mut run, 9);
    for _ in 0..3 {
        let mut next = Kept::open(&run);
        assert_eq!(next.ask(), instance);
        kept.push(next);
    }
}

/// The first clients are gone before they are accepted, as after a port scan: of those that come later
/// it is known all the same who is connected.
#[test]
fn clients_that_leave_at_once_do_not_end_the_count() {
    let _turn = beside_others();
    let mut run = Setup::example("node-http/server.mjs")
        .instances(2)
        .option("--balance", "least_conn")
        .flag("--stats=1")
        .start();
    run.listening(2);
    let supervisor = Pid::from_raw(children_of(run.pid())[0]).unwrap();
    kill_process(supervisor, Signal::STOP).unwrap();
    for _ in 0..5 {
        let Kept(stream) = Kept::open(&run);
        // It ends with a reset.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    kill_process(supervisor, Signal::CONT).unwrap();
    let mut kept: Vec<_> = (0..6).map(|_| Kept::open(&run)).collect();
    for connection in &mut kept {
        connection.ask();
    }
    until_open(&mut run, 6);
    let uncounted = run.events().into_iter().find(|event| event.is("uncounted"));
    assert!(uncounted.is_none(), "{}", run.story());
}

/// However a runtime closes its connections, the count comes down to what is open.
fn the_count_is_true(setup: Setup) {
    let _turn = beside_others();
    let mut run = setup.instances(2).flag("--stats=1").start();
    run.listening(2);
    deal(&run.door(), "/api?ms=0", 50);
    let mut kept: Vec<_> = (0..5).map(|_| Kept::open(&run)).collect();
    for connection in &mut kept {
        connection.ask();
    }
    let figures = until_open(&mut run, 5);
    let accepted = &figures.json["listeners"][0]["accepted"];
    assert_eq!(accepted, 55, "{figures:?}");
    assert_eq!(figures.sum("dispatched"), 55, "{figures:?}");
    drop(kept);
    let figures = until_open(&mut run, 0);
    assert_eq!(figures.sum("untaken"), 0, "{figures:?}");
}

#[test]
fn the_count_is_true_for_bun() {
    the_count_is_true(Setup::example("bun-serve/server.ts"));
}

#[test]
fn the_count_is_true_for_node() {
    the_count_is_true(Setup::example("node-http/server.mjs"));
}

#[test]
fn the_count_is_true_for_deno() {
    let setup = Setup::example("deno/server.ts").option("--interpreter", "deno");
    the_count_is_true(setup);
}

#[test]
fn the_count_is_true_for_a_policy_that_does_not_need_it() {
    let setup = Setup::example("bun-serve/server.ts");
    the_count_is_true(setup.option("--balance", "round_robin"));
}

/// A flood of short connections, of which the kernel is not asked to tell, is counted down too.
#[test]
fn the_count_is_true_after_a_flood() {
    let _turn = alone();
    let mut run = Setup::example("node-http/server.mjs")
        .instances(2)
        .flag("--stats=1")
        .start();
    run.listening(2);
    let Door::Tcp(address) = run.door() else {
        panic!("the examples listen on TCP");
    };
    crate::harness::raise_file_limit(4096);
    let outcomes = crate::harness::storm(address, "/api?ms=0", 3000, run.deadline);
    assert_eq!(outcomes.get("HTTP/1.1 200 OK"), Some(&3000), "{outcomes:?}");
    let figures = until_open(&mut run, 0);
    assert_eq!(figures.sum("dispatched"), 3000, "{figures:?}");
}

/// A worker at its limit gets no more: the rest waits for a connection to end.
#[test]
fn no_worker_has_more_connections_than_it_may() {
    let _turn = beside_others();
    let mut run = Setup::example("bun-serve/server.ts")
        .instances(2)
        .option("--max-connections", "2")
        .flag("--stats=1")
        .start();
    run.listening(2);
    let mut kept: Vec<_> = (0..4).map(|_| Kept::open(&run)).collect();
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for connection in &mut kept {
        *by.entry(connection.ask()).or_default() += 1;
    }
    assert_eq!(by.into_values().collect::<Vec<_>>(), [2, 2]);
    let mut fifth = Kept::open(&run);
    fifth.send();
    let waiting = |event: &Value| event["listeners"][0]["waiting"] == 1;
    let last = run.events().last().unwrap().clone();
    run.event_after(&last, "one that waits", |event| {
        event.is("figures") && waiting(&event.json)
    });
    let freed = kept[2].ask();
    kept.remove(2);
    assert_eq!(fifth.receive(), freed);
}

/// What waits too long is closed, counted and told of.
#[test]
fn who_waits_too_long_is_closed() {
    let _turn = beside_others();
    let mut run = Setup::example("bun-serve/server.ts")
        .instances(1)
        .option("--max-connections", "1")
        .option("--queue-timeout", "5000")
        .flag("--stats")
        .start();
    run.listening(1);
    let mut kept = Kept::open(&run);
    kept.ask();
    let mut late = Kept::open(&run);
    let mut rest = Vec::new();
    assert_eq!(late.0.read_to_end(&mut rest).unwrap(), 0);
    let refused = run.event("a refusal", |event| event.is("refused"));
    assert_eq!(refused.number("total"), 1);
    run.errors("the refusal", |text| {
        text.contains("that waited 5 s for a worker (queue_timeout): 1 so far")
    });
    // At the end the table is shown, whatever the interval.
    run.signal(rustix::process::Signal::TERM);
    run.exit_code();
    let (_, errors) = run.everything_printed();
    let errors = String::from_utf8(errors).unwrap();
    assert!(
        errors.contains("2 accepted, 0 waiting, 1 refused"),
        "{errors}"
    );
    assert!(errors.contains("dispatched   open  untaken"), "{errors}");
}

/// With a queue of one, the second that waits stays in the kernel's backlog, and is served too.
#[test]
fn what_does_not_fit_into_the_queue_stays_in_the_backlog() {
    let _turn = beside_others();
    let mut run = Setup::example("bun-serve/server.ts")
        .instances(1)
        .option("--max-connections", "1")
        .option("--queue", "1")
        .start();
    run.listening(1);
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let mut request = Request::connect(&run.door()).unwrap();
            request.send("/api?ms=5&how=sleep").unwrap();
            request
        })
        .collect();
    for request in requests {
        request.receive().unwrap().worker();
    }
}
