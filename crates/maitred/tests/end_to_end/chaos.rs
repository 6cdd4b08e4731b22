//! Workers that are killed, stopped or caught in a loop while connections come steadily: whoever
//! no worker had accepted is answered by another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, Gate, Request, Run, Setup, beside_others, rounds};

pub(crate) const WORKERS: usize = 4;
pub(crate) const CLIENTS: usize = 8;
/// Between two connections of one client.
const PACE: Duration = Duration::from_millis(20);
/// No answer may take longer, whatever happens to workers.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a request asks for.
const WORK: &str = "/api?ms=5&how=sleep";

/// How often trouble is made: a hundred times, less where fewer rounds are wanted.
pub(crate) fn troubles() -> usize {
    rounds().min(100)
}

/// What became of one request.
pub(crate) struct Outcome {
    /// Where it came from: names its connection.
    from: SocketAddr,
    answer: io::Result<String>,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

fn ask(to: SocketAddr) -> io::Result<Outcome> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let from = stream.local_addr()?;
    let mut answer = || {
        let request =
            format!("GET {WORK} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let body = text
            .split("\r\n\r\n")
            .nth(1)
            .filter(|body| body.ends_with('}'));
        let body = body.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(body.to_owned())
    };
    let answer = answer();
    Ok(Outcome {
        from,
        answer,
        began,
        took: began.elapsed(),
    })
}

/// What became of the requests so far.
pub(crate) struct Outcomes {
    all: Vec<Outcome>,
    arriving: Receiver<Outcome>,
}

impl Outcomes {
    /// Waits for the next one.
    fn next(&mut self) -> &Outcome {
        let next = self.arriving.recv().unwrap();
        self.all.push(next);
        self.all.last().unwrap()
    }

    /// Waits for so many more.
    pub(crate) fn more(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }
}

/// Lets clients come steadily while `trouble` is made; what became of all their requests.
pub(crate) fn under_load(
    to: SocketAddr,
    pace: Duration,
    trouble: impl FnOnce(&mut Outcomes),
) -> Vec<Outcome> {
    let stop = AtomicBool::new(false);
    let (told, arriving) = channel();
    let mut outcomes = Outcomes {
        all: Vec::new(),
        arriving,
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (told, stop) = (told.clone(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    // The port stays open whatever happens: a refused connection fails the test.
                    told.send(ask(to).unwrap()).unwrap();
                    thread::sleep(pace.saturating_sub(began.elapsed()));
                }
            });
        }
        drop(told);
        trouble(&mut outcomes);
        stop.store(true, Ordering::Relaxed);
        outcomes.all.extend(outcomes.arriving.iter());
    });
    outcomes.all
}

fn start(app: Setup) -> (Run, SocketAddr) {
    let mut run = app
        .instances(WORKERS)
        .limit(900)
        .option("--restart-delay", "1")
        .option("--max-restarts", "100000")
        .start();
    run.listening(WORKERS as u64);
    let Door::Tcp(to) = run.door() else {
        panic!("the examples listen on TCP");
    };
    (run, to)
}

const WORK_IN_WORKER: &str = "
const { work } = await import(process.env.EXAMPLES + '/work.mjs');
const answer = (url) => {
  const query = new URL(url, 'http://localhost').searchParams;
  if (Number(query.get('ms')) > 1000) console.log('working');
  return JSON.stringify(work(query));
};
";

pub(crate) fn bun() -> Setup {
    let serve =
        "Bun.serve({ port: process.env.PORT, fetch: ({ url }) => new Response(answer(url)) });";
    Setup::program("app.ts", &format!("{WORK_IN_WORKER}{serve}"))
}

pub(crate) fn node() -> Setup {
    let serve = "import { createServer } from 'node:http';
        createServer(({ url }, response) => response.end(answer(url))).listen(process.env.PORT);";
    Setup::program("app.mjs", &format!("{WORK_IN_WORKER}{serve}"))
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The workers that listen now, by instance.
pub(crate) fn workers(run: &mut Run) -> BTreeMap<u64, i32> {
    let mut listening = BTreeMap::new();
    for event in run.events() {
        if event.is("listening") {
            listening.insert(event.instance(), event.pid());
        } else if event.is("exited") || event.is("left") {
            listening.remove(&event.instance());
        }
    }
    listening
}

/// Requests that no killed worker had accepted, by the dispatcher's account, and yet were lost; and
/// how many it had.
pub(crate) fn lost_in_vain(run: &mut Run, outcomes: &[Outcome]) -> (Vec<SocketAddr>, usize) {
    let accepted: BTreeSet<String> = run
        .events()
        .iter()
        .filter(|event| event.is("left"))
        .flat_map(|event| event.json["cut"].as_array().unwrap().clone())
        .map(|client| client.as_str().unwrap().to_owned())
        .collect();
    let lost = outcomes.iter().filter(|it| it.answer.is_err());
    let lost: Vec<_> = lost.map(|outcome| outcome.from).collect();
    let all = lost.len();
    let in_vain: Vec<_> = lost
        .into_iter()
        .filter(|from| !accepted.contains(&from.to_string()))
        .collect();
    let had = all - in_vain.len();
    (in_vain, had)
}

/// A worker is killed again and again. What it had accepted is lost with it; nothing else is.
fn kills_lose_only_what_was_accepted(name: &str, app: Setup) {
    const BETWEEN: usize = 40;
    let _turn = beside_others();
    let (mut run, to) = start(app);
    let kills = troubles();
    let outcomes = under_load(to, PACE, |outcomes| {
        for number in 0..kills {
            outcomes.more(BETWEEN);
            // Which one does not matter; the numbers of processes are as good as random.
            let workers: Vec<i32> = workers(&mut run).into_values().collect();
            let Some(pid) = workers.get(number * 7 % workers.len().max(1)) else {
                continue;
            };
            signal(*pid, Signal::KILL);
            run.event("its end", |event| event.is("exited") && event.pid() == *pid);
        }
    });
    // The rest was still in their channels, or had not been sent.
    let (in_vain, had) = lost_in_vain(&mut run, &outcomes);
    println!(
        "{name}: {} requests, {kills} kills, {had} accepted and lost, {} lost without having been \
         accepted",
        outcomes.len(),
        in_vain.len()
    );
    assert!(in_vain.is_empty(), "{in_vain:?}");
}

#[test]
fn kills_of_bun_lose_only_what_was_accepted() {
    kills_lose_only_what_was_accepted("Bun", bun());
}

#[test]
fn kills_of_node_lose_only_what_was_accepted() {
    kills_lose_only_what_was_accepted("Node", node());
}

/// Workers are stopped and go on, one after the other: nothing at all is lost.
fn stops_lose_nothing(name: &str, app: Setup) {
    const PAUSE: Duration = Duration::from_millis(150);
    let _turn = beside_others();
    let (mut run, to) = start(app);
    let workers: Vec<i32> = workers(&mut run).into_values().collect();
    let stops = troubles() / 2;
    let outcomes = under_load(to, PACE, |outcomes| {
        for number in 0..stops {
            let pid = workers[number % WORKERS];
            signal(pid, Signal::STOP);
            // Not to wait for anything: so long it stands still.
            thread::sleep(PAUSE);
            signal(pid, Signal::CONT);
            outcomes.more(CLIENTS);
        }
    });
    let lost: Vec<_> = outcomes
        .iter()
        .filter_map(|it| it.answer.as_ref().err())
        .collect();
    println!(
        "{name}: {} requests, {stops} stops, {} lost",
        outcomes.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    run.no_worker_has_ended();
}

#[test]
fn stops_of_bun_lose_nothing() {
    stops_lose_nothing("Bun", bun());
}

#[test]
fn stops_of_node_lose_nothing() {
    stops_lose_nothing("Node", node());
}

/// One worker computes without end: the others answer everybody.
fn an_endless_loop_costs_one_worker(name: &str, app: Setup) {
    let _turn = beside_others();
    // At the end, nothing waits long for a request that is never answered.
    let (mut run, to) = start(app.option("--drain-timeout", "1000"));
    let mut endless = Request::connect(&run.door()).unwrap();
    endless.send("/api?ms=1000000000").unwrap();
    // What it accepts together with this request it never answers.
    run.output("the loop's begin", |text| text.contains("working"));
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    let outcomes = under_load(to, PACE, |outcomes| {
        let enough = 4 * troubles();
        let mut count = 0;
        while count < enough || answered.len() < WORKERS - 1 {
            let answer = outcomes.next().answer.as_ref().unwrap();
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            *answered.entry(answer["instance"].to_string()).or_default() += 1;
            count += 1;
            let patient = Instant::now() < run.deadline;
            assert!(patient, "not all of the others answer: {answered:?}");
        }
    });
    println!("{name}: {} requests: {answered:?}", outcomes.len());
    assert_eq!(answered.len(), WORKERS - 1, "{answered:?}");
    let failed = outcomes.iter().find_map(|it| it.answer.as_ref().err());
    assert!(failed.is_none(), "{failed:?}");
    run.no_worker_has_ended();
}

#[test]
fn an_endless_loop_costs_one_bun() {
    an_endless_loop_costs_one_worker("Bun", bun());
}

#[test]
fn an_endless_loop_costs_one_node() {
    an_endless_loop_costs_one_worker("Node", node());
}

/// One of four workers is blocked while 80 connections come at once: nobody waits for it, and the
/// other three work on them side by side.
#[test]
fn a_blocked_worker_holds_up_nobody() {
    const CONNECTIONS: usize = 80;
    let text = "
        import fs from 'node:fs';
        const { work } = await import(process.env.EXAMPLES + '/work.mjs');
        const gates = [process.env.LONG_GATE, process.env.GATE].map((path) => fs.openSync(path));
        Bun.serve({ port: process.env.PORT, fetch({ url }) {
            const query = new URL(url).searchParams;
            const gate = query.get('gate');
            if (gate) {
                console.log('at gate ' + gate);
                fs.readSync(gates[gate], new Uint8Array(1));
            }
            return Response.json(work(query));
        } });";
    let _turn = beside_others();
    let setup = Setup::program("app.ts", text).instances(WORKERS);
    let other = tempfile::tempdir().unwrap();
    let (long, gate) = (Gate::new(other.path()), Gate::new(setup.folder()));
    let setup = setup.env("LONG_GATE", long.path());
    let mut run = setup.env("GATE", gate.path()).start();
    run.listening(WORKERS as u64);
    let door = run.door();
    let ask = |path| {
        let mut request = Request::connect(&door).unwrap();
        request.send(path).unwrap();
        request
    };
    let blocked = ask("/api?ms=0&gate=0");
    run.output("blocked", |text| text.contains("at gate 0"));
    let requests: Vec<_> = (0..CONNECTIONS).map(|_| ask("/api?ms=0&gate=1")).collect();
    run.output("the others at work", |text| {
        text.matches("at gate 1").count() == WORKERS - 1
    });
    gate.lets_pass(CONNECTIONS);
    let workers: BTreeSet<_> = requests
        .into_iter()
        .map(|request| request.receive().unwrap().worker())
        .collect();
    long.lets_pass(1);
    assert_eq!(workers.len(), WORKERS - 1, "{workers:?}");
    assert!(!workers.contains(&blocked.receive().unwrap().worker()));
}
