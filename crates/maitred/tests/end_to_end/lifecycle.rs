//! Workers that crash, are restarted or given up, and how everything ends: by itself, by a signal,
//! by force. No process is left behind.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::harness::{
    PATIENCE, Process, Request, Run, Setup, beside_others, children_of, descendants_of,
    gone_within, rounds_at_its_port,
};

fn kill(process: &Process, signal: Signal) {
    kill_process(Pid::from_raw(process.pid).unwrap(), signal).unwrap();
}

#[test]
fn a_killed_worker_comes_back_under_its_number() {
    let _turn = beside_others();
    let setup = Setup::example("bun-serve/server.ts").instances(2);
    let mut run = setup.flag("--stats=1").start();
    run.listening(2);

    let victim = run.started(1);
    kill(&victim, Signal::KILL);
    let exited = run.event("exit of instance 1", |event| event.is("exited"));
    assert_eq!((exited.instance(), exited.pid()), (1, victim.pid));
    assert_eq!(exited.number("signal"), 9);
    assert!(exited.json["code"].is_null(), "{}", exited.json);
    assert_eq!(exited.text("next"), "restart");

    let again = run.event_after(&exited, "restart", |event| event.is("started"));
    assert_eq!(again.instance(), 1);
    assert_ne!(again.pid(), victim.pid);
    run.event_after(&exited, "the new worker's listen", |event| {
        event.is("listening") && event.pid() == again.pid() && event.number("members") == 2
    });
    let environment = fs::read(format!("/proc/{}/environ", again.pid())).unwrap();
    let entry = b"NODE_APP_INSTANCE=1".as_slice();
    assert!(
        environment
            .split(|byte| *byte == 0)
            .any(|line| line == entry)
    );
    rounds_at_its_port(&mut run, 2, 2);
}

/// What became of the app after each of its exits.
fn nexts(run: &mut Run) -> Vec<String> {
    let exits = run.events().into_iter().filter(|event| event.is("exited"));
    exits.map(|event| event.text("next").to_owned()).collect()
}

#[test]
fn a_worker_that_keeps_crashing_is_given_up() {
    let _turn = beside_others();
    let setup = Setup::program("crash.sh", "exit 7\n").instances(1);
    let mut run = setup
        .option("--min-uptime", "1h")
        .option("--max-restarts", "3")
        .option("--restart-delay", "10")
        .start();

    assert_eq!(run.exit_code(), 1);
    assert_eq!(
        nexts(&mut run),
        ["restart", "restart", "restart", "errored"]
    );
    for event in run.events() {
        if event.is("exited") {
            assert_eq!(event.number("code"), 7);
            assert!(event.json["signal"].is_null(), "{}", event.json);
        }
    }
    let (_, errors) = run.everything_printed();
    assert!(
        String::from_utf8_lossy(&errors).contains("code 7"),
        "{}",
        run.story()
    );
}

#[test]
fn the_pauses_between_restarts_grow() {
    let _turn = beside_others();
    let setup = Setup::program("crash.sh", "exit 7\n").instances(1);
    let start = Instant::now();
    let setup = setup.option("--min-uptime", "1h");
    let mut run = setup.option("--max-restarts", "4").start();
    assert_eq!(run.exit_code(), 1);
    let took = start.elapsed();

    let exits = run
        .events()
        .into_iter()
        .filter(|event| event.json["next"] == "restart");
    let pauses: Vec<u64> = exits.map(|event| event.number("delay")).collect();
    assert_eq!(pauses.len(), 4);
    assert!(pauses.is_sorted_by(|one, next| one < next), "{pauses:?}");
    // What is announced is kept.
    let announced = Duration::from_millis(pauses.iter().sum());
    assert!(took >= announced, "{took:?} for pauses of {pauses:?}");
}

#[test]
fn one_given_up_worker_does_not_end_the_others() {
    let _turn = beside_others();
    let setup = Setup::example("node-http/server.mjs");
    let crash = setup.file(
        "crash.cjs",
        "if (process.env.NODE_APP_INSTANCE === '1') process.exit(9);\n",
    );
    let options = format!("--require={}", crash.display());
    let mut run = setup
        .instances(2)
        .env("NODE_OPTIONS", options)
        .option("--min-uptime", "1h")
        .option("--max-restarts", "1")
        .option("--restart-delay", "10")
        .start();
    let last = run.event("giving up", |event| {
        event.is("exited") && event.json["next"] == "errored"
    });
    assert_eq!(last.instance(), 1);
    run.listening(1);
    assert!(
        Request::get(&run.door(), "/api?ms=0")
            .unwrap()
            .worker()
            .starts_with("0 ")
    );
}

#[test]
fn without_restarts_the_exit_code_is_the_programs() {
    let _turn = beside_others();
    let mut run = Setup::program("three.sh", "exit 3\n")
        .instances(1)
        .flag("--no-autorestart")
        .start();
    assert_eq!(run.exit_code(), 3);
    assert_eq!(nexts(&mut run), ["ended"]);

    let mut run = Setup::program("killed.sh", "kill -9 $$\n")
        .instances(1)
        .flag("--no-autorestart")
        .start();
    assert_eq!(run.exit_code(), 128 + 9);

    let mut run = Setup::program("good.sh", "exit 0\n")
        .instances(1)
        .flag("--no-autorestart")
        .start();
    assert_eq!(run.exit_code(), 0);
}

#[test]
fn without_restarts_the_highest_exit_code_counts() {
    let _turn = beside_others();
    let text = "case $NODE_APP_INSTANCE in 0) exit 2 ;; 1) exit 5 ;; 2) exit 0 ;; esac\n";
    let setup = Setup::program("codes.sh", text).instances(3);
    let mut run = setup.flag("--no-autorestart").start();
    assert_eq!(run.exit_code(), 5);
    assert_eq!(nexts(&mut run), ["ended", "ended", "ended"]);
}

/// A worker with descendants of every kind: a plain child, one in a session of its own, and one
/// that has cut every tie, as daemons do: orphaned, own session, no environment, no descriptors.
/// It leaves their numbers in files.
const FAMILY: &str = r#"
import os, subprocess, sys, time

def note(kind, pid):
    name = f"{sys.argv[1]}/{kind}-{os.environ['NODE_APP_INSTANCE']}"
    with open(name, "w") as file:
        file.write(str(pid))

note("child", subprocess.Popen(["sleep", "1000"]).pid)
note("session", subprocess.Popen(["sleep", "1000"], start_new_session=True).pid)

read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    daemon = os.fork()
    if daemon == 0:
        os.closerange(0, 1024)
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os.write(write, str(daemon).encode())
    os._exit(0)
os.wait()
note("daemon", int(os.read(read, 16)))

try:
    print("ready", flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    print("goodbye", flush=True)
"#;

/// Starts two families. Returns all their processes, maitred's own included but for the first.
fn families() -> (Run, Vec<Process>) {
    let setup = Setup::program("family.py", FAMILY).instances(2);
    let folder = setup.folder().to_owned();
    // They take their leave in the time that they need, and hear what asks them to, also where
    // these tests run in the background of a shell.
    let setup = setup
        .option("--kill-timeout", "30000")
        .before(["env", "--default-signal=INT"]);
    let run = setup.argument(&folder).start();
    run.output("both families", |text| text.matches("ready").count() == 2);

    let mut all = descendants_of(run.pid());
    for kind in ["child", "session", "daemon"] {
        for instance in 0..2 {
            let member = noted(&folder.join(format!("{kind}-{instance}")));
            if !all.contains(&member) {
                all.push(member);
            }
        }
    }
    // The supervisor, and two families of four.
    assert!(all.len() >= 9, "{all:#?}");
    (run, all)
}

fn noted(file: &Path) -> Process {
    let pid = fs::read_to_string(file).unwrap().parse().unwrap();
    Process::find(pid).expect("alive until the end")
}

fn a_signal_ends_everything(signal: Signal) {
    let _turn = beside_others();
    let (mut run, all) = families();
    run.signal(signal);
    assert_eq!(run.exit_code(), 0);
    // maitred leaves last.
    assert_eq!(gone_within(Duration::ZERO, &all), []);

    assert_eq!(nexts(&mut run), ["stopped", "stopped"]);
    let stopping = run.event("stopping", |event| event.is("stopping"));
    let stopped = run.event_after(&stopping, "stopped", |event| event.is("stopped"));
    assert_eq!(stopped.number("code"), 0);
    // The workers were asked first: they had the time to take their leave.
    let (output, _) = run.everything_printed();
    assert_eq!(
        String::from_utf8_lossy(&output).matches("goodbye").count(),
        2
    );
}

#[test]
fn sigint_ends_everything() {
    a_signal_ends_everything(Signal::INT);
}

#[test]
fn sigterm_ends_everything() {
    a_signal_ends_everything(Signal::TERM);
}

#[test]
fn killing_the_guard_leaves_no_process() {
    let _turn = beside_others();
    let (mut run, all) = families();
    run.signal(Signal::KILL);
    run.wait();
    assert_eq!(gone_within(PATIENCE, &all), []);
}

#[test]
fn killing_the_supervisor_leaves_no_process() {
    let _turn = beside_others();
    let (mut run, all) = families();
    let [supervisor] = children_of(run.pid())[..] else {
        panic!(
            "maitred's first process has one child: {:?}",
            children_of(run.pid())
        )
    };
    kill(&Process::find(supervisor).unwrap(), Signal::KILL);
    assert_ne!(run.exit_code(), 0, "{}", run.story());
    assert_eq!(gone_within(Duration::ZERO, &all), []);
}

/// A shell that is not interactive lets what it starts in the background ignore SIGINT. The workers
/// are asked to end by it all the same.
#[test]
fn workers_of_a_background_job_hear_that_they_are_to_end() {
    let _turn = beside_others();
    let shell = ["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"];
    let setup = Setup::program("stay.sh", "echo ready; exec sleep 1000\n").instances(1);
    let mut run = setup.before(shell).start();
    run.output("the program", |text| text.contains("ready"));
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code(), 0);
    let exited = run.event("the end", |event| event.is("exited"));
    assert_eq!(exited.number("signal"), 2);
}

/// Guard and supervisor, killed in the same moment, leave their folder: the next run removes it.
#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    let _turn = beside_others();
    let place = tempfile::tempdir().unwrap();
    let start = || {
        let setup = Setup::program("stay.sh", "echo ready; exec sleep 1000\n").instances(1);
        let setup = setup.env("TMPDIR", place.path()).env("XDG_RUNTIME_DIR", "");
        let run = setup.start();
        run.output("the program", |text| text.contains("ready"));
        run
    };
    let folders = || -> Vec<_> {
        let entries = fs::read_dir(place.path()).unwrap().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let mut killed = start();
    let left = folders();
    assert_eq!(left.len(), 1, "{left:?}");
    let all = descendants_of(killed.pid());
    let guard = Process::find(killed.pid()).unwrap();
    let [supervisor] = children_of(killed.pid())[..] else {
        panic!("the guard has one child")
    };
    let both = [guard, Process::find(supervisor).unwrap()];
    // Both are stopped first, so that neither sees the other's end.
    for signal in [Signal::STOP, Signal::KILL] {
        both.iter().for_each(|process| kill(process, signal));
    }
    killed.wait();
    assert_eq!(gone_within(PATIENCE, &all), []);
    assert_eq!(folders(), left);

    let mut next = start();
    let now = folders();
    assert!(now.len() == 1 && now != left, "{now:?}, not {left:?}");
    next.signal(Signal::TERM);
    next.wait();
    assert!(folders().is_empty(), "{:?}", folders());
}

#[test]
fn a_worker_that_does_not_listen_to_signals_is_killed_in_time() {
    const KILL_TIMEOUT: Duration = Duration::from_millis(400);
    let _turn = beside_others();
    let text = "trap '' INT TERM\necho ready\nwhile :; do sleep 1000; done\n";
    let setup = Setup::program("deaf.sh", text).instances(1);
    let mut run = setup
        .option("--kill-timeout", KILL_TIMEOUT.as_millis().to_string())
        .start();
    run.output("the worker", |text| text.contains("ready"));

    let all = descendants_of(run.pid());
    let start = Instant::now();
    run.signal(Signal::TERM);
    assert_eq!(run.exit_code(), 0);
    let took = start.elapsed();
    assert!(took >= KILL_TIMEOUT, "{took:?}");
    assert_eq!(gone_within(Duration::ZERO, &all), []);
    let exited = run.event("the kill", |event| event.is("exited"));
    assert_eq!(
        (exited.number("signal"), exited.text("next")),
        (9, "stopped")
    );
}

#[test]
fn whoever_comes_while_maitred_stops_is_refused() {
    let _turn = beside_others();
    let text = "import { createServer } from 'node:http';
        process.on('SIGINT', () => {});
        createServer((_, answer) => answer.end()).listen(process.env.PORT);\n";
    let setup = Setup::program("deaf.mjs", text).instances(2);
    let mut run = setup.option("--kill-timeout", "20000").start();
    run.listening(2);
    run.signal(Signal::INT);
    run.event("stopping", |event| event.is("stopping"));
    // The listener closes then, and not with the workers' end: they live for long after that.
    loop {
        match Request::get(&run.door(), "/") {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            Ok(_) | Err(_) => {}
        }
        let workers_end = run.events().iter().any(|event| event.is("exited"));
        assert!(!workers_end, "open to the end\n{}", run.story());
    }
}

/// As the first process of a container, maitred is the parent of every orphan.
#[test]
fn as_pid_1_it_reaps_orphans_and_passes_signals_on() {
    const ORPHANS: usize = 20;
    let _turn = beside_others();
    let text = format!(
        "import os, signal, time
for _ in range({ORPHANS}):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print('ready', os.getpid(), flush=True)
signal.pause()
"
    );
    let mut namespace = vec!["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"];
    if !getuid().is_root() {
        namespace.extend(["--user", "--map-root-user"]);
    }
    let mut run = Setup::program("orphans.py", &text)
        .instances(1)
        .before(namespace)
        .start();
    run.output("the orphans", |text| text.contains("ready"));

    let [first] = children_of(run.pid())[..] else {
        panic!("unshare has one child")
    };
    // Nothing tells when a zombie is taken away, so this has to look again and again.
    let deadline = Instant::now() + PATIENCE;
    while zombies_below(first) > 0 {
        assert!(
            Instant::now() < deadline,
            "{} zombies are left",
            zombies_below(first)
        );
        thread::yield_now();
    }

    let all = descendants_of(run.pid());
    kill(&Process::find(first).unwrap(), Signal::TERM);
    assert_eq!(run.exit_code(), 0);
    assert_eq!(gone_within(Duration::ZERO, &all), []);
}

fn zombies_below(pid: i32) -> usize {
    let below = children_of(pid).into_iter();
    below
        .map(|child| usize::from(Process::find(child).is_none()) + zombies_below(child))
        .sum()
}
