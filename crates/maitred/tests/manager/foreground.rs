//! `run` and `start --no-daemon` with config files: as `pm2-runtime`, which images have as their
//! command.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, beside_others, gone_within};
use crate::home::{Home, ended};

const TWO: &str = "{ apps: [
    { name: 'one', script: 'one.sh', autorestart: false, env_production: { MODE: 'production' } },
    { name: 'two', script: 'two.sh', autorestart: false, out_file: 'two.log' },
] }";

fn with_two(first: &str, second: &str) -> Home {
    let home = Home::new();
    home.file("one.sh", first);
    home.file("two.sh", second);
    home.file("ecosystem.json", TWO);
    home
}

#[test]
fn several_apps_run_until_all_have_ended() {
    let _turn = beside_others();
    let home = with_two("echo \"from one $MODE\"", "echo from two; exit 3");
    for line in [
        &["run", "ecosystem.json", "--env", "production"][..],
        &["run", "--env", "production"],
    ] {
        let ended = home.run(line);
        assert_eq!(ended.code, 3, "{ended:?}");
        let mut lines: Vec<_> = ended.output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["one-0 | from one production", "two-0 | from two"]);
        let note = "two: out_file does nothing with `maitred run`";
        assert!(ended.errors.contains(note), "{ended:?}");
    }
    // One alone is as the program itself.
    let alone = home.run(&["run", "ecosystem.json", "--only", "one"]);
    assert_eq!((alone.code, alone.output.as_str()), (0, "from one \n"));
    // Flags go over the file; events tell of which app they are.
    let events = home.folder().join("events");
    let flags = ["-i", "2", "--events", events.to_str().unwrap()];
    let ended = home.run(&[&["run", "ecosystem.json"][..], &flags].concat());
    assert_eq!(ended.output.lines().count(), 4, "{ended:?}");
    let events = std::fs::read_to_string(events).unwrap();
    for app in ["one", "two"] {
        let started = format!("{{\"app\":\"{app}\",\"event\":\"started\"");
        assert_eq!(events.matches(&started).count(), 2, "{events}");
    }
    assert_eq!(home.does(&["jlist"]).trim(), "[]");
}

#[test]
fn an_app_that_is_given_up_ends_with_code_1() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("bad.sh", "exit 7");
    home.file("good.sh", "exit 0");
    let apps = "[{ script: 'bad.sh', max_restarts: 0 }, { script: 'good.sh', autorestart: false }]";
    home.file("a.json", apps);
    assert_eq!(home.run(&["run", "a.json"]).code, 1);
    assert_eq!(home.run(&["start", "a.json", "--no-daemon"]).code, 1);
    home.file("a.json", "[{ script: 'good.sh', autostart: false }]");
    let errors = home.fails(&["run", "a.json"]);
    assert!(
        errors.contains("good: not started, for its autostart is false"),
        "{errors}"
    );
}

#[test]
fn a_signal_ends_all_of_them_and_leaves_nothing() {
    let _turn = beside_others();
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let job = "trap 'echo ends; exit 0' INT; echo up; while :; do sleep 1; done";
        let home = with_two(job, job);
        let mut command = home.command(&["run", "ecosystem.json"]);
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let mut up = [lines.next().unwrap(), lines.next().unwrap()];
        up.sort_unstable();
        assert_eq!(up, ["one-0 | up", "two-0 | up"]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut last: Vec<_> = lines.collect();
        last.sort_unstable();
        assert_eq!(last, ["one-0 | ends", "two-0 | ends"], "{signal:?}");
        let status = child.wait().unwrap();
        let code = (signal != Signal::KILL).then_some(0);
        assert_eq!(status.code(), code, "{signal:?}");
        assert_eq!(gone_within(PATIENCE, &home.processes()), []);
    }
}

#[test]
fn without_a_daemon_the_command_ends_with_the_apps() {
    let _turn = beside_others();
    let home = with_two("echo from one", "echo from two; exit 3");
    let ended = ended(home.command(&["start", "ecosystem.json", "--no-daemon", "--silent"]));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.output.contains("from one"), "{ended:?}");
}

/// Node ends there, where pm2's wrapper keeps the app running.
#[test]
fn a_crash_on_an_unhandled_rejection_gets_advice() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.js", "Promise.reject('no');");
    let advice = "crashed on an unhandled promise rejection";
    let ran = home.run(&["run", "job.js", "-i", "1", "--max-restarts", "1"]);
    assert_eq!(ran.errors.matches(advice).count(), 1, "{ran:?}");
    let ended = home.run(&["start", "job.js", "--max-restarts", "0", "--no-daemon"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let log = std::fs::read_to_string(home.path().join("apps/job/supervisor.log")).unwrap();
    assert_eq!(log.matches(advice).count(), 1, "{log}");
}

/// How one ends that was asked to is not how the app ends.
#[test]
fn a_stop_that_was_asked_for_is_no_exit_code() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo up; sleep 1000");
    let write = |balance: &str| {
        let text = format!("{{ script: 'job.sh', instances: 1, balance: '{balance}' }}");
        home.file("a.json", &text);
    };
    write("round_robin");
    home.does(&["start", "a.json"]);
    home.is_up("job", 1);
    write("least_conn");
    home.does(&["restart", "a.json"]);
    home.is_up("job", 2);
    home.does(&["stop", "job"]);
    let log = std::fs::read_to_string(home.path().join("apps/job/supervisor.log")).unwrap();
    assert!(!log.contains("exit code"), "{log}");
}
