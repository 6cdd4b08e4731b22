//! The library as a guest: a supervisor that is gone, older, younger or out of its mind does the
//! program no harm, and what the two say to each other stays between them.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;
use wire::{HANDOFF_LEN, Handoff, Outcome, REPLY_LEN, Reply, Verb};

use crate::harness::{alone, beside_others, free_port, tool};
use crate::processor::computes;
use crate::scripted::{Answer, Scripted, connection};
use crate::victims::{COMPILERS, PATIENCE, Victim, compile, library, source};

/// The ways of accepting that do not end at an error.
const WAYS: [&str; 10] = [
    "blocking",
    "thread",
    "threads",
    "restart",
    "poll",
    "select",
    "level",
    "edge",
    "oneshot",
    "exclusive",
];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Who answers on this connection; when that is known, it has been closed.
fn answer(mut client: TcpStream) -> i32 {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text.trim_end().parse().unwrap()
}

fn descriptors(victim: &Victim) -> usize {
    fs::read_dir(format!("/proc/{}/fd", victim.pid()))
        .unwrap()
        .count()
}

/// The program opens its port itself, and nothing is left in it of the attempt to ask.
fn serves_natively(mut victim: Victim, port: u16, spare: usize) {
    assert_eq!(victim.line(), "report listening");
    for _ in 0..6 {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(answer(client), victim.pid());
    }
    // Input, output and errors, and the listener.
    assert_eq!(descriptors(&victim), spare + 1);
}

/// How many descriptors a victim has before it opens any.
fn inherited(program: &std::path::Path) -> usize {
    let port = free_port();
    let mut command = Command::new(program);
    let mut victim = Victim::start(command.arg("blocking").env("PORT", port.to_string()));
    assert_eq!(victim.line(), "report listening");
    descriptors(&victim) - 1
}

#[test]
fn a_door_that_does_not_exist() {
    let _turn = beside_others();
    for compiler in COMPILERS {
        let folder = folder();
        let program = compile(compiler, "acceptors", folder.path());
        let spare = inherited(&program);
        let long = "x".repeat(200);
        for door in ["/nowhere/door", "", "relative", &long] {
            let port = free_port();
            let mut command = Command::new(&program);
            command
                .arg("blocking")
                .env("PORT", port.to_string())
                .env("LD_PRELOAD", library(folder.path()))
                .env(wire::DOOR_VAR, door);
            serves_natively(Victim::start(&mut command), port, spare);
        }
    }
}

#[test]
fn answers_that_nobody_understands() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    let spare = inherited(&program);
    let good = |outcome| Reply::plain(outcome).encode().to_vec();
    let other_version = || {
        let mut bytes = good(Outcome::Channel);
        bytes[0] = bytes[0].wrapping_add(1);
        bytes
    };
    let unknown_outcome = || {
        let mut bytes = good(Outcome::Done);
        bytes[2] = 99;
        bytes
    };
    let all: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte", vec![1]),
        ("another version", other_version()),
        ("an outcome of another time", unknown_outcome()),
        ("zeros", vec![0; REPLY_LEN]),
        ("too much", vec![1; REPLY_LEN + 1]),
        ("very much", vec![1; 60_000]),
        ("an answer to another question", good(Outcome::Native)),
    ];
    for (what, bytes) in all {
        for with_descriptor in [false, true] {
            let port = free_port();
            let bytes = bytes.clone();
            let scripted = Scripted::new(move |request| {
                let stray = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
                match request.verb {
                    Verb::Hello => None,
                    _ if bytes.is_empty() && !with_descriptor => Some(Answer::Nothing),
                    _ => Some(Answer::Bytes(bytes.clone(), with_descriptor.then(stray))),
                }
            });
            let victim = scripted.start(&program, &["blocking"], port);
            println!("{what}, {with_descriptor}");
            serves_natively(victim, port, spare);
        }
    }
}

/// What is bound only in pretence must not come to listen on just any port.
#[test]
fn a_door_that_closes_between_bind_and_listen() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    let spare = inherited(&program);
    let away = || {
        Scripted::new(|request| match request.verb {
            Verb::Listen => Some(Answer::Nothing),
            _ => None,
        })
    };
    let (scripted, port) = (away(), free_port());
    serves_natively(scripted.start(&program, &["blocking"], port), port, spare);

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let port = taken.local_addr().unwrap().port();
    let scripted = away();
    let (status, text) = scripted.start(&program, &["blocking"], port).end();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("listen(fd, 128) == 0 (errno 98"), "{text}");
}

#[test]
fn an_answer_is_what_the_program_sees() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    let fails = |verb: Verb, outcome: Outcome, what: &str| {
        let scripted =
            Scripted::new(move |request| (request.verb == verb).then(|| Answer::outcome(outcome)));
        let (status, text) = scripted.start(&program, &["blocking"], free_port()).end();
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(text.contains(what), "{text}");
    };
    fails(Verb::Bind, Outcome::Failed(13), "len) == 0 (errno 13,");
    fails(Verb::Listen, Outcome::Failed(98), "128) == 0 (errno 98,");
    // A channel that got lost on its way, as at the limit of descriptors.
    fails(Verb::Listen, Outcome::Channel, "128) == 0 (errno 24,");
}

/// Who listens, where and how, and that it is the child of its supervisor.
#[test]
fn the_door_is_told_what_it_needs() {
    let _turn = beside_others();
    let folder = folder();
    for compiler in COMPILERS {
        let program = compile(compiler, "acceptors", folder.path());
        let scripted = Scripted::honest();
        let port = free_port();
        let mut victim = scripted.start(&program, &["blocking"], port);
        let pid = victim.pid();
        assert_eq!(scripted.request(Verb::Hello).tid, pid);
        let bind = scripted.request(Verb::Bind);
        let mut address = vec![2, 0];
        address.extend(port.to_be_bytes());
        address.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bind.tid, bind.address.as_bytes()), (pid, &address[..]));
        let listen = scripted.request(Verb::Listen);
        assert_eq!(
            (listen.tid, listen.fd, listen.arg, listen.address),
            (pid, bind.fd, 128, bind.address)
        );
        assert_eq!(victim.line(), "report listening");
        let channel = scripted.channel();
        assert_eq!(answer(channel.send_connection()), pid);
        // That a thread waits in `accept` shows nowhere else.
        let adopt = scripted.request(Verb::Adopt);
        assert_eq!((adopt.tid, adopt.arg, adopt.arg2), (pid, 0, 1));
        assert!(scripted.requests.try_recv().is_err());
    }
}

/// The same thread accepts that has listened: that is no news where a probe can show it.
#[test]
fn the_door_is_not_told_what_it_can_see() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    let scripted = Scripted::honest();
    let mut victim = scripted.start(&program, &["poll"], free_port());
    for verb in [Verb::Hello, Verb::Bind, Verb::Listen] {
        scripted.request(verb);
    }
    assert_eq!(victim.line(), "report listening");
    // To the end: a victim whose channel closes closes its listener, and says so.
    let channel = scripted.channel();
    assert_eq!(answer(channel.send_connection()), victim.pid());
    assert!(scripted.requests.try_recv().is_err());
}

#[test]
fn the_door_is_told_which_threads_accept() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());

    let scripted = Scripted::honest();
    let victim = scripted.start(&program, &["thread"], free_port());
    let adopt = scripted.request(Verb::Adopt);
    assert_ne!(adopt.tid, victim.pid());
    assert_eq!(adopt.arg, 0, "the only one that accepts");

    let scripted = Scripted::honest();
    let _victim = scripted.start(&program, &["threads"], free_port());
    let first = scripted.request(Verb::Adopt);
    let second = scripted.request(Verb::Adopt);
    assert_ne!(first.tid, second.tid);
    assert_eq!((first.arg, second.arg), (0, 1), "there are others");
}

/// Whatever lies in a channel, a program sees the connections and nothing else.
#[test]
fn what_is_no_connection_is_not_seen() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    for way in WAYS {
        let scripted = Scripted::honest();
        let mut victim = scripted.start(&program, &[way], free_port());
        assert_eq!(victim.line(), "report listening");
        let channel = scripted.channel();
        assert_eq!(answer(channel.send_connection()), victim.pid());
        let before = descriptors(&victim);

        for _ in 0..3 {
            channel.send_probe();
        }
        assert_eq!(answer(channel.send_connection()), victim.pid(), "{way}");

        let (message, _) = Handoff::connection(&[2, 0]).encode();
        let mut unknown = message;
        unknown[0] = 99;
        let (_client, stray, _) = connection();
        let junk: [(&[u8], bool); 7] = [
            // Neither a connection that lost its descriptor, nor a descriptor that came with
            // something else.
            (&message, false),
            (&unknown, true),
            (&unknown, false),
            (&[0], true),
            (&[7; HANDOFF_LEN + 1], true),
            (&[7; 2], true),
            (&[7; 4000], false),
        ];
        for (bytes, with_descriptor) in junk {
            channel.send(bytes, with_descriptor.then_some(&stray));
            channel.send_probe();
        }
        assert_eq!(answer(channel.send_connection()), victim.pid(), "{way}");
        // Another thread may hold what it is about to close; what has leaked stays.
        let deadline = Instant::now() + PATIENCE;
        while descriptors(&victim) > before {
            assert!(Instant::now() < deadline, "{way} has kept a descriptor");
            std::thread::yield_now();
        }
    }
}

/// The supervisor is gone, and with it the other end of the channel. What it has sent is served
/// still; after that nobody comes any more, and the program waits for them as ever.
#[test]
fn a_supervisor_that_is_gone() {
    let _turn = alone();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    for way in WAYS {
        let mut scripted = Scripted::honest();
        let mut victim = scripted.start(&program, &[way], free_port());
        assert_eq!(victim.line(), "report listening");
        let channel = scripted.channel();
        let clients: Vec<_> = (0..3).map(|_| channel.send_connection()).collect();
        scripted.close_door();
        drop(channel);
        for client in clients {
            assert_eq!(answer(client), victim.pid(), "{way}");
        }
        let computed = computes(victim.pid());
        assert!(computed < 0.1, "{way} computed {computed} s of 0.5");
        assert!(victim.is_alive(), "{way}");
    }
}

/// A channel that is closed by a supervisor that is still there is a listener that was shut down.
#[test]
fn a_channel_that_is_closed() {
    let _turn = beside_others();
    let folder = folder();
    for compiler in COMPILERS {
        let program = compile(compiler, "acceptors", folder.path());
        for way in ["blocking", "poll"] {
            let scripted = Scripted::honest();
            let mut victim = scripted.start(&program, &[way], free_port());
            assert_eq!(victim.line(), "report listening");
            let channel = scripted.channel();
            assert_eq!(answer(channel.send_connection()), victim.pid());
            let id = channel.id;
            drop(channel);
            assert_eq!(scripted.request(Verb::Close).channel, id);
            let (_, text) = victim.end();
            assert!(text.contains("(errno 22,"), "{text}");
        }
    }
}

/// A program that dies, stops or leaves does so as ever: nothing of the library holds it.
#[test]
fn a_victim_ends_by_its_own_signals() {
    let _turn = beside_others();
    let folder = folder();
    let program = compile("gcc", "acceptors", folder.path());
    for way in ["blocking", "level", "threads"] {
        let scripted = Scripted::honest();
        let mut victim = scripted.start(&program, &[way], free_port());
        assert_eq!(victim.line(), "report listening");
        let _channel = scripted.channel();
        victim.signal(Signal::TERM);
        let (status, _) = victim.end();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(15), "{way}");
    }
}

/// The door hears of a close, once, and only from the process whose listener it is: a child closes
/// its copy, be it one that shares its parent's memory.
#[test]
fn the_door_is_told_of_the_end_of_a_listener() {
    let _turn = beside_others();
    let folder = folder();
    let script = source("closer.py", folder.path());
    let script = script.to_str().unwrap();
    for way in ["close", "fork", "vfork"] {
        let mut scripted = Scripted::honest();
        let mut victim = scripted.start(tool("python3"), &[script, way], free_port());
        let channel = scripted.channel();
        let client = channel.send_connection();
        assert_eq!(answer(client), victim.pid());
        assert_eq!(victim.line(), "report closed");
        scripted.close_door();
        let closed: Vec<_> = scripted
            .requests
            .try_iter()
            .filter(|request| request.verb == Verb::Close)
            .collect();
        assert_eq!(closed.len(), 1, "{way}: {closed:?}");
        assert_eq!(
            (closed[0].channel, closed[0].tid),
            (channel.id, victim.pid())
        );
    }
}
