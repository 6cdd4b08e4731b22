//! Reload: the app serves on, and goes on as it was when the new one is no good.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Door, PATIENCE, Process, Request, beside_others, gone_within, read_some, repository,
};
use crate::home::Home;

/// A server that says nothing wrong until a file is there.
const FRAGILE: &str = "
const fs = require('fs');
if (fs.existsSync('broken')) throw new Error('no good');
const server = require('http').createServer((_, answer) => {
    answer.setHeader('Connection', 'close');
    answer.end(String(process.pid));
});
if (!fs.existsSync('mute')) server.listen(process.env.PORT, () => console.log('up'));
setInterval(() => {}, 1000);
";

#[test]
fn every_instance_is_replaced_and_the_port_stays_open() {
    let _turn = beside_others();
    let home = Home::new();
    let script = repository().join("examples/bun-serve/server.ts");
    home.does(&["start", script.to_str().unwrap(), "-i", "2"]);
    let pids = home.pids();
    let before: Vec<_> = pids
        .iter()
        .map(|pid| Process::find(*pid).unwrap())
        .collect();
    home.does(&["reload", "all"]);
    let after = home.pids();
    assert!(after.iter().all(|pid| !pids.contains(pid)), "{after:?}");
    assert_eq!(gone_within(PATIENCE, &before), []);
    let ids: Vec<_> = home.statuses().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [0, 1]);
    for _ in 0..10 {
        Request::get(&home.door(), "/api?ms=0").unwrap();
    }
}

#[test]
fn one_that_fails_at_boot_leaves_the_old_one() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", FRAGILE);
    home.does(&["start", "server.js", "-i", "2"]);
    home.is_up("server", 2);
    let before = home.pids();
    fs::write(home.folder().join("broken"), "").unwrap();
    let said = home.fails(&["reload", "server"]);
    assert!(said.contains("exited with code 1"), "{said}");
    assert_eq!(home.pids(), before);
    Request::get(&home.door(), "/").unwrap();
    fs::remove_file(home.folder().join("broken")).unwrap();
    home.does(&["reload", "server"]);
    assert!(home.pids().iter().all(|pid| !before.contains(pid)));
}

#[test]
fn one_that_does_not_listen_in_time_leaves_the_old_one() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", FRAGILE);
    home.does(&["start", "server.js", "-i", "1", "--listen-timeout", "5000"]);
    home.is_up("server", 1);
    let before = home.pids();
    fs::write(home.folder().join("mute"), "").unwrap();
    let said = home.fails(&["reload", "server"]);
    assert!(said.contains("listen_timeout"), "{said}");
    assert_eq!(home.pids(), before);
    Request::get(&home.door(), "/").unwrap();
}

#[test]
fn without_a_shared_socket_the_old_one_goes_first() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", FRAGILE);
    home.does(&["start", "server.js"]);
    let before = home.pids();
    home.does(&["reload", "server"]);
    assert_ne!(home.pids(), before);
    assert!(Process::find(before[0]).is_none());
    assert_eq!(home.statuses(), [(0, "online".to_owned())]);
}

#[test]
fn ready_and_shutdown_are_said_over_nodes_channel() {
    let _turn = beside_others();
    let home = Home::new();
    let script = "
        const server = require('http').createServer((_, answer) => answer.end('.'));
        server.listen(process.env.PORT, () => process.send('ready'));
        process.on('message', (message) => {
            require('fs').appendFileSync('told', message + '\\n');
            process.exit(0);
        });
        process.on('SIGINT', () => {});
    ";
    home.file("server.js", script);
    let args = [
        "start",
        "server.js",
        "-i",
        "1",
        "--wait-ready",
        "-k",
        "30000",
    ];
    home.does(&[&args[..], &["--shutdown-with-message"]].concat());
    assert_eq!(home.statuses(), [(0, "online".to_owned())]);
    home.does(&["reload", "server"]);
    home.does(&["stop", "server"]);
    let told = fs::read_to_string(home.folder().join("told")).unwrap();
    assert_eq!(told, "shutdown\nshutdown\n");
}

#[test]
fn who_does_not_say_that_it_is_ready_is_not_up() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "job.js",
        "if (!require('fs').existsSync('mute')) process.send('ready');\n\
         setInterval(() => {}, 1000);\n",
    );
    home.does(&["start", "job.js", "-i", "1", "--wait-ready"]);
    let before = home.pids();
    fs::write(home.folder().join("mute"), "").unwrap();
    // Only who is never ready is waited for so briefly.
    let app = r#"{"script": "job.js", "instances": 1, "wait_ready": true, "listen_timeout": 1500}"#;
    home.file("app.json", app);
    let said = home.fails(&["reload", "app.json"]);
    assert!(said.contains("listen_timeout"), "{said}");
    assert_eq!(home.pids(), before);
}

/// A server that crashes when it has listened for a second, if a file is there when it starts; another
/// file keeps instance 1 from listening.
const LATE: &str = "
const fs = require('fs');
const { NODE_APP_INSTANCE: number, PORT: port } = process.env;
const server = require('http').createServer((_, answer) => {
    answer.setHeader('Connection', 'close');
    answer.end(String(process.pid));
});
if (number !== '1' || !fs.existsSync('mute')) server.listen(port, () => console.log('up'));
if (fs.existsSync('late')) setTimeout(() => { throw new Error('too late'); }, 1000);
setInterval(() => {}, 1000);
";

/// A build that crashes a second after it listens takes nothing down: the old processes serve on, and
/// the message tells what happened.
#[test]
fn one_that_crashes_after_it_listens_leaves_the_old_ones() {
    let _turn = beside_others();
    for (per, instances) in [("connection", 1), ("connection", 3), ("request", 3)] {
        let home = Home::new();
        home.file("server.js", LATE);
        let count = instances.to_string();
        home.does(&["start", "server.js", "-i", &count, "--per", per]);
        home.is_up("server", instances);
        let before = home.pids();
        fs::write(home.folder().join("late"), "").unwrap();
        let Door::Tcp(address) = home.door() else {
            panic!("not a TCP app");
        };
        let over = AtomicBool::new(false);
        let said = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What the process had read when it crashed is lost, but no client is refused.
                    let mut stream = TcpStream::connect(address).unwrap();
                    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let _ = asked.and_then(|()| read_some(&mut stream, &mut [0; 4096]));
                }
            });
            let reload = home.run(&["reload", "server"]);
            over.store(true, Ordering::Relaxed);
            assert_eq!(reload.code, 1, "{reload:?}");
            reload.errors
        });
        assert!(
            said.contains("server-0 was up for ") && said.contains(" and has exited with code 1"),
            "{said}"
        );
        assert!(said.contains("keeping the previous one"), "{said}");
        assert_eq!(home.pids(), before, "{per}, {instances}");
        Request::get(&home.door(), "/").unwrap();
        // The next build is good.
        fs::remove_file(home.folder().join("late")).unwrap();
        home.does(&["reload", "server"]);
        assert!(home.pids().iter().all(|pid| !before.contains(pid)));
    }
}

/// One that was replaced already ends while the others have their turn: those that are left stay as
/// they are.
#[test]
fn a_reload_ends_when_one_that_it_has_replaced_does() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", LATE);
    let start = ["start", "server.js", "-i", "3", "--min-uptime", "100"];
    home.does(&[&start[..], &["--listen-timeout", "8000"]].concat());
    home.is_up("server", 3);
    let before = home.pids();
    fs::write(home.folder().join("mute"), "").unwrap();
    let said = thread::scope(|scope| {
        let reload = scope.spawn(|| home.fails(&["reload", "server"]));
        let first = loop {
            let first = home.pids()[0];
            if first != before[0] {
                break first;
            }
        };
        kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
        reload.join().unwrap()
    });
    assert!(
        said.contains("server-0 was killed by SIGKILL after "),
        "{said}"
    );
    assert!(said.contains("server-2 is not reloaded"), "{said}");
    assert_eq!(home.pids()[1..], before[1..]);
}

/// Each request takes a moment, and its process ends at once when it is asked to.
const UNPREPARED: &str = "
require('http').createServer((_, answer) => {
    setTimeout(() => answer.end(String(process.pid)), 20);
}).listen(process.env.PORT, () => console.log('up'));
";

/// Where each request is placed by itself, none is lost by a reload: clients keep their
/// connections, and an old process is asked to end when it has answered.
#[test]
fn no_request_is_lost_where_requests_are_placed() {
    const CLIENTS: usize = 8;
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", UNPREPARED);
    let start = ["start", "server.js", "-i", "2", "--per", "request"];
    home.does(&[&start[..], &["-k", "30000"]].concat());
    home.is_up("server", 2);
    let Door::Tcp(address) = home.door() else {
        panic!("not a TCP app");
    };
    let over = Arc::new(AtomicBool::new(false));
    let (told, answers) = channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (over, told) = (Arc::clone(&over), told.clone());
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut pids = BTreeSet::new();
                let mut bytes = [0; 4096];
                while !over.load(Ordering::Relaxed) {
                    let ask = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(ask).unwrap();
                    let len = read_some(&mut stream, &mut bytes).unwrap();
                    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
                    pids.insert(text.lines().last().unwrap().to_owned());
                    told.send(client).unwrap();
                }
                pids
            })
        })
        .collect();
    for _ in 0..3 {
        home.does(&["reload", "server"]);
        // Each is answered by those that are new.
        answers.try_iter().for_each(drop);
        let mut seen = BTreeSet::new();
        while seen.len() < CLIENTS {
            seen.insert(answers.recv().unwrap());
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().unwrap().len() > 2);
    }
}
