//! A worker gives connections back: another one goes on with them, and the client notices nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Signal;
use wire::{Handoff, Passed, RETURNED_LEN, Standing};

use crate::harness::{beside_others, free_port, tool};
use crate::scripted::{Channel, Scripted, connection};
use crate::victims::{PATIENCE, Victim};

/// Servers that answer with their process number: for `/slow` after a while, for `/large` with much
/// more, which takes other calls to write.
const SERVERS: [(&str, &[&str], &str); 4] = [
    (
        "node",
        &["app.js"],
        "require('http').createServer((q, s) => {
            const more = q.url === '/large' ? 'x'.repeat(200000) : '';
            setTimeout(() => s.end(process.pid + more), q.url === '/slow' ? 300 : 0)
         }).listen(process.env.PORT)",
    ),
    (
        "bun",
        &["app.js"],
        "Bun.serve({ port: process.env.PORT, async fetch(q) {
            if (q.url.endsWith('/slow')) await Bun.sleep(300);
            return new Response(process.pid + (q.url.endsWith('/large') ? 'x'.repeat(200000) : ''))
         } })",
    ),
    (
        "deno",
        &["run", "--allow-all", "--quiet", "app.js"],
        "Deno.serve({ port: Number(Deno.env.get('PORT')), onListen() {} }, async q => {
            if (q.url.endsWith('/slow')) await new Promise(done => setTimeout(done, 300));
            return new Response(Deno.pid + (q.url.endsWith('/large') ? 'x'.repeat(200000) : ''))
         })",
    ),
    (
        "python3",
        &["app.js"],
        "import asyncio, os
async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b'\\r\\n\\r\\n')
        except asyncio.IncompleteReadError:
            return writer.close()
        if b'/slow' in head:
            await asyncio.sleep(0.3)
        body = str(os.getpid()).encode() + b'x' * (200000 if b'/large' in head else 0)
        writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(os.environ['PORT']))
    await server.serve_forever()
asyncio.run(main())
",
    ),
];

/// A server, and the supervisor's end of its channel.
struct Worker {
    victim: Victim,
    channel: Channel,
}

impl Worker {
    fn start(scripted: &Scripted, program: &Path, words: &[&str], port: u16) -> Worker {
        let victim = scripted.start(program, words, port);
        let channel = scripted.channel();
        Worker { victim, channel }
    }

    /// Asks for connections: they come out of the socket that comes back.
    fn ask(&self, most: u32) -> OwnedFd {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (message, len) = Handoff::GiveBack(most).encode();
        self.channel.send(&message[..len], Some(&theirs));
        ours
    }

    /// Goes on with a connection of another one.
    fn take(&self, (socket, passed): (OwnedFd, Passed)) {
        let peer = rustix::net::getpeername(&socket).unwrap().unwrap();
        let peer: std::net::SocketAddrV4 = peer.try_into().unwrap();
        let mut address = [0; 28];
        address[..2].copy_from_slice(&2u16.to_ne_bytes());
        address[2..4].copy_from_slice(&peer.port().to_be_bytes());
        address[4..8].copy_from_slice(&peer.ip().octets());
        let message = Handoff::Connection {
            peer: address,
            len: Some(16),
            pair: false,
            passed,
        };
        let (message, len) = message.encode();
        self.channel.send(&message[..len], Some(&socket));
    }
}

/// What comes next out of the socket over which connections are given back.
fn next(back: &OwnedFd) -> (Vec<u8>, Option<OwnedFd>) {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut fds = [PollFd::new(back, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&timeout)).unwrap(),
        1,
        "nothing is given back"
    );
    let mut message = [0; RETURNED_LEN];
    let (len, socket) = sys::receive(back.as_fd(), &mut message).unwrap();
    (message[..len].to_vec(), socket)
}

/// The next connection that is given back.
fn given_back(back: &OwnedFd) -> (OwnedFd, Passed) {
    let (message, socket) = next(back);
    (socket.unwrap(), Passed::decode(&message).unwrap())
}

/// Behind the idle ones: on how many connections a request is in progress.
fn in_progress(back: &OwnedFd) -> u32 {
    let (message, socket) = next(back);
    assert!(socket.is_none());
    Standing::decode(&message).unwrap().busy
}

fn nothing_is_given_back(back: &OwnedFd) {
    let mut fds = [PollFd::new(back, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::default())).unwrap(), 0);
}

/// Reads a response with a length; its body.
fn answer(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let length = head.split_once("content-length:").unwrap().1;
    let length = length.split("\r\n").next().unwrap().trim();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

fn ask(client: &mut TcpStream) -> String {
    client.write_all(GET).unwrap();
    answer(client)
}

fn ask_for_much(client: &mut TcpStream) {
    client
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(answer(client).ends_with(&"x".repeat(200_000)));
}

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("app.js");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn connections_move_between_workers_of_each_runtime() {
    let _lock = beside_others();
    for (program, words, text) in SERVERS {
        let folder = tempfile::tempdir().unwrap();
        let path = script(folder.path(), text);
        let words: Vec<_> = words
            .iter()
            .map(|word| {
                if *word == "app.js" {
                    path.to_str().unwrap()
                } else {
                    word
                }
            })
            .collect();
        let scripted = Scripted::honest();
        let port = free_port();
        let one = Worker::start(&scripted, &tool(program), &words, port);
        let two = Worker::start(&scripted, &tool(program), &words, port);
        let (first, second) = (one.victim.pid().to_string(), two.victim.pid().to_string());

        let mut silent = one.channel.send_connection();
        let mut idle = one.channel.send_connection();
        let mut busy = one.channel.send_connection();
        assert_eq!(
            (ask(&mut idle), ask(&mut busy)),
            (first.clone(), first.clone()),
            "{program}"
        );
        ask_for_much(&mut idle);
        busy.write_all(SLOW).unwrap();
        // Another request, so that the server has surely read this one's head.
        assert_eq!(ask(&mut idle), first);
        let back = one.ask(u32::MAX);
        two.take(given_back(&back));
        two.take(given_back(&back));
        assert_eq!(
            (ask(&mut idle), ask(&mut silent)),
            (second.clone(), second.clone()),
            "{program}"
        );
        assert_eq!(in_progress(&back), 1, "{program}");
        nothing_is_given_back(&back);

        // What is in progress is completed where it began.
        assert_eq!(answer(&mut busy), first, "{program}");
        two.take(given_back(&back));
        assert_eq!(ask(&mut busy), second, "{program}");

        // And back again.
        let back = two.ask(2);
        one.take(given_back(&back));
        one.take(given_back(&back));
        let mut answers = [ask(&mut silent), ask(&mut idle), ask(&mut busy)];
        answers.sort_by_key(|pid| *pid == second);
        assert_eq!(
            answers,
            [first.clone(), first.clone(), second.clone()],
            "{program}"
        );
    }
}

/// A server whose loop turns `LATE` times before it waits for the input of what it has accepted: that number is filled in.
const LATE: &str = "import os, selectors, socket
loop = selectors.DefaultSelector()
listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
listener.setblocking(False)
loop.register(listener, selectors.EVENT_READ)
late = {}
while True:
    for key, _ in loop.select():
        if key.fileobj is not listener:
            loop.unregister(key.fileobj)
            key.fileobj.close()
            continue
        try:
            while True:
                late[listener.accept()[0]] = LATE
        except BlockingIOError:
            pass
    for connection in list(late):
        late[connection] -= 1
        if late[connection] == 0:
            del late[connection]
            loop.register(connection, selectors.EVENT_READ)
    print('turned', flush=True)
";

/// A request and its response pass over a connection that no worker has yet.
fn pass(client: &mut TcpStream, socket: &OwnedFd) -> Passed {
    client.write_all(GET).unwrap();
    let mut request = vec![0; GET.len()];
    // The few bytes of it arrive together.
    assert_eq!(rustix::io::read(socket, &mut request).unwrap(), GET.len());
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    rustix::io::write(socket, response).unwrap();
    assert_eq!(answer(client), "hi");
    Passed {
        read: GET.len() as u32,
        written: response.len() as u32,
    }
}

/// How often a worker says that a request is in progress, when it has a connection between two requests that its
/// program does not wait for yet, and is asked again and again. Then the connection comes, or the word that nothing is
/// in progress. `burst` is how many questions lie in its channel each time.
fn asked_in_vain(turns: usize, burst: usize) -> (usize, bool) {
    let folder = tempfile::tempdir().unwrap();
    let text = LATE.replace("LATE", &turns.to_string());
    let path = script(folder.path(), &text);
    let scripted = Scripted::honest();
    let words = [path.to_str().unwrap()];
    let mut worker = Worker::start(&scripted, &tool("python3"), &words, free_port());
    let (mut client, socket, _) = connection();
    let passed = pass(&mut client, &socket);
    worker.take((socket, passed));
    assert_eq!(worker.victim.line(), "turned");
    for count in 0..100 {
        worker.victim.signal(Signal::STOP);
        let backs: Vec<_> = (0..burst).map(|_| worker.ask(u32::MAX)).collect();
        worker.victim.signal(Signal::CONT);
        for back in &backs {
            let (message, socket) = next(back);
            if socket.is_some() {
                return (count, true);
            }
            if Standing::decode(&message).unwrap().busy == 0 {
                return (count, false);
            }
        }
        assert_eq!(worker.victim.line(), "turned");
    }
    panic!("a connection that the program never waits for is waited for forever");
}

/// What is accepted a moment before a worker drains moves as well, though the program's loop has to turn until then.
#[test]
fn one_that_is_not_waited_for_yet_is_given_back_some_turns_later() {
    let _lock = beside_others();
    for turns in 2..5 {
        for burst in [1, 8] {
            let (count, moved) = asked_in_vain(turns, burst);
            assert!(moved && count <= turns, "{turns} turns, {burst}: {count}");
        }
    }
    // As in a program that has a thread for each connection.
    let (count, moved) = asked_in_vain(1000, 1);
    assert!(!moved && count < 10, "{count}");
}
