//! `maitred events`: what happens to apps, seen as it happens.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use crate::harness::{PATIENCE, beside_others};
use crate::home::Home;
use crate::wait::until_it_is;

/// A command that follows.
struct Events {
    child: Child,
    lines: Receiver<String>,
}

impl Events {
    /// Begins to follow; what happens from now on is seen.
    fn follow(home: &Home, args: &[&str]) -> Self {
        let (child, out) = spawned(home, args);
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// The events up to the last of these, which come in any order: those of two apps have none.
    fn until(&self, mut awaited: Vec<(&str, &str)>) -> Vec<Value> {
        let mut seen = Vec::new();
        while !awaited.is_empty() {
            let event: Value = serde_json::from_str(&self.next()).unwrap();
            let found = awaited.iter().position(|(app, what)| is(&event, app, what));
            if let Some(at) = found {
                awaited.remove(at);
            }
            seen.push(event);
        }
        seen
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the command, and waits until it says that it follows.
fn spawned(home: &Home, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let events = home.command(&[&["events"], args].concat());
    // A shell lets what it runs in the background ignore SIGINT, and so these tests perhaps.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT")
        .arg(events.get_program());
    command.args(events.get_args()).current_dir(home.folder());
    for (name, value) in events.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env("TZ", "UTC").spawn().unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut said).unwrap();
    assert!(said.contains("following the events of "), "{said}");
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn is(event: &Value, app: &str, what: &str) -> bool {
    event["app"] == app && event["event"] == what
}

/// What a command came to is an event, and a line of the logs, for those who have not asked for it.
#[test]
fn what_comes_of_a_command_is_told() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.js",
        "if (require('fs').existsSync('broken')) process.exit(7);
        process.send('ready');
        setInterval(() => {}, 1e6);",
    );
    let ready = ["--wait-ready", "--listen-timeout", "600000"];
    home.does(&[&["start", "app.js", "-i", "2"], &ready[..]].concat());
    let events = Events::follow(&home, &["app", "--json"]);
    let log = || home.does(&["logs", "app", "--nostream"]);
    for (command, done, instances, line) in [
        ("reload app", "reload", 2, "reloaded 2 instances of app in "),
        ("reload 1", "reload", 1, "reloaded 1 instance of app in "),
        (
            "restart app",
            "restart",
            2,
            "restarted 2 instances of app in ",
        ),
        ("restart 0", "restart", 1, "restarted 1 instance of app in "),
        ("scale app 3", "scale", 3, "scaled app to 3 instances in "),
        ("scale app 1", "scale", 1, "scaled app to 1 instance in "),
    ] {
        let command: Vec<_> = command.split(' ').collect();
        home.does(&command);
        let seen = events.until(vec![("app", "done")]);
        let event = seen.last().unwrap();
        assert_eq!(event["command"], done, "{event}");
        assert_eq!(event["instances"], instances, "{event}");
        assert_eq!(event["faults"], serde_json::json!([]), "{event}");
        assert!(event["lasted"].is_u64(), "{event}");
        until_it_is(line, || log().contains(line));
    }
    home.file("broken", "");
    home.fails(&["reload", "app"]);
    let seen = events.until(vec![("app", "done")]);
    let faults = &seen.last().unwrap()["faults"];
    let fault = faults[0].as_str().unwrap();
    assert!(fault.starts_with("app-0 has exited with code 7"), "{fault}");
    until_it_is("the fault is in the logs", || {
        log().contains("reload of app failed after ")
    });
}

/// What happened to an app, in its order.
fn of<'a>(events: &'a [Value], app: &str) -> Vec<&'a str> {
    let own = events.iter().filter(|event| event["app"] == app);
    own.map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn apps_are_followed_from_their_first_event_over_crashes_to_their_last() {
    let _turn = beside_others();
    let home = Home::new();
    // No app is there, not even the home folder.
    let events = Events::follow(&home, &["--json"]);
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "one"]);
    home.does(&["start", "job.sh", "-n", "two", "-i", "2"]);
    home.does(&["stop", "one"]);
    let seen = events.until(vec![
        ("one", "stopped"),
        ("two", "started"),
        ("two", "started"),
    ]);
    assert_eq!(of(&seen, "one"), ["started", "exited", "stopped"]);
    assert_eq!(of(&seen, "two"), ["started", "started"]);
    assert_eq!(seen[0]["namespace"], "default");
    assert!(seen[0]["pid"].is_number());
    let times: Vec<_> = seen.iter().map(|it| it["time"].as_str().unwrap()).collect();
    assert!(times.iter().all(|time| time.len() == 24), "{times:?}");

    let [.., last] = home.pids()[..] else {
        panic!("two has instances");
    };
    kill_process(Pid::from_raw(last).unwrap(), Signal::KILL).unwrap();
    let seen = events.until(vec![("two", "started")]);
    assert_eq!(seen[0]["signal"], 9);
    assert_eq!(seen[0]["instance"], 1);

    // What is told of one whose supervisor is killed ends; its successor is found.
    let supervisor = Pid::from_raw(home.supervisor("two")).unwrap();
    kill_process(supervisor, Signal::KILL).unwrap();
    home.does(&["start", "two"]);
    events.until(vec![("two", "took_over")]);
    home.does(&["delete", "two"]);
    let seen = events.until(vec![("two", "stopped")]);
    assert_eq!(of(&seen, "two"), ["exited", "exited", "stopped"]);
    // A new app of the same name has the same folder.
    home.does(&["start", "job.sh", "-n", "two"]);
    events.until(vec![("two", "started")]);
}

#[test]
fn each_event_is_a_line_with_time_app_and_sentence() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "a"]);
    home.does(&["start", "job.sh", "-n", "b", "-i", "2"]);
    let all = Events::follow(&home, &[]);
    let one = Events::follow(&home, &["2"]);
    home.does(&["restart", "all"]);
    home.does(&["stop", "all"]);
    let told = |events: &Events, apps: &[&str]| {
        let mut told = Vec::new();
        let mut left = apps.to_vec();
        while !left.is_empty() {
            let line = events.next();
            let (time, rest) = line.split_once(' ').unwrap();
            assert_eq!(time.len(), "2026-03-07T09:05:03".len(), "{line}");
            left.retain(|app| rest != format!("{app} | {app} has stopped"));
            told.push(rest.to_owned());
        }
        told
    };
    let all = told(&all, &["a", "b"]);
    for line in [
        "a | a-0 stopped on SIGINT",
        "b | b-1 stopped on SIGINT",
        "b | b has stopped",
    ] {
        assert!(all.iter().any(|it| it == line), "{line}: {all:?}");
    }
    let started = |line: &&String| line.starts_with("b | b-1 started (PID ");
    assert_eq!(all.iter().filter(started).count(), 1, "{all:?}");
    // Of one instance: its own, and what concerns the whole app.
    let one = told(&one, &["b"]);
    assert!(one.iter().any(|it| it.starts_with("b | b-1 ")), "{one:?}");
    let others = |line: &&String| line.starts_with("a |") || line.starts_with("b | b-0");
    assert_eq!(one.iter().filter(others).count(), 0, "{one:?}");
    let said = home.fails(&["events", "gone"]);
    assert!(said.contains("namespace gone"), "{said}");
}

#[test]
fn it_ends_with_its_reader_and_with_ctrl_c() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let ends = |child: &mut Child| {
        let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let ready = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)).unwrap();
        let status = child.try_wait().unwrap();
        let _ = child.kill();
        assert_eq!(ready, 1, "it goes on");
        status.unwrap()
    };
    // Nothing is written then.
    let (mut child, out) = spawned(&home, &[]);
    drop(out);
    assert_eq!(ends(&mut child).code(), Some(0));
    let (mut child, _out) = spawned(&home, &[]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = ends(&mut child);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2)
    );
}

/// More follow than may, and none of them reads: commands are answered as ever.
#[test]
fn followers_who_do_not_read_hold_up_nobody() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let stuck: Vec<_> = (0..16).map(|_| spawned(&home, &["--json"])).collect();
    for (child, _) in &stuck {
        kill_process(Pid::from_child(child), Signal::STOP).unwrap();
    }
    let mut refused = home.command(&["events"]);
    let mut refused = refused.stdout(Stdio::null()).stderr(Stdio::piped());
    refused = refused.stdin(Stdio::null());
    let mut refused = refused.spawn().unwrap();
    let errors = BufReader::new(refused.stderr.take().unwrap());
    let complaint = errors
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("not followed"));
    let complaint = complaint.unwrap();
    assert!(complaint.contains("as many as may follow"), "{complaint}");
    let _ = refused.kill();
    let _ = refused.wait();
    for _ in 0..3 {
        home.does(&["restart", "job"]);
    }
    home.does(&["delete", "job"]);
    for (mut child, _) in stuck {
        let _ = child.kill();
        let _ = child.wait();
    }
}
