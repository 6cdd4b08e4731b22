//! Commands to an app whose supervisor may have few files open, while clients take all that there
//! are.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Request, beside_others, children_of};
use crate::home::{Ended, Home, ended};
use crate::wait::until_it_is;

const APP: &str = "
require('http').createServer((_, answer) => setTimeout(() => {
    answer.setHeader('Connection', 'close');
    answer.end('served');
}, 20)).listen(process.env.PORT);
";

/// Starts the app with a limit for open files, which the supervisor cannot raise any further.
fn start(home: &Home, limit: u64, arguments: &[&str]) -> Ended {
    limited(home, limit, &[&["start", "app.js"], arguments].concat())
}

/// A command with a limit for open files.
fn limited(home: &Home, limit: u64, arguments: &[&str]) -> Ended {
    ended(from_shell(home, &format!("ulimit -n {limit}"), arguments))
}

/// A command that a shell starts after one of its own.
fn from_shell(home: &Home, before: &str, arguments: &[&str]) -> Command {
    let mut start = Command::new("sh");
    let maitred = home.command(arguments);
    start
        .args(["-c", &format!("{before}; exec \"$@\""), "sh"])
        .arg(maitred.get_program())
        .args(maitred.get_args())
        .current_dir(home.folder());
    for (name, value) in maitred.get_envs() {
        match value {
            Some(value) => start.env(name, value),
            None => start.env_remove(name),
        };
    }
    start
}

/// As many clients at a time.
const CLIENTS: usize = 150;

#[test]
fn commands_come_through_while_clients_take_all_descriptors() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", APP);
    let started = start(&home, 160, &["-i", "4", "--per", "request"]);
    assert_eq!(started.code, 0, "{started:?}");
    let served = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What a restart cuts is not counted here.
                    if Request::get(&home.door(), "/").is_ok() {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let end = Over(&over);
        while served.load(Ordering::Relaxed) < 2 * CLIENTS {
            thread::sleep(Duration::from_millis(5));
        }
        let statuses: Vec<_> = home.statuses().into_iter().map(|(_, it)| it).collect();
        assert_eq!(statuses, ["online"; 4]);
        let described = home.does(&["describe", "app"]);
        assert!(
            described.contains("160 (ulimit -n), which is low: raise it to 254"),
            "{described}"
        );
        for command in [
            &["restart", "app"][..],
            &["reload", "app"],
            &["scale", "app", "3"],
        ] {
            let before = served.load(Ordering::Relaxed);
            home.does(command);
            while served.load(Ordering::Relaxed) < before + CLIENTS {
                thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(home.pids().len(), 3);
        drop(end);
    });
    assert_eq!(Request::get(&home.door(), "/").unwrap().body, "served");
    home.does(&["delete", "app"]);
}

/// Lets the clients end, also when an expectation is broken.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// At each limit the app is served, and commands do their work, or tell the limit that it
/// takes.
#[test]
fn at_each_limit_the_app_is_served_or_start_says_which_one_it_needs() {
    let _turn = beside_others();
    for per in ["request", "connection"] {
        for (limit, instances) in [
            (48, "1"),
            (72, "1"),
            (72, "2"),
            (92, "2"),
            (72, "4"),
            (140, "4"),
        ] {
            let home = Home::new();
            home.file("app.js", APP);
            let started = start(&home, limit, &["-i", instances, "--per", per]);
            let case = format!("{limit} {instances} {per}");
            if started.code != 0 {
                let needed = least_limit(&started);
                assert!(needed > limit, "{case}: {started:?}");
                home.does(&["delete", "app"]);
                // And that is true.
                let again = start(&home, needed, &["-i", instances, "--per", per]);
                assert_eq!(again.code, 0, "{case}: {again:?}");
            }
            is_served_and_commanded(&home, &case);
            println!("{case}: started at once: {}", started.code == 0);
        }
    }
}

/// The limit that a command says it takes.
fn least_limit(refused: &Ended) -> u64 {
    let limit = refused.errors.split("a limit of at least ").nth(1);
    let limit = limit.and_then(|rest| rest.split(' ').next()?.parse().ok());
    limit.unwrap_or_else(|| panic!("{refused:?}"))
}

/// `start` and `run` reckon with what a supervisor holds. What `run` inherits stays open, for the app
/// may want it; `start` closes it.
#[test]
fn what_a_supervisor_holds_is_counted() {
    /// What it takes besides to start an instance, and for two clients.
    const FOR_A_MOMENT: u64 = 12 + 4;
    /// What a managed one takes to answer commands.
    const FOR_COMMANDS: u64 = 8;
    /// For each instance that gives connections back.
    const RETURNS: u64 = 3;
    /// Leaves two descriptors open.
    const INHERITED: &str = "exec 8</dev/null 9</dev/null";
    let _turn = beside_others();
    for (per, returns) in [("request", 0), ("connection", RETURNS)] {
        for (instances, inherited) in [(1, ":"), (3, ":"), (1, INHERITED)] {
            let home = Home::new();
            home.file("app.js", APP);
            let arguments = ["-i", &instances.to_string(), "--per", per];
            let not_held = FOR_A_MOMENT + returns * instances;
            let limited = |limit: u64, arguments: &[&str]| {
                let before = format!("{inherited}; ulimit -n {limit}");
                least_limit(&ended(from_shell(&home, &before, arguments)))
            };

            let arguments_of_run = [&["run", "app.js"][..], &arguments].concat();
            let counted = limited(40, &arguments_of_run) - not_held;
            let case = format!("run {per} {instances} {inherited}");
            let mut run = from_shell(&home, inherited, &arguments_of_run);
            let mut guard = run
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let supervisor = || children_of(guard.id() as i32).first().copied();
            holds(&case, supervisor, counted);
            kill_process(Pid::from_child(&guard), Signal::TERM).unwrap();
            assert!(guard.wait().unwrap().success(), "{case}");

            let arguments_of_start = [&["start", "app.js"][..], &arguments].concat();
            let counted = limited(60, &arguments_of_start) - not_held - FOR_COMMANDS;
            home.does(&["delete", "app"]);
            let started = ended(from_shell(&home, inherited, &arguments_of_start));
            assert_eq!(started.code, 0, "{started:?}");
            let supervisor = || Some(home.supervisor("app"));
            let case = format!("start {per} {instances} {inherited}");
            holds(&case, supervisor, counted);
            home.does(&["delete", "app"]);
        }
    }
}

/// Waits until a supervisor holds as many descriptors as were counted. Where requests are placed it is
/// one fewer; what has served the start is closed a moment later.
fn holds(case: &str, supervisor: impl Fn() -> Option<i32>, counted: u64) {
    until_it_is(case, || {
        let folder = supervisor().map(|pid| format!("/proc/{pid}/fd"));
        let held = folder.and_then(|folder| Some(fs::read_dir(folder).ok()?.count() as u64));
        held.is_some_and(|held| (counted - 1..=counted).contains(&held))
    });
}

fn is_served_and_commanded(home: &Home, case: &str) {
    let served = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let await_served = |more| {
        let before = served.load(Ordering::Relaxed);
        while served.load(Ordering::Relaxed) < before + more {
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::scope(|scope| {
        let end = Over(&over);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if Request::get(&home.door(), "/").is_ok() {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        await_served(CLIENTS);
        for (_, status) in home.statuses() {
            assert_eq!(status, "online", "{case}");
        }
        home.does(&["restart", "app"]);
        await_served(CLIENTS);
        reloads_or_says_what_it_needs(home, case);
        await_served(CLIENTS);
        scales_or_says_what_it_needs(home, case);
        await_served(CLIENTS);
        for instance in home.instances() {
            // What could not be started is no crash of the app's.
            let unstable = &instance["pm2_env"]["unstable_restarts"];
            assert_eq!(*unstable, 0, "{case}: {instance}");
        }
        home.does(&["delete", "app"]);
        drop(end);
    });
}

/// A reload runs two processes of an instance side by side. It replaces them all, or none.
fn reloads_or_says_what_it_needs(home: &Home, case: &str) {
    let before = home.pids();
    let reloaded = home.run(&["reload", "app"]);
    let stayed = home
        .pids()
        .iter()
        .filter(|pid| before.contains(pid))
        .count();
    if reloaded.code == 0 {
        assert_eq!(stayed, 0, "{case}");
    } else {
        let errors = &reloaded.errors;
        assert!(
            errors.contains("app is not reloaded: "),
            "{case}: {reloaded:?}"
        );
        assert!(
            errors.contains("a limit of at least "),
            "{case}: {reloaded:?}"
        );
        assert_eq!(stayed, before.len(), "{case}");
    }
    println!("{case}: reloaded: {}", reloaded.code == 0);
}

/// Adds instances until the limit is reached: then `scale` says which one it takes, and nothing has
/// changed. Those that are there can be taken away again.
fn scales_or_says_what_it_needs(home: &Home, case: &str) {
    let before = home.pids();
    for more in 1..4 {
        let wanted = (before.len() + more).to_string();
        let scaled = home.run(&["scale", "app", &wanted]);
        if scaled.code != 0 {
            assert!(
                scaled.errors.contains("app is not scaled: "),
                "{case}: {scaled:?}"
            );
            assert!(
                scaled.errors.contains("a limit of at least "),
                "{case}: {scaled:?}"
            );
            assert_eq!(home.pids().len(), before.len() + more - 1, "{case}");
            break;
        }
        assert_eq!(home.pids().len(), before.len() + more, "{case}");
    }
    if home.pids().len() > before.len() {
        home.does(&["scale", "app", &before.len().to_string()]);
    }
    assert_eq!(home.pids(), before, "{case}");
}
