//! Workers that die while they serve: they are followed at once, and clients that wait for a first
//! worker do not wait for pauses that have grown.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::chaos::{
    CLIENTS, Outcome, WORKERS, bun, lost_in_vain, node, signal, troubles, under_load, workers,
};
use crate::harness::{Door, Request, Run, Setup, beside_others};

/// Between two connections of one client: together they make 200 a second.
const PACE: Duration = Duration::from_millis(5 * CLIENTS as u64);

/// Requests between two kills: 200 ms of them at 200 a second.
const REQUESTS_BETWEEN_KILLS: usize = 40;

/// Half of the default `min_uptime`: service of this length pays for one end that came too soon.
const PAYS: Duration = Duration::from_millis(500);

/// Who is killed next: each instance once in each round, in an order of chance, of those that have
/// served for long enough to pay for this end. How fast the machine starts them decides how often
/// that is, and never whether one is killed again and again before it could serve.
struct Victims {
    random: Rng,
    round: Vec<u64>,
    /// Since when each was seen to listen, by its process. The supervisor saw it before.
    seen: BTreeMap<i32, Instant>,
}

impl Victims {
    fn new(seed: u64) -> Victims {
        Victims {
            random: Rng::with_seed(seed),
            round: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// One of those that listen now, by their instances. Those that do not, or have not served for
    /// long enough, are passed over in this round.
    fn next(&mut self, listening: &BTreeMap<u64, i32>) -> Option<i32> {
        let now = Instant::now();
        for pid in listening.values() {
            self.seen.entry(*pid).or_insert(now);
        }
        if self.round.is_empty() {
            self.round = (0..WORKERS as u64).collect();
        }
        while !self.round.is_empty() {
            let chosen = self.random.usize(..self.round.len());
            let instance = self.round.swap_remove(chosen);
            if let Some(pid) = listening.get(&instance)
                && now - self.seen[pid] >= PAYS
            {
                return Some(*pid);
            }
        }
        None
    }
}

/// What followed each exit, and after which pause.
fn next(run: &mut Run) -> Vec<(String, u64)> {
    let events = run.events();
    let exits = events.iter().filter(|event| event.is("exited"));
    exits
        .map(|event| {
            let delay = event.json["delay"].as_u64();
            (event.text("next").to_owned(), delay.unwrap_or(0))
        })
        .collect()
}

/// Of four workers one is killed every 200 ms, under 200 requests a second. Each has served for as long
/// as pays for its end, so each is followed at once.
fn kills_cost_what_was_at_work_and_no_pause(name: &str, app: Setup) {
    let _turn = beside_others();
    let mut run = app.instances(WORKERS).limit(900).start();
    run.listening(WORKERS as u64);
    let Door::Tcp(to) = run.door() else {
        panic!("the app listens on TCP");
    };
    let kills = troubles() as u32;
    let mut victims = Victims::new(7);
    let mut killed = 0_u32;
    // A refused connection fails it.
    let outcomes = under_load(to, PACE, |outcomes| {
        while killed < kills {
            outcomes.more(REQUESTS_BETWEEN_KILLS);
            let listening = workers(&mut run);
            let Some(pid) = victims.next(&listening) else {
                continue;
            };
            signal(pid, Signal::KILL);
            run.event("its end", |event| event.is("exited") && event.pid() == pid);
            killed += 1;
        }
    });
    let (in_vain, had) = lost_in_vain(&mut run, &outcomes);
    let exits = next(&mut run);
    println!(
        "{name}: {} requests, {killed} kills, {had} lost",
        outcomes.len()
    );
    assert!(in_vain.is_empty(), "{in_vain:?}");
    let bound = most_lost(killed, &outcomes);
    assert!(
        (had as f64) <= bound,
        "{had} lost in {killed} kills, above {bound:.1}"
    );
    for (next, delay) in exits {
        assert_eq!(next, "restart");
        assert_eq!(delay, 0, "a worker that had served is put off");
    }
}

/// How many requests a number of kills may cost. A kill costs what its worker has in hand: on
/// average, that is its part of all requests that are under way (Little's law: how many come in a
/// second times how long each takes). To that come three standard deviations, so that one run of a
/// thousand fails by chance.
fn most_lost(kills: u32, outcomes: &[Outcome]) -> f64 {
    let took: f64 = outcomes.iter().map(|it| it.took.as_secs_f64()).sum();
    let first = outcomes.iter().map(|it| it.began).min().unwrap();
    let last = outcomes.iter().map(|it| it.began + it.took).max().unwrap();
    let under_way = took / (last - first).as_secs_f64();
    let mean = f64::from(kills) * under_way / WORKERS as f64;
    mean + 3.0 * mean.sqrt()
}

#[test]
fn kills_of_bun_cost_what_was_at_work_and_no_pause() {
    kills_cost_what_was_at_work_and_no_pause("Bun", bun());
}

#[test]
fn kills_of_node_cost_what_was_at_work_and_no_pause() {
    kills_cost_what_was_at_work_and_no_pause("Node", node());
}

/// The only worker is gone and cannot be started for a while: as long as clients wait, attempts come
/// each second, and those that come earlier than planned count for nothing.
fn clients_that_wait_bring_restarts_forward(flags: &[(&str, &str)]) {
    let _turn = beside_others();
    let text = "
        import fs from 'node:fs';
        import { createServer } from 'node:http';
        if (fs.existsSync(process.env.BROKEN)) process.exit(1);
        createServer((_, response) => response.end('{}')).listen(process.env.PORT);";
    let mut setup = Setup::program("app.mjs", text).instances(1);
    let broken = setup.folder().join("broken");
    for (flag, value) in flags {
        setup = setup.option(flag, value);
    }
    let mut run = setup
        .env("BROKEN", &broken)
        .option("--queue-timeout", "10m")
        .start();
    let up = run.listening(1);
    fs::write(&broken, "").unwrap();
    signal(up.pid(), Signal::KILL);
    // The pauses grow beyond a second, since nobody waits.
    let grown = run.event("a longer pause", |event| {
        event.is("exited") && event.json["delay"].as_u64() > Some(1000)
    });
    let mut client = Request::connect(&run.door()).unwrap();
    client.send("/").unwrap();
    let answer = thread::spawn(move || client.receive());
    let hurrying = run.event_after(&grown, "the notice", |event| event.is("hurrying"));
    // At some point one is planned for more than two seconds later, and another attempt is before.
    let first = run.event_after(&hurrying, "a long pause", |event| {
        event.is("exited") && event.json["delay"].as_u64() > Some(2000)
    });
    let second = run.event_after(&first, "another attempt", |event| event.is("exited"));
    assert_eq!(second.text("next"), "restart");
    assert_eq!(second.number("attempt"), first.number("attempt"));
    assert!(second.number("delay") < first.number("delay"));
    fs::remove_file(&broken).unwrap();
    assert_eq!(answer.join().unwrap().unwrap().status, 200);
}

#[test]
fn connections_that_wait_bring_restarts_forward() {
    clients_that_wait_bring_restarts_forward(&[]);
}

#[test]
fn requests_that_wait_bring_restarts_forward() {
    clients_that_wait_bring_restarts_forward(&[("--per", "request")]);
}
