//! Workers that are killed, stopped or caught in a loop while connections come steadily: whoever
//! no worker had accepted is answered by another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, Request, Run, Setup, beside_others, rounds};

const WORKERS: usize = 4;
const CLIENTS: usize = 8;
/// Between two connections of one client.
const PACE: Duration = Duration::from_millis(20);
/// No answer may take longer, whatever happens to workers.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a request asks for.
const WORK: &str = "/api?ms=5&how=sleep";

/// How long the storms last: 20 s, less where fewer rounds are wanted.
fn duration() -> Duration {
    Duration::from_millis(200 * (rounds() as u64).min(100))
}

/// What became of one request.
struct Outcome {
    /// Where it came from: names its connection.
    from: SocketAddr,
    answer: io::Result<String>,
}

fn ask(to: SocketAddr) -> io::Result<Outcome> {
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
    Ok(Outcome { from, answer })
}

/// Lets clients come steadily while `trouble` is made; what became of all their requests.
fn under_load(to: SocketAddr, trouble: impl FnOnce()) -> Vec<Outcome> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = || {
            let mut outcomes = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                // The port stays open whatever happens: a refused connection fails the test.
                outcomes.push(ask(to).unwrap());
                thread::sleep(PACE.saturating_sub(began.elapsed()));
            }
            outcomes
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        trouble();
        stop.store(true, Ordering::Relaxed);
        let joined = clients.into_iter().map(|client| client.join().unwrap());
        joined.flatten().collect()
    })
}

fn start(app: Setup) -> (Run, SocketAddr) {
    let mut run = app
        .instances(WORKERS)
        .limit(240)
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

fn bun() -> Setup {
    let serve =
        "Bun.serve({ port: process.env.PORT, fetch: ({ url }) => new Response(answer(url)) });";
    Setup::program("app.ts", &format!("{WORK_IN_WORKER}{serve}"))
}

fn node() -> Setup {
    let serve = "import { createServer } from 'node:http';
        createServer(({ url }, response) => response.end(answer(url))).listen(process.env.PORT);";
    Setup::program("app.mjs", &format!("{WORK_IN_WORKER}{serve}"))
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The workers that listen now, by instance.
fn workers(run: &mut Run) -> Vec<i32> {
    let mut listening = BTreeMap::new();
    for event in run.events() {
        if event.is("listening") {
            listening.insert(event.instance(), event.pid());
        } else if event.is("exited") || event.is("left") {
            listening.remove(&event.instance());
        }
    }
    listening.into_values().collect()
}

/// A worker is killed every 200 ms. What it had accepted is lost with it; nothing else is.
fn kills_lose_only_what_was_accepted(name: &str, app: Setup) {
    const PAUSE: Duration = Duration::from_millis(200);
    let _turn = beside_others();
    let (mut run, to) = start(app);
    let mut kills = 0;
    let outcomes = under_load(to, || {
        let end = Instant::now() + duration();
        while Instant::now() < end {
            let workers = workers(&mut run);
            // Which one does not matter; the numbers of processes are as good as random.
            if let Some(pid) = workers.get(kills * 7 % workers.len().max(1)) {
                signal(*pid, Signal::KILL);
                kills += 1;
            }
            thread::sleep(PAUSE);
        }
    });
    // What the killed workers had accepted, by the dispatcher's account: the rest was still in
    // their channels, or had not been sent.
    let accepted: BTreeSet<String> = run
        .events()
        .iter()
        .filter(|event| event.is("left"))
        .flat_map(|event| event.json["cut"].as_array().unwrap().clone())
        .map(|client| client.as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = outcomes.iter().filter(|it| it.answer.is_err()).collect();
    let never_accepted: Vec<_> = lost
        .iter()
        .filter(|outcome| !accepted.contains(&outcome.from.to_string()))
        .map(|outcome| (outcome.from, &outcome.answer))
        .collect();
    println!(
        "{name}: {} requests, {kills} kills, {} accepted and lost, {} lost without having been \
         accepted",
        outcomes.len(),
        lost.len() - never_accepted.len(),
        never_accepted.len()
    );
    assert!(
        kills > 5 && outcomes.len() > 10 * kills,
        "too little happened"
    );
    assert!(never_accepted.is_empty(), "{never_accepted:?}");
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
    let workers = workers(&mut run);
    let mut stops = 0;
    let outcomes = under_load(to, || {
        let end = Instant::now() + duration() / 2;
        while Instant::now() < end {
            let pid = workers[stops % WORKERS];
            signal(pid, Signal::STOP);
            thread::sleep(PAUSE);
            signal(pid, Signal::CONT);
            thread::sleep(PAUSE / 5);
            stops += 1;
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
    let (mut run, to) = start(app);
    let mut endless = Request::connect(&run.door()).unwrap();
    endless.send("/api?ms=1000000000").unwrap();
    // What it accepts together with this request it never answers.
    run.output("the loop's begin", |text| text.contains("working"));
    let outcomes = under_load(to, || thread::sleep(duration() / 4));
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in &outcomes {
        let answer = outcome.answer.as_ref().unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        *answered.entry(answer["instance"].to_string()).or_default() += 1;
    }
    println!("{name}: {} requests: {answered:?}", outcomes.len());
    assert!(outcomes.len() > 10 * CLIENTS);
    assert_eq!(answered.len(), WORKERS - 1, "{answered:?}");
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

/// One of four workers is blocked for three seconds while 80 connections come at once: nobody has
/// more of them before him than his share at the other three.
#[test]
fn a_blocked_worker_holds_up_nobody() {
    const CONNECTIONS: usize = 80;
    let text = "
        const { work } = await import(process.env.EXAMPLES + '/work.mjs');
        let served = 0;
        Bun.serve({ port: process.env.PORT, fetch({ url }) {
            const query = new URL(url).searchParams;
            if (query.get('ms') === '3000') console.log('blocked');
            return Response.json({ ...work(query), served: ++served });
        } });";
    let _turn = beside_others();
    let mut run = Setup::program("app.ts", text).instances(WORKERS).start();
    run.listening(WORKERS as u64);
    let door = run.door();
    let ask = |path| {
        let mut request = Request::connect(&door).unwrap();
        request.send(path).unwrap();
        request
    };
    let blocked = ask("/api?ms=3000&how=sleep");
    run.output("blocked", |text| text.contains("blocked"));
    let requests: Vec<_> = (0..CONNECTIONS)
        .map(|_| ask("/api?ms=20&how=sleep"))
        .collect();
    let answers: Vec<_> = requests
        .into_iter()
        .map(|request| request.receive().unwrap().json())
        .collect();
    let blocked = blocked.receive().unwrap().worker();
    let share = CONNECTIONS.div_ceil(WORKERS - 1);
    for answer in &answers {
        assert_ne!(
            format!(
                "{} (pid {})",
                answer["instance"].as_str().unwrap(),
                answer["pid"]
            ),
            blocked
        );
        // One worker may get a few more than another, which the machine has held up.
        let before = answer["served"].as_u64().unwrap() as usize;
        assert!(
            before <= share + share / 5,
            "{before} of {share}: {answers:?}"
        );
    }
}
