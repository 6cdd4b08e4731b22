//! One way to end for workers, whatever calls for it and at both levels: what is in progress comes to
//! its end, and what is not is in nobody's way.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::harness::{Door, PATIENCE, Process, beside_others, gone_within};
use crate::home::Home;
use crate::wait::{until, until_it_is};

/// A server without any signal handler. `/held` is answered when there is a file `go`; an upgraded
/// connection echoes.
const SERVER: &str = "
const { existsSync } = require('fs');
const server = require('http').createServer((q, s) => {
    if (q.url !== '/held') return s.end('done');
    const timer = setInterval(() => {
        if (existsSync('go')) { clearInterval(timer); s.end('done'); }
    }, 10);
});
server.on('upgrade', (q, c) => {
    c.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n');
    c.pipe(c);
});
server.listen(process.env.PORT, () => console.log('up'));
";

const LEVELS: [&str; 2] = ["connection", "request"];

/// What ends workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Stop,
    Delete,
    Kill,
    Sigterm,
    Restart,
    Cron,
    Watch,
    Reload,
    Scale,
}

impl Cause {
    const ALL: [Self; 9] = [
        Self::Stop,
        Self::Delete,
        Self::Kill,
        Self::Sigterm,
        Self::Restart,
        Self::Cron,
        Self::Watch,
        Self::Reload,
        Self::Scale,
    ];

    /// Whether the app is no more after it.
    fn is_the_end(self) -> bool {
        matches!(self, Self::Stop | Self::Delete | Self::Kill | Self::Sigterm)
    }

    /// Whether connections of which nothing is known outlive it, for a while.
    fn spares_opaque(self) -> bool {
        matches!(self, Self::Cron | Self::Watch | Self::Reload | Self::Scale)
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Cron => &["-i", "1", "--cron-restart", "* * * * * *"],
            Self::Watch => &[
                "-i",
                "1",
                "--watch",
                "--watch-delay",
                "20ms",
                "--ignore-watch",
                "go",
            ],
            Self::Scale => &["-i", "2"],
            _ => &["-i", "1"],
        }
    }

    /// Sets about it; the command that is to come to its end.
    fn begin(self, home: &Home) -> Option<Child> {
        let words: &[&str] = match self {
            Self::Stop => &["stop", "app"],
            Self::Delete => &["delete", "app"],
            Self::Kill => &["kill"],
            Self::Restart => &["restart", "app"],
            Self::Reload => &["reload", "app"],
            Self::Scale => &["scale", "app", "1"],
            Self::Sigterm => {
                terminate(home);
                return None;
            }
            Self::Cron => return None,
            Self::Watch => {
                home.file("app.cjs", &format!("{SERVER} // changed"));
                return None;
            }
        };
        Some(spawn(home.command(words)))
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn terminate(home: &Home) {
    let pid = Pid::from_raw(home.supervisor("app")).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

fn address(home: &Home) -> SocketAddr {
    match home.door() {
        Door::Tcp(address) => address,
        Door::Unix(_) => panic!("a TCP port"),
    }
}

/// An app that would wait for an hour. It is deleted beforehand, if it is there.
fn start(home: &Home, level: &str, flags: &[&str]) -> Vec<Process> {
    home.file("app.cjs", SERVER);
    let _ = fs::remove_file(home.folder().join("go"));
    let words = ["start", "app.cjs", "--drain-timeout", "1h", "--per", level];
    home.does(&[&words, flags].concat());
    let pids = home.pids();
    pids.iter()
        .map(|pid| Process::find(*pid).unwrap())
        .collect()
}

/// A connection on which the worker holds an answer back.
fn held(address: SocketAddr) -> Client {
    let mut client = Client::new(address).unwrap();
    client.send("/held", b"").unwrap();
    client
}

fn upgraded(address: SocketAddr) -> Client {
    let mut client = Client::new(address).unwrap();
    client
        .write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .unwrap();
    assert_eq!(client.line().unwrap(), "http/1.1 101 switching protocols");
    while !client.line().unwrap().is_empty() {}
    client
}

fn echoes(client: &mut Client) -> bool {
    client.write(b"hello\r\n").is_ok() && client.line().is_ok_and(|line| line == "hello")
}

/// Waits until nobody listens at the port any more.
fn is_refused(address: SocketAddr) {
    until_it_is("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
}

/// Waits until the workers have successors.
fn are_replaced(home: &Home, before: &[Process]) {
    let stays = |pid: &i32| *pid == 0 || before.iter().any(|it| it.pid == *pid);
    until_it_is("all are replaced", || !home.pids().iter().any(stays));
}

#[test]
fn what_is_in_progress_ends_well_and_nothing_else_is_waited_for() {
    let _turn = beside_others();
    for level in LEVELS {
        for cause in Cause::ALL {
            let home = Home::new();
            let address = address(&home);
            let before = start(&home, level, cause.flags());
            let case = format!("{cause:?}, per {level}");
            let mut idle = Client::new(address).unwrap();
            idle.receives(b"done", "/");
            let mut opaque = upgraded(address);
            assert!(echoes(&mut opaque), "{case}");
            let mut held = held(address);
            // The worker has surely read its head.
            idle.receives(b"done", "/");
            let command = cause.begin(&home);

            let mut newcomer = None;
            match cause {
                _ if cause.is_the_end() => is_refused(address),
                Cause::Restart => {
                    let mut client = Client::new(address).unwrap();
                    client.send("/", b"").unwrap();
                    newcomer = Some(client);
                }
                Cause::Scale => idle.receives(b"done", "/"),
                _ => are_replaced(&home, &before),
            }
            home.file("go", "");
            held.receive(b"done")
                .unwrap_or_else(|error| panic!("{case}: in progress: {error}"));
            if let Some(mut client) = newcomer {
                let waited = client.receive(b"done");
                waited.unwrap_or_else(|error| panic!("{case}: a newcomer: {error}"));
            }
            if cause.is_the_end() {
                assert!(idle.line().is_err(), "{case}: an idle one is closed");
            } else {
                idle.receives(b"done", "/");
            }
            if cause.spares_opaque() {
                assert!(echoes(&mut opaque), "{case}: opaque");
                drop((opaque, held));
            }
            if let Some(mut command) = command {
                assert!(command.wait().unwrap().success(), "{case}");
            }
            if cause != Cause::Scale {
                assert_eq!(gone_within(PATIENCE, &before), [], "{case}");
            }
        }
    }
}

/// Who does not want to wait says so again.
#[test]
fn a_second_command_does_not_wait_for_what_is_in_progress() {
    let _turn = beside_others();
    let sequences: [&[&str]; 5] = [
        &["stop", "stop"],
        &["stop", "delete"],
        &["restart", "restart"],
        // Another command goes on with the drain, and then the same one cuts it short.
        &["restart", "stop", "stop"],
        &["reload", "stop", "stop"],
    ];
    for level in LEVELS {
        for sequence in sequences {
            let case = format!("{sequence:?}, per {level}");
            let home = Home::new();
            let before = start(&home, level, &["-i", "1"]);
            let mut held = held(address(&home));
            let mut other = Client::new(address(&home)).unwrap();
            other.receives(b"done", "/");
            let mut commands = Vec::new();
            for word in sequence {
                let mut command = spawn(home.command(&[word, "app"]));
                if *word == "reload" {
                    assert!(command.wait().unwrap().success(), "{case}");
                }
                // The next one comes when this one has begun.
                let begun = || home.statuses().iter().all(|(_, status)| status != "online");
                until_it_is("it has begun", || {
                    *word == "reload" || !before.iter().all(Process::is_alive) || begun()
                });
                commands.push(command);
            }
            assert!(commands.pop().unwrap().wait().unwrap().success(), "{case}");
            assert_eq!(gone_within(PATIENCE, &before), [], "{case}");
            assert!(held.receive(b"done").is_err(), "{case}: it is cut");
            for mut command in commands {
                let _ = command.wait();
            }
        }
    }
}

/// The first signal waits, the second does not. Signals that follow each other closely are one: the
/// terminal's and the guard's.
#[test]
fn a_second_signal_does_not_wait_for_what_is_in_progress() {
    let _turn = beside_others();
    for level in LEVELS {
        let home = Home::new();
        let before = start(&home, level, &["-i", "1"]);
        let mut held = held(address(&home));
        let mut other = Client::new(address(&home)).unwrap();
        other.receives(b"done", "/");
        let supervisor = Process::find(home.supervisor("app")).unwrap();
        terminate(&home);
        is_refused(address(&home));
        assert!(before.iter().all(Process::is_alive));
        until_it_is("the supervisor has ended", || {
            let pid = Pid::from_raw(supervisor.pid).unwrap();
            let _ = kill_process(pid, Signal::TERM);
            !supervisor.is_alive()
        });
        assert_eq!(gone_within(PATIENCE, &before), []);
        assert!(held.receive(b"done").is_err(), "it is cut");
    }
}

/// A start while a stop waits: clients are served at once, and what is in progress is not harmed.
#[test]
fn a_start_while_a_stop_waits_serves_beside_it() {
    let _turn = beside_others();
    for level in LEVELS {
        let home = Home::new();
        start(&home, level, &["-i", "2"]);
        let mut held = held(address(&home));
        let mut other = Client::new(address(&home)).unwrap();
        other.receives(b"done", "/");
        let mut stop = spawn(home.command(&["stop", "app"]));
        is_refused(address(&home));
        // The other one of the two has gone.
        let rests = |home: &Home| {
            home.statuses()
                .iter()
                .any(|(_, status)| status == "stopped")
        };
        until_it_is("one is stopped", || rests(&home));
        let mut start = spawn(home.command(&["start", "app"]));
        let mut client = until("a client is let in", || Client::new(address(&home)).ok());
        client.receives(b"done", "/");
        home.file("go", "");
        held.receive(b"done").unwrap();
        assert!(start.wait().unwrap().success());
        let _ = stop.wait();
    }
}

/// A program that does not wait for input at the moment keeps its connection at a stop. The request that lies there
/// unread is still served.
#[test]
fn a_request_that_lies_unread_is_in_progress() {
    // It reads nothing while it answers.
    const DEAF: &str = "
        const { existsSync } = require('fs');
        const server = require('http').createServer((q, s) => {
            if (q.url !== '/held') return s.end('done');
            q.socket._handle.readStop();
            s.writeHead(200, { 'Content-Length': 8 });
            s.write('done');
            const timer = setInterval(() => {
                if (!existsSync('go')) return;
                clearInterval(timer);
                s.end('done', () => q.socket._handle?.readStart());
            }, 10);
        });
        server.listen(process.env.PORT, () => console.log('up'));
        process.on('SIGINT', () => { server.close(); setTimeout(() => process.exit(), 200); });
    ";
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.cjs", DEAF);
    home.does(&["start", "app.cjs", "-i", "2"]);
    let mut client = Client::new(address(&home)).unwrap();
    client
        .write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    while !client.line().unwrap().is_empty() {}
    assert_eq!(client.bytes(4).unwrap(), b"done");
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut stop = spawn(home.command(&["stop", "app"]));
    let has_ended = |(_, status): &(u64, String)| status == "stopped";
    until_it_is("the idle worker has ended", || {
        home.statuses().iter().any(has_ended)
    });
    home.file("go", "");
    assert_eq!(client.bytes(4).unwrap(), b"done");
    client.receive(b"done").unwrap();
    assert!(stop.wait().unwrap().success());
}

/// One worker has nothing to do and is asked to end, and takes its time. The other one gives back a connection whose
/// next request lies unread: it is none for the worker that ends.
#[test]
fn who_is_about_to_end_gets_nothing_that_comes_back() {
    const SLOW_TO_END: &str = "
        const { existsSync, writeFileSync } = require('fs');
        let ends = false;
        require('http').createServer((q, s) => {
            if (q.url !== '/held') return s.end(ends ? 'late' : 'done');
            s.writeHead(200, { 'Content-Length': 8 });
            s.write('done');
            const timer = setInterval(() => {
                if (!existsSync('go')) return;
                clearInterval(timer);
                // What the client sends now is not read before the response is complete.
                writeFileSync('blocked', '');
                while (!existsSync('sent'));
                s.end('done');
            }, 10);
        }).listen(process.env.PORT, () => console.log('up'));
        process.on('SIGINT', () => {
            ends = true;
            writeFileSync('asked', '');
            setInterval(() => existsSync('over') && process.exit(), 10);
        });
    ";
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.cjs", SLOW_TO_END);
    home.does(&["start", "app.cjs", "-i", "2", "--kill-timeout", "1m"]);
    let is_there = |name: &str| home.folder().join(name).exists();
    let mut client = Client::new(address(&home)).unwrap();
    client
        .write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    while !client.line().unwrap().is_empty() {}
    assert_eq!(client.bytes(4).unwrap(), b"done");
    let mut stop = spawn(home.command(&["stop", "app"]));
    until_it_is("the idle worker is asked to end", || is_there("asked"));
    home.file("go", "");
    until_it_is("the other one reads nothing", || is_there("blocked"));
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    home.file("sent", "");
    assert_eq!(client.bytes(4).unwrap(), b"done");
    client.receive(b"done").unwrap();
    home.file("over", "");
    assert!(stop.wait().unwrap().success());
}
