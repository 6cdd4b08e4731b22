//! Another version of maitred goes on under apps that run.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::brought_back::kill_supervisor;
use crate::harness::place::maitred;
use crate::harness::{PATIENCE, Process, Request, beside_others, free_port, gone_within};
use crate::home::{Ended, Home, NODE_SERVER, ended, parent_of};
use crate::metrics::{opens, scrape, sum};
use crate::wait::until_it_is;

/// Has the supervisor make way for any program; what it answers.
fn make_way(home: &Home, name: &str, program: &Path) -> String {
    let path = home.path().join("apps").join(name).join("control");
    let mut socket = UnixStream::connect(path).unwrap();
    let request = json!({ "do": "update", "program": program });
    socket.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// A copy of maitred that takes itself for another version.
fn other_version(home: &Home) -> (PathBuf, String) {
    let own = env!("CARGO_PKG_VERSION");
    let other = format!("{}9", &own[..own.len() - 1]);
    assert_ne!(own, other);
    let mut program = fs::read(maitred()).unwrap();
    // Others have this version, too: they only tell it.
    let mut at = 0;
    while let Some(text) = program.get_mut(at..at + own.len()) {
        if text == own.as_bytes() {
            text.copy_from_slice(other.as_bytes());
        }
        at += 1;
    }
    let path = home.folder().join("other-maitred");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (path, other)
}

/// A command of another program.
fn run_by(program: &Path, home: &Home, args: &[&str]) -> Ended {
    let usual = home.command(args);
    let mut command = std::process::Command::new(program);
    command.args(usual.get_args());
    command.current_dir(home.folder());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null());
    ended(command)
}

/// Starts a server with two instances, whose metrics are at this port.
fn serves(home: &Home, metrics: u16) {
    let port = metrics.to_string();
    home.does(&["start", "server.js", "-i", "2", "--metrics", &port]);
}

/// The processes, the guard and the counts of restarts stay.
struct Before {
    guard: i32,
    pids: Vec<i32>,
    restarts: Vec<Value>,
}

fn restarts(home: &Home) -> Vec<Value> {
    let instances = home.instances();
    let restarts = instances
        .iter()
        .map(|it| it["pm2_env"]["restart_time"].clone());
    restarts.collect()
}

impl Before {
    fn of(home: &Home, name: &str) -> Self {
        Self {
            guard: parent_of(home.supervisor(name)),
            pids: home.pids(),
            restarts: restarts(home),
        }
    }

    fn is_so(&self, home: &Home, name: &str) {
        assert_eq!(parent_of(home.supervisor(name)), self.guard);
        assert_eq!(home.pids(), self.pids);
        assert_eq!(restarts(home), self.restarts);
    }
}

/// Whatever is to follow and cannot, nothing changes, and the answer says why.
#[test]
fn what_cannot_follow_changes_nothing() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let metrics = free_port();
    serves(&home, metrics);
    home.is_up("server", 2);
    let before = Before::of(&home, "server");
    let supervisor = home.supervisor("server");
    let programs = [
        ("missing", None, "No such file"),
        ("/", None, "Permission denied"),
        ("fails.sh", Some("exit 3"), "exited with code 3"),
        ("says.sh", Some("echo 'no, thanks'; exit 1"), "no, thanks"),
        ("silent.sh", Some("exit 0"), "exited with code 0"),
        ("crashes.sh", Some("kill -SEGV $$"), "was killed by SIGSEGV"),
        (
            "hangs.sh",
            Some("exec sleep 1000"),
            "did not say within 10 s whether it can take over",
        ),
        // It leaves something behind that has its output.
        ("leaves.sh", Some("sleep 20 & exit 4"), "exited with code 4"),
        // It could, but cannot be executed any more when it is its turn.
        (
            "goes.sh",
            Some("rm \"$0\"; echo can follow"),
            "goes.sh: No such file",
        ),
        ("text", Some("\0"), "Exec format error"),
    ];
    for (name, text, reason) in programs {
        let program = match text {
            Some("\0") => home.file(name, "no program"),
            Some(text) => home.file(name, &format!("#!/bin/sh\n{text}\n")),
            None => home.folder().join(name),
        };
        let answer = make_way(&home, "server", &program);
        assert!(answer.contains("not updated: "), "{name}: {answer}");
        assert!(answer.contains(reason), "{name}: {answer}");
        assert_eq!(home.supervisor("server"), supervisor, "{name}");
        before.is_so(&home, "server");
        opens(metrics);
        Request::get(&home.door(), "/").unwrap();
    }
    // It does all that it did, and makes way for one that can follow.
    home.does(&["reload", "server"]);
    let before = Before::of(&home, "server");
    home.does(&["update", "server"]);
    assert_ne!(home.supervisor("server"), supervisor);
    before.is_so(&home, "server");
    let log = fs::read_to_string(home.path().join("apps/server/supervisor.log")).unwrap();
    let refused = log.matches("could not update maitred under server").count();
    assert_eq!(refused, programs.len(), "{log}");
}

/// A program that says that it can, and fails when it is its turn, ends the app as a guard that is killed does:
/// nothing of it is left, and it can be started again.
#[test]
fn what_fails_when_it_is_its_turn_ends_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2"]);
    home.is_up("server", 2);
    let lies = "#!/bin/sh\ncase \"$3\" in --try) echo can follow ;; *) exit 1 ;; esac\n";
    let program = home.file("lies.sh", lies);
    let all = home.processes();
    make_way(&home, "server", &program);
    assert_eq!(gone_within(PATIENCE, &all), []);
    let statuses = home.statuses().into_iter().map(|(_, status)| status);
    assert_eq!(statuses.collect::<Vec<_>>(), ["crashed"; 2]);
    home.does(&["start", "server"]);
    Request::get(&home.door(), "/").unwrap();
}

/// What was begun, what was counted and what is seen of processes goes on, as if nothing had happened.
#[test]
fn everything_goes_on() {
    let _turn = beside_others();
    let home = Home::new();
    let talks = "
process.stdout.write('half a ');
process.on('message', () => {});
require('readline').createInterface(process.stdin).on('line', it => console.log('line,', it));
process.on('SIGUSR2', () => process.exit(5));
";
    home.file("server.js", &[NODE_SERVER, talks].concat());
    home.file("alone.js", "setInterval(() => console.log('tick'), 50);");
    home.file("job.sh", "exec sleep 1000\n");
    let metrics = free_port();
    serves(&home, metrics);
    home.does(&["start", "alone.js", "-x"]);
    home.does(&["start", "job.sh", "-i", "2"]);
    home.does(&["stop", "4"]);
    for _ in 0..10 {
        Request::get(&home.door(), "/").unwrap();
    }
    let counted = |metrics| sum(&scrape(metrics), "maitred_connections_total", &[]);
    opens(metrics);
    let before = Before::of(&home, "server");
    let connections = counted(metrics);
    for number in 0..3 {
        home.does(&["update"]);
        before.is_so(&home, "server");
        opens(metrics);
        assert_eq!(counted(metrics), connections, "after update {number}");
        let statuses = home.statuses();
        assert_eq!(statuses[4].1, "stopped", "{statuses:?}");
    }
    home.does(&["send", "0", "after it"]);
    until_it_is("the line is whole", || {
        let log = fs::read_to_string(home.log("server-out-0.log")).unwrap();
        log.contains("half a up\nline, after it\n") || log.contains("up\nhalf a line, after it\n")
    });
    // One that ends is restarted, and how it ended is known.
    home.does(&["sendSignal", "SIGUSR2", "1"]);
    until_it_is("it is restarted", || restarts(&home)[1] == 1);
    let described = home.does(&["describe", "1"]);
    assert!(described.contains("code 5"), "{described}");
    // The guard hears of nothing by a signal alone.
    let guard = before.guard;
    kill_process(Pid::from_raw(guard).unwrap(), Signal::CONT).unwrap();
    kill_supervisor(&home, "server");
    assert_eq!(parent_of(home.supervisor("server")), guard);
    let all = home.processes();
    home.does(&["delete", "all"]);
    assert_eq!(gone_within(PATIENCE, &all), []);
    assert!(home.port_is_free());
}

/// `ls` names apps under another version; after an update there are none. Each way works.
#[test]
fn other_versions_follow_each_other() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2"]);
    home.is_up("server", 2);
    let (other, version) = other_version(&home);
    let own = env!("CARGO_PKG_VERSION");
    let before = Before::of(&home, "server");
    let hint = |under: &str, this: &str| {
        format!("server runs under maitred {under}, this is {this}: `maitred update` updates it")
    };
    let list = run_by(&other, &home, &["ls"]).output;
    assert!(list.contains(&hint(own, &version)), "{list}");
    let program = |home: &Home| {
        let supervisor = home.supervisor("server");
        let program = fs::read_link(format!("/proc/{supervisor}/exe")).unwrap();
        program.file_name().unwrap().to_owned()
    };
    for _ in 0..2 {
        let updated = run_by(&other, &home, &["update", "server"]);
        assert_eq!(updated.code, 0, "{updated:?}");
        assert!(
            !updated.output.contains("`maitred update` updates it"),
            "{updated:?}"
        );
        let says = format!("server: runs under maitred {version}");
        assert!(updated.errors.contains(&says), "{updated:?}");
        assert_eq!(program(&home), "other-maitred");
        let list = home.does(&["ls"]);
        assert!(list.contains(&hint(&version, own)), "{list}");
        home.does(&["update", "all"]);
        assert!(!home.does(&["ls"]).contains("`maitred update` updates it"));
        before.is_so(&home, "server");
        // Who is started from now on is served by what follows, too.
        home.does(&["scale", "server", "3"]);
        home.does(&["scale", "server", "2"]);
        Request::get(&home.door(), "/").unwrap();
    }
}

/// What is under way comes first, and what does not run needs no update.
#[test]
fn an_update_waits_for_what_is_under_way() {
    let _turn = beside_others();
    let home = Home::new();
    assert!(home.run(&["update"]).errors.contains("nothing to update"));
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "3"]);
    home.is_up("server", 3);
    let first = home.pids();
    let supervisor = home.supervisor("server");
    let mut reload = home.command(&["reload", "server"]).spawn().unwrap();
    until_it_is("it has begun", || {
        let log = fs::read_to_string(home.path().join("apps/server/supervisor.log")).unwrap();
        log.contains("reloading") || home.pids() != first
    });
    home.does(&["update", "server"]);
    assert!(reload.wait().unwrap().success());
    assert_ne!(home.supervisor("server"), supervisor);
    assert!(!home.pids().iter().any(|pid| first.contains(pid)));
    let guard = Process::find(parent_of(home.supervisor("server"))).unwrap();
    home.does(&["stop", "server"]);
    assert_eq!(gone_within(PATIENCE, &[guard]), []);
    let refused = home.fails(&["update", "server"]);
    assert!(refused.contains("server: it is not running"), "{refused}");
    home.does(&["update", "all"]);
}
