//! `maitred run` in a unit of systemd that stores descriptors: its ports stay open while the unit restarts.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Request, beside_others};
use crate::home::{Home, NODE_SERVER};
use crate::service_manager::{Running, listen, with_sockets};
use crate::wait::until_it_is;

/// What systemd does for a unit with `FileDescriptorStoreMax=`.
struct Store {
    notify: UnixDatagram,
    kept: Vec<OwnedFd>,
    messages: usize,
}

impl Store {
    fn new(home: &Home) -> Self {
        Self {
            notify: listen(&home.folder().join("notify")),
            kept: Vec::new(),
            messages: 0,
        }
    }

    /// Hears what is said until the unit is up.
    fn hear_until_it_is_up(&mut self) {
        while self.hear() != "READY=1" {}
    }

    fn hear(&mut self) -> String {
        let mut said = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut said)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.notify, &mut parts, &mut ancillary, flags).unwrap();
        let said = String::from_utf8_lossy(&said[..received.bytes]).into_owned();
        let mut sockets: Vec<OwnedFd> = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights);
            }
        }
        if said.starts_with("FDSTORE=1") {
            assert_eq!(said, "FDSTORE=1\nFDNAME=maitred-listener\n");
            assert_eq!(sockets.len(), 1);
            self.kept.append(&mut sockets);
            self.messages += 1;
        }
        assert!(sockets.is_empty(), "{said}");
        said.trim().to_owned()
    }

    /// As systemd does it, what is shut down is not kept any longer.
    fn kept(&mut self) -> usize {
        self.kept.retain(|socket| {
            let mut polled = [PollFd::new(socket, PollFlags::empty())];
            poll(&mut polled, Some(&Timespec::default())).unwrap();
            !polled[0].revents().contains(PollFlags::HUP)
        });
        self.kept.len()
    }

    /// A run of the unit, which gets what is kept.
    fn start(&mut self, home: &Home, command: &Command) -> Running {
        let mut command = match self.kept.first() {
            Some(kept) => with_sockets(command, kept.try_clone().unwrap(), "$$"),
            None => with_sockets(
                command,
                std::fs::File::open("/dev/null").unwrap().into(),
                "1",
            ),
        };
        command
            .env("NOTIFY_SOCKET", home.folder().join("notify"))
            .env("FDSTORE", "4")
            .env("LISTEN_FDNAMES", "maitred-listener");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(command.spawn().unwrap());
        self.hear_until_it_is_up();
        running
    }
}

fn address(home: &Home) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], home.port))
}

/// Clients that never try again meet a unit that is restarted, and one that is killed: each has its answer.
#[test]
fn nobody_is_refused_while_the_unit_restarts() {
    const BUN_SERVER: &str =
        "Bun.serve({ port: process.env.PORT, fetch: () => new Response('ok') });";
    let _turn = beside_others();
    for (file, server) in [("server.js", NODE_SERVER), ("server.ts", BUN_SERVER)] {
        for per in ["connection", "request"] {
            let home = Home::new();
            home.file(file, server);
            let mut store = Store::new(&home);
            let command = home.command(&["run", file, "-i", "2", "--per", per]);
            let mut running = store.start(&home, &command);
            assert_eq!(store.kept(), 1);
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                let ask = || {
                    let mut answered = 0;
                    while !over.load(Ordering::Relaxed) {
                        let connected = TcpStream::connect(address(&home)).unwrap();
                        let answer = Request::over(connected, "/").unwrap();
                        assert_eq!(answer.status, 200);
                        answered += 1;
                    }
                    answered
                };
                let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                for _ in 0..3 {
                    assert_eq!(running.end(), Some(0), "{file} {per}");
                    running = store.start(&home, &command);
                }
                over.store(true, Ordering::Relaxed);
                for client in clients {
                    assert!(client.join().unwrap() > 0);
                }
            });
            // Killed at once, it cannot close anything in order.
            kill_process(Pid::from_child(&running.0), Signal::KILL).unwrap();
            running.0.wait().unwrap();
            until_it_is("all have ended", || home.processes().is_empty());
            let waits = TcpStream::connect(address(&home)).unwrap();
            let again = store.start(&home, &command);
            assert_eq!(Request::over(waits, "/").unwrap().status, 200);
            // It is the same socket all the time.
            assert_eq!((store.kept(), store.messages), (1, 1), "{file} {per}");
            drop(again);
        }
    }
}

/// A port that the next run does not want is given up, and free; also for the app itself, where it
/// does not share its sockets any more, and for the apps of a file with several.
#[test]
fn a_port_that_is_not_wanted_any_more_is_given_up() {
    let _turn = beside_others();
    let other = Home::new();
    let two = r#"[{ "script": "server.js", "instances": 1 }, { "script": "job.js" }]"#;
    for (args, other_port) in [
        (&["run", "server.js", "-i", "2"][..], true),
        (&["run", "server.js", "-x", "-i", "1"], false),
        (&["run", "two.json"], false),
    ] {
        let home = Home::new();
        home.file("server.js", NODE_SERVER);
        home.file("job.js", "setInterval(() => {}, 1e6)");
        home.file("two.json", two);
        let mut store = Store::new(&home);
        let command = home.command(&["run", "server.js", "-i", "2"]);
        let mut running = store.start(&home, &command);
        assert_eq!(running.end(), Some(0));
        assert_eq!(store.kept(), 1);
        let mut command = home.command(args);
        if other_port {
            command.env("PORT", other.port.to_string());
        }
        let mut running = store.start(&home, &command);
        if other_port {
            until_it_is("the old port is given up", || {
                store.kept() == 1 && home.port_is_free()
            });
        } else {
            assert_eq!(store.kept(), 0, "{args:?}");
            assert_eq!(Request::get(&home.door(), "/").unwrap().status, 200);
        }
        assert_eq!(running.end(), Some(0), "{args:?}");
    }
}

/// What the app closes while it lives is closed, and not kept.
#[test]
fn what_the_app_closes_is_not_kept() {
    let _turn = beside_others();
    let home = Home::new();
    let closes = NODE_SERVER.replace(
        "answer.end(",
        "(setTimeout(() => server.close(), 1), answer).end(",
    );
    let server = format!("const server ={closes}; setInterval(() => {{}}, 1e6)");
    home.file("server.js", &server);
    let mut store = Store::new(&home);
    let mut running = store.start(&home, &home.command(&["run", "server.js", "-i", "1"]));
    assert_eq!(store.kept(), 1);
    assert_eq!(Request::get(&home.door(), "/").unwrap().status, 200);
    until_it_is("the port is given up", || {
        store.kept() == 0 && home.port_is_free()
    });
    running.end();
}

/// Without a store the port refuses when the app has stopped, as ever.
#[test]
fn without_a_store_nothing_is_kept() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let mut store = Store::new(&home);
    for most in [None, Some("0"), Some("many")] {
        let mut command = home.command(&["run", "server.js", "-i", "1"]);
        command.env("NOTIFY_SOCKET", home.folder().join("notify"));
        if let Some(most) = most {
            command.env("FDSTORE", most);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        store.hear_until_it_is_up();
        assert_eq!(running.end(), Some(0));
        assert_eq!(store.messages, 0);
        assert!(TcpStream::connect(address(&home)).is_err());
    }
}
