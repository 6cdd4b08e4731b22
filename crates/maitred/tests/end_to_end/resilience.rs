//! Workers that block, stop or die while connections come: nobody is refused, nothing is lost that
//! another worker could still serve; and programs and surroundings of an unusual kind.

use std::process::Command;
use std::time::Instant;
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::errors::compile;
use crate::harness::{
    Gate, Process, Request, Setup, beside_others, deal, rounds_at_its_port, tool,
};

fn kill(process: &Process, signal: Signal) {
    kill_process(Pid::from_raw(process.pid).unwrap(), signal).unwrap();
}

/// A connection that comes while no worker is up waits for the first one.
#[test]
fn a_restart_refuses_nobody() {
    let _turn = beside_others();
    let mut run = Setup::example("bun-serve/server.ts").instances(1).start();
    run.listening(1);
    for _ in 0..3 {
        let before = run.events().last().unwrap().clone();
        let old = Request::get(&run.door(), "/api?ms=0").unwrap().worker();
        let worker = run.newest_worker();
        kill_process(worker, Signal::KILL).unwrap();
        run.event_after(&before, "exit", |event| event.is("exited"));
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let mut request = Request::connect(&run.door()).unwrap();
                request.send("/api?ms=0").unwrap();
                request
            })
            .collect();
        for request in waiting {
            assert_ne!(request.receive().unwrap().worker(), old);
        }
    }
}

/// While one worker is busy, all others are served by the other one.
#[test]
fn nobody_waits_behind_a_busy_worker() {
    let _turn = beside_others();
    let (setup, gate) = gated(bun());
    let mut run = setup.instances(2).start();
    run.listening(2);
    let mut long = Request::connect(&run.door()).unwrap();
    long.send(WORK).unwrap();
    run.output("one at work", |text| text.contains("working"));
    // Whoever waited for it would wait for ever.
    let shares = deal(&run.door(), NO_WORK, 200);
    gate.lets_pass(1);
    let busy = long.receive().unwrap().worker();
    assert_eq!(shares.len(), 1, "{shares:?}");
    assert!(!shares.contains_key(&busy), "{busy}: {shares:?}");
}

/// A stopped process shows the kernel its last call, as an idle one does.
#[test]
fn nobody_waits_behind_a_stopped_worker() {
    let _turn = beside_others();
    let setup = Setup::example("bun-serve/server.ts").instances(2);
    let mut run = setup.flag("--stats=1").start();
    run.listening(2);
    rounds_at_its_port(&mut run, 2, 2);

    let stopped = run.started(0);
    kill(&stopped, Signal::STOP);
    // Whoever waited for it would wait for ever.
    let shares = deal(&run.door(), "/api?ms=0", 200);
    assert!(
        shares.keys().all(|worker| worker.starts_with("1 ")),
        "{shares:?}"
    );

    kill(&stopped, Signal::CONT);
    // When exactly it runs again, nobody tells; that it answers shows it.
    while !Request::get(&run.door(), "/api?ms=0")
        .unwrap()
        .worker()
        .starts_with("0 ")
    {
        let patient = Instant::now() < run.deadline;
        assert!(patient, "the continued worker gets nothing");
    }
    rounds_at_its_port(&mut run, 2, 2);
}

/// What these programs work on until their gate lets them go on, saying so when they begin; and what
/// is no work at all.
const WORK: &str = "/api?ms=1&how=sleep";
const NO_WORK: &str = "/api?ms=0&how=sleep";

const ANSWER: &str = r#"
import fs from "node:fs";
const { work } = await import(process.env.EXAMPLES + "/work.mjs");
const gate = fs.openSync(process.env.GATE, "r");
const answer = (url) => {
  const query = new URL(url, "http://localhost").searchParams;
  if (query.get("ms") !== "0") {
    console.log("working");
    fs.readSync(gate, new Uint8Array(1));
  }
  return JSON.stringify(work(query));
};
"#;

fn bun() -> Setup {
    let text =
        "Bun.serve({ port: process.env.PORT, fetch: ({ url }) => new Response(answer(url)) });";
    Setup::program("app.ts", &format!("{ANSWER}{text}"))
}

fn gated(setup: Setup) -> (Setup, Gate) {
    let gate = Gate::new(setup.folder());
    (setup.env("GATE", gate.path()), gate)
}

/// A worker that is killed takes with it what it was working on, and nothing else.
fn a_killed_worker_loses_only_its_own_work(setup: Setup) {
    const QUEUED: usize = 60;
    let _turn = beside_others();
    let (setup, gate) = gated(setup);
    let mut run = setup.instances(2).start();
    run.listening(2);
    let door = run.door();
    let ask = |path| {
        let mut request = Request::connect(&door).unwrap();
        request.send(path).unwrap();
        request
    };
    // One after the other: who has begun takes no more.
    let working = [1, 2].map(|count| {
        let request = ask(WORK);
        run.output("its begin", |text| text.matches("working").count() == count);
        request
    });
    let queued: Vec<_> = (0..QUEUED).map(|_| ask(NO_WORK)).collect();
    let killed = run.started(0);
    kill(&killed, Signal::KILL);
    run.event("its end", |event| {
        event.is("exited") && event.pid() == killed.pid
    });
    gate.lets_pass(1);

    let outcomes: Vec<io::Result<_>> = working.into_iter().map(Request::receive).collect();
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(done, 1, "{outcomes:?}");
    let lost: Vec<_> = queued
        .into_iter()
        .filter_map(|request| request.receive().err())
        .collect();
    assert!(lost.is_empty(), "{} of {QUEUED} lost: {lost:?}", lost.len());
}

#[test]
fn a_killed_bun_loses_only_its_own_work() {
    a_killed_worker_loses_only_its_own_work(bun());
}

#[test]
fn a_killed_node_loses_only_its_own_work() {
    let text = "import { createServer } from 'node:http';
        createServer(({ url }, response) => response.end(answer(url))).listen(process.env.PORT);";
    a_killed_worker_loses_only_its_own_work(Setup::program("app.mjs", &format!("{ANSWER}{text}")));
}

#[test]
fn a_killed_deno_loses_only_its_own_work() {
    let text = "Deno.serve({ port: +process.env.PORT }, ({ url }) => new Response(answer(url)));";
    let text = format!("import process from 'node:process';{ANSWER}{text}");
    let setup = Setup::program("app.mjs", &text).option("--interpreter", "deno");
    a_killed_worker_loses_only_its_own_work(setup);
}

#[test]
fn a_killed_python_loses_only_its_own_work() {
    let text = "import os, sys
path = os.environ['EXAMPLES'] + '/python/server.py'
gate = open(os.environ['GATE'], 'rb', buffering=0)
work = 'print(\"working\", flush=True) or gate.read(1) if ms else 0; time.sleep('
text = open(path).read().replace('time.sleep(', work)
exec(compile(text, path, 'exec'), {'__file__': path, 'gate': gate})
";
    a_killed_worker_loses_only_its_own_work(Setup::program("app.py", text));
}

/// Workers die all the time, and no connection is refused or left without an answer, but for those
/// that a worker was serving when it died.
#[test]
fn a_storm_of_kills_leaves_nobody_hanging() {
    const KILLS: usize = 20;
    let _turn = beside_others();
    let setup = Setup::example("node-http/server.mjs")
        .instances(3)
        .limit(600);
    let mut run = setup
        .option("--restart-delay", "1")
        .option("--max-restarts", "1000")
        .start();
    run.listening(3);
    let door = run.door();

    thread::scope(|scope| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (door, stop) = (door.clone(), stop.clone());
                scope.spawn(move || {
                    let mut outcomes = (0_usize, Vec::new());
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        match Request::get(&door, "/api?ms=5&how=sleep") {
                            Ok(_) => outcomes.0 += 1,
                            Err(error) => outcomes.1.push(error),
                        }
                    }
                    outcomes
                })
            })
            .collect();
        for number in 0..KILLS {
            let worker = run
                .events()
                .into_iter()
                .rfind(|event| event.is("listening"))
                .unwrap();
            kill(&Process::find(worker.pid()).unwrap(), Signal::KILL);
            run.event_after(&worker, &format!("return {number}"), |event| {
                event.is("listening") && event.pid() != worker.pid()
            });
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut lost = Vec::new();
        for client in clients {
            let (answered, errors) = client.join().unwrap();
            assert!(answered > 0);
            lost.extend(errors);
        }
        // A single-threaded worker serves one request at a time, so each kill may cost one, with
        // the ones that it had accepted behind it: at most one a client.
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let hung = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            )
        };
        assert!(!lost.iter().any(refused), "{lost:?}");
        assert!(!lost.iter().any(hung), "{lost:?}");
        assert!(
            lost.len() <= 4 * KILLS,
            "{} lost in {KILLS} kills: {lost:?}",
            lost.len()
        );
    });
}

/// The library needs no particular libc.
#[test]
fn a_program_for_musl_is_balanced_too() {
    is_balanced_when_built_by("musl-gcc");
}

/// A program with blocking calls, whose `accept` must block.
#[test]
fn a_program_with_a_blocking_accept_is_balanced() {
    is_balanced_when_built_by("gcc");
}

fn is_balanced_when_built_by(compiler: &str) {
    let _turn = beside_others();
    let mut setup = Setup::script("");
    let program = compile(compiler, &[], setup.folder());
    setup.set_script(&program);
    let mut run = setup.instances(3).flag("--stats=1").start();
    run.listening(3);
    rounds_at_its_port(&mut run, 3, 10);
    run.no_worker_has_ended();
}

/// What the user preloads stays preloaded.
#[test]
fn a_preloaded_library_of_the_users_own_stays() {
    let _turn = beside_others();
    let setup = Setup::example("python/server.py").instances(2);
    let source = setup.file("own.c", "int nothing(void) { return 0; }\n");
    let library = setup.folder().join("own.so");
    let built = Command::new(tool("gcc"))
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    let setup = setup.env("LD_PRELOAD", &library).flag("--stats=1");
    let mut run = setup.start();
    let worker = run.listening(2);
    let maps = fs::read_to_string(format!("/proc/{}/maps", worker.pid())).unwrap();
    assert!(maps.contains("own.so"), "{maps}");
    rounds_at_its_port(&mut run, 2, 2);
}

/// LD_PRELOAD can hold neither a space nor a colon, and a Unix socket's path only 107 bytes.
#[test]
fn awkward_folders_for_temporary_files() {
    let _turn = beside_others();
    for name in ["with space", "with:colon", &"long".repeat(50)] {
        let setup = Setup::example("node-http/server.mjs").instances(2);
        let folder = setup.folder().join(name);
        fs::create_dir(&folder).unwrap();
        let mut run = setup
            .flag("--stats=1")
            .env("TMPDIR", &folder)
            .env("MAITRED_HOME", folder.join("home"))
            .start();
        run.listening(2);
        rounds_at_its_port(&mut run, 2, 1);
    }
}
