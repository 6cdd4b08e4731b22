//! A supervisor that is killed comes back, with its app: nobody is refused meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, PATIENCE, Process, Request, beside_others, gone_within};
use crate::home::{Home, NODE_SERVER, parent_of};
use crate::wait::{until, until_it_is};

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Kills the supervisor of an app, and waits for the next one; it is a child of the same guard.
pub(crate) fn kill_supervisor(home: &Home, name: &str) -> i32 {
    let supervisor = home.supervisor(name);
    let guard = parent_of(supervisor);
    let killed = Process::find(supervisor).unwrap();
    send(supervisor, Signal::KILL);
    assert_eq!(gone_within(PATIENCE, &[killed]), []);
    // What comes back is waited for by each command.
    home.does(&["start", name]);
    let next = home.supervisor(name);
    assert_ne!(next, supervisor);
    assert_eq!(parent_of(next), guard);
    next
}

/// The temporary folder of a guard and its supervisor, in which they hold a lock.
fn runtime_folder_of(guard: i32) -> PathBuf {
    let open = fs::read_dir(format!("/proc/{guard}/fd")).unwrap();
    let files = open.filter_map(|it| fs::read_link(it.unwrap().path()).ok());
    let mut folders = files.filter_map(|file| Some(file.strip_prefix("/").ok()?.parent()?.into()));
    let folder: PathBuf = folders
        .find(|folder: &PathBuf| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.len() == 24 && name.starts_with("maitred-"))
        })
        .unwrap();
    Path::new("/").join(folder)
}

fn online(home: &Home) -> bool {
    home.statuses().iter().all(|(_, status)| status == "online")
}

/// How many requests a killed supervisor may have had in progress.
enum Loses {
    /// Workers have them, and go on.
    Nothing,
    /// The proxy had them.
    WhatItHad,
}

/// Each client opens a new connection for each request, and never tries again. Whoever comes while there is
/// no supervisor waits in the kernel's backlog.
fn nobody_is_refused(flags: &[&str], kills: usize, loses: &Loses) {
    const CLIENTS: usize = 4;
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&[&["start", "server.js", "-i", "2"], flags].concat());
    home.is_up("server", 2);
    let (door, workers) = (home.door(), home.pids());
    let over = AtomicBool::new(false);
    let (answered, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match Request::get(&door, "/") {
                        Ok(answer) => {
                            assert_eq!(answer.status, 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_ne!(error.kind(), ErrorKind::ConnectionRefused);
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        for _ in 0..kills {
            let before = answered.load(Ordering::Relaxed);
            kill_supervisor(&home, "server");
            // Some that came after that are answered.
            until_it_is("clients are answered", || {
                answered.load(Ordering::Relaxed) >= before + 100
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    let lost = lost.into_inner();
    let most = match loses {
        Loses::Nothing => 0,
        Loses::WhatItHad => CLIENTS * kills,
    };
    assert!(lost <= most, "{lost} lost in {kills} kills");
    assert_eq!(home.pids(), workers);
    let instances = home.instances();
    let restarts = instances.iter().map(|it| &it["pm2_env"]["restart_time"]);
    assert_eq!(restarts.collect::<Vec<_>>(), [0, 0]);
    assert!(online(&home));
    let logs = home.does(&["logs", "server", "--nostream"]);
    assert!(
        logs.contains("the supervisor was killed by SIGKILL"),
        "{logs}"
    );
    home.does(&["delete", "server"]);
    assert!(home.port_is_free());
}

#[test]
fn nobody_is_refused_while_a_supervisor_comes_back() {
    nobody_is_refused(&[], 4, &Loses::Nothing);
}

#[test]
fn nobody_is_refused_while_a_supervisor_with_a_proxy_comes_back() {
    nobody_is_refused(&["--per", "request"], 4, &Loses::WhatItHad);
}

/// In fork mode the app has its port itself. What it writes is kept, and what it does is seen, as before.
#[test]
fn what_shares_no_sockets_goes_on_too() {
    let _turn = beside_others();
    let home = Home::new();
    let says = "require('readline').createInterface(process.stdin).on('line', it => console.log('heard', it));";
    home.file("server.js", &[NODE_SERVER, says].concat());
    home.does(&["start", "server.js", "-x"]);
    home.is_up("server", 1);
    let workers = home.pids();
    for kill in 0..3 {
        kill_supervisor(&home, "server");
        Request::get(&home.door(), "/").unwrap();
        assert_eq!(home.pids(), workers);
        home.does(&["send", "0", &format!("word {kill}")]);
        until_it_is("it hears", || {
            let log = home.does(&["logs", "--nostream"]);
            log.contains(&format!("heard word {kill}"))
        });
    }
    send(workers[0], Signal::KILL);
    until_it_is("it is restarted", || {
        home.pids() != workers && online(&home)
    });
    home.is_up("server", 2);
    let restarts = &home.instances()[0]["pm2_env"]["restart_time"];
    assert_eq!(restarts, 1);
}

/// What was stopped stays so, and what waits for its schedule waits again.
#[test]
fn what_does_not_run_does_not_start_with_its_supervisor() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "2"]);
    home.does(&["stop", "1"]);
    let supervisor = Process::find(home.supervisor("job")).unwrap();
    send(supervisor.pid, Signal::KILL);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
    home.does(&["restart", "0"]);
    let statuses = [(0, "online".to_owned()), (1, "stopped".to_owned())];
    assert_eq!(home.statuses(), statuses);
}

/// The metrics endpoint and the control socket are there again, at their addresses.
#[test]
fn its_own_sockets_come_back_with_it() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = metrics.local_addr().unwrap();
    drop(metrics);
    home.does(&[
        "start",
        "server.js",
        "-i",
        "2",
        "--metrics",
        &address.to_string(),
    ]);
    for _ in 0..2 {
        kill_supervisor(&home, "server");
        // It is opened when the app is about to start.
        let answer = until("the endpoint answers", || {
            let stream = TcpStream::connect(address).ok()?;
            Request::over(stream, "/livez").ok()
        });
        assert_eq!(answer.status, 200);
    }
    home.does(&["delete", "server"]);
    assert!(std::net::TcpListener::bind(address).is_ok());
}

/// What nobody listens on any more is closed, though it was another supervisor that opened it.
#[test]
fn a_listener_that_is_not_wanted_any_more_is_closed() {
    let _turn = beside_others();
    let home = Home::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    drop(other);
    let two = format!(
        "{NODE_SERVER}require('http').createServer().listen({}, '127.0.0.1', () => console.log('two'));",
        address.port()
    );
    home.file("server.js", &two);
    home.does(&["start", "server.js", "-i", "1"]);
    TcpStream::connect(address).unwrap();
    home.file("server.js", NODE_SERVER);
    kill_supervisor(&home, "server");
    TcpStream::connect(address).unwrap();
    home.does(&["restart", "server"]);
    until_it_is("it is closed", || TcpStream::connect(address).is_err());
    Request::get(&home.door(), "/").unwrap();
}

/// The path of a Unix socket lies there still. Node would not listen at it.
#[test]
fn a_unix_socket_that_was_left_is_in_nobodys_way() {
    let _turn = beside_others();
    let home = Home::new();
    let path = home.folder().join("app.sock");
    let server = NODE_SERVER.replace("process.env.PORT", "process.env.SOCKET");
    home.file("server.js", &server);
    let app = |per: &str| {
        format!(
            r#"{{ "script": "server.js", "instances": 2, "per": "{per}", "env": {{ "SOCKET": "{}" }} }}"#,
            path.display()
        )
    };
    for per in ["connection", "request"] {
        home.file("app.json", &app(per));
        home.does(&["start", "app.json"]);
        for _ in 0..2 {
            kill_supervisor(&home, "server");
            let answer = Request::get(&Door::Unix(path.clone()), "/").unwrap();
            assert_eq!(answer.status, 200);
            let restarts = &home.instances()[0]["pm2_env"]["unstable_restarts"];
            assert_eq!(restarts, 0);
        }
        home.does(&["delete", "server"]);
        assert!(!path.exists());
    }
}

/// One that is killed before it can be asked is not brought back: who starts the app hears of it. However
/// far it has come, the command ends.
#[test]
fn a_start_whose_supervisor_is_killed_ends() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    for _ in 0..5 {
        let mut start = home.command(&["start", "job.sh"]);
        start.stdout(Stdio::null()).stderr(Stdio::null());
        let mut start = start.spawn().unwrap();
        let supervisor = until("a supervisor starts", || {
            let mut all = home.processes().into_iter();
            all.find(|it| {
                let parent = Process::find(parent_of(it.pid));
                let is_its = |it: &Process| it.command.starts_with("maitred supervise");
                is_its(it) && parent.is_some_and(|parent| is_its(&parent))
            })
        });
        // It may have ended in the meantime.
        let _ = kill_process(Pid::from_raw(supervisor.pid).unwrap(), Signal::KILL);
        until_it_is("the start ends", || start.try_wait().unwrap().is_some());
        home.does(&["start", "job.sh", "-f"]);
        assert!(online(&home));
        home.does(&["delete", "all"]);
    }
}

/// While the guard waits before it starts another supervisor, commands wait for that one; and the guard
/// itself can be asked to end.
#[test]
fn commands_wait_for_one_that_is_killed_again_and_again() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    for _ in 0..4 {
        kill_supervisor(&home, "job");
    }
    // The next pause is 0.8 seconds.
    let kill = || {
        let supervisor = Process::find(home.supervisor("job")).unwrap();
        let guard = parent_of(supervisor.pid);
        send(supervisor.pid, Signal::KILL);
        assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
        Process::find(guard).unwrap()
    };
    kill();
    home.does(&["stop", "job"]);
    assert_eq!(home.statuses(), [(0, "stopped".to_owned())]);
    home.does(&["start", "job"]);
    for _ in 0..4 {
        kill_supervisor(&home, "job");
    }
    let worker = Process::find(home.pids()[0]).unwrap();
    let guard = kill();
    let runtime = runtime_folder_of(guard.pid);
    assert!(runtime.exists());
    assert!(worker.is_alive());
    send(guard.pid, Signal::TERM);
    assert_eq!(gone_within(PATIENCE, &[guard, worker]), []);
    assert!(!runtime.exists());
    assert_eq!(home.statuses(), [(0, "crashed".to_owned())]);
}

/// On an overloaded machine the next supervisor comes late. The guard has the control socket of the killed one open, too,
/// so that socket still takes questions, and nobody answers them.
#[test]
fn commands_wait_for_one_that_comes_late() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let supervisor = Process::find(home.supervisor("job")).unwrap();
    let guard = parent_of(supervisor.pid);
    send(guard, Signal::STOP);
    send(supervisor.pid, Signal::KILL);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
    // One that hangs would be called "unknown", after five seconds.
    assert_eq!(home.statuses(), [(0, "launching".to_owned())]);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| home.does(&["stop", "job"]));
        send(guard, Signal::CONT);
        stop.join().unwrap();
    });
    assert_eq!(home.statuses(), [(0, "stopped".to_owned())]);
}

/// Counters go on where the killed supervisor has told them last, and what restarts does not take
/// processor time away.
#[test]
fn counters_never_go_back() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", NODE_SERVER);
    home.does(&["start", "app.js", "-i", "2"]);
    let counters = || -> BTreeMap<String, f64> {
        let text = home.does(&["metrics"]);
        let growing = |name: &str| {
            let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            let kinds = types.filter_map(|line| line.split_once(' '));
            let mut growing = kinds.filter(|(_, kind)| ["counter", "histogram"].contains(kind));
            growing.any(|(family, _)| {
                name.strip_prefix(family)
                    .is_some_and(|rest| ["_total", "_sum", "_count", "_bucket"].contains(&rest))
            })
        };
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        let samples = samples.filter(|(key, _)| growing(key.split('{').next().unwrap()));
        let counters = samples.map(|(key, value)| (key.to_owned(), value.parse().unwrap()));
        counters.collect()
    };
    let served = |all: &BTreeMap<String, f64>| -> f64 {
        let accepted = all
            .iter()
            .filter(|(key, _)| key.starts_with("maitred_connections_total{"));
        accepted.map(|(_, value)| value).sum()
    };
    let mut asked = 0.0;
    let mut before = counters();
    for what in ["restart", "kill", "reload", "kill", "scale"] {
        for _ in 0..20 {
            assert_eq!(Request::get(&home.door(), "/").unwrap().status, 200);
            asked += 1.0;
        }
        let told = counters();
        assert_eq!(served(&told), asked, "{what}");
        match what {
            "kill" => {
                kill_supervisor(&home, "app");
                until_it_is("it is back", || online(&home));
            }
            "scale" => {
                home.does(&["scale", "app", "1"]);
                home.does(&["scale", "app", "3"]);
            }
            command => {
                home.does(&[command, "app"]);
            }
        }
        let now = counters();
        for (name, value) in before.iter().chain(&told) {
            let after = now.get(name);
            assert!(
                after.is_some_and(|after| after >= value),
                "{what}: {name} {value} {after:?}"
            );
        }
        before = now;
    }
    // A supervisor that was started, and not in the place of one that was killed, begins anew.
    home.does(&["stop", "app"]);
    home.does(&["start", "app"]);
    assert_eq!(served(&counters()), 0.0);
}
