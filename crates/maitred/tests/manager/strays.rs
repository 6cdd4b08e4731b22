//! A compromised worker sends descriptors wherever it can, of sockets whose last close waits for an
//! hour: whoever reads such a message, or closes the socket with it unread, is the one who closes them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, PATIENCE, Request, beside_others};
use crate::home::Home;

/// A server that attacks when it is told to by a signal; in these ways:
///
/// - `pair`: over connections on which it is asked nothing;
/// - `ipc`: over Node's channel;
/// - `several`, `long`, `foreign`: over the socket by which it is to give back connections, several at
///   once, with a message of another length, or connections that are none of its own;
/// - `own`: it gives back its connections, and lets them linger then.
const WORKER: &str = r#"
import array, os, selectors, signal, socket, struct, sys
kind, port = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGINT, signal.SIG_DFL)

def linger(s):
    s.setblocking(False)
    try:
        while s.send(b'x' * 65536): pass
    except OSError: pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))

def lingering(count):
    found = [socket.create_connection(('127.0.0.1', port)) for _ in range(count)]
    for s in found: linger(s)
    return found

def send(to, message, sockets):
    numbers = array.array('i', [s.fileno() for s in sockets])
    try: to.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
    except PermissionError:
        # From Linux 6.16 on the kernel refuses them. Then this worker would wait itself.
        for s in sockets: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    for s in sockets: s.close()

def of_number(family, type, number):
    s = socket.socket(family, type, 0, number)
    s.setblocking(False)
    return s

listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
listener.setblocking(False)
channel = of_number(socket.AF_UNIX, socket.SOCK_SEQPACKET, os.dup(listener.fileno()))
if kind == 'ipc':
    ipc = of_number(socket.AF_UNIX, socket.SOCK_STREAM, int(os.environ['NODE_CHANNEL_FD']))
    ipc.send(b'"ready"\n')
selector = selectors.DefaultSelector()
selector.register(channel, selectors.EVENT_READ)
open_ones, backs = [], []

def leave(client):
    selector.unregister(client)
    open_ones.remove(client)
    client.close()

def attack(*_):
    if kind == 'pair':
        for s in open_ones: send(s, b'x', lingering(3))
    if kind == 'ipc': send(ipc, b'"x"\n', lingering(3))
    for way in backs:
        if kind == 'several': send(way, b'8 bytes.', lingering(3))
        if kind == 'long': send(way, b'x' * 100, lingering(1))
        if kind == 'foreign':
            for _ in range(5): send(way, b'8 bytes.', lingering(1))
        if kind == 'own':
            for s in list(open_ones):
                copy = s.dup()
                send(way, b'8 bytes.', [copy])
                linger(s)
                leave(s)
    open('attacked', 'w').close()

signal.signal(signal.SIGUSR1, attack)

def take():
    data, control, _, _ = channel.recvmsg(64, socket.CMSG_SPACE(4))
    fds = [struct.unpack('i', it[2][:4])[0] for it in control]
    if len(data) == 5:
        backs.append(of_number(socket.AF_UNIX, socket.SOCK_SEQPACKET, fds[0]))
        open('asked', 'w').close()
    elif len(data) == 40:
        family = socket.AF_UNIX if kind == 'pair' else socket.AF_INET
        client = of_number(family, socket.SOCK_STREAM, fds[0])
        open_ones.append(client)
        selector.register(client, selectors.EVENT_READ)

def serve(client):
    try: asked = client.recv(65536)
    except BlockingIOError: return
    except OSError: asked = b''
    if asked: client.send(b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer')
    if not asked or b'close' in asked: leave(client)

while True:
    for key, _ in selector.select():
        try: take() if key.fileobj is channel else serve(key.fileobj)
        except BlockingIOError: pass
"#;

/// Connects, asks, and stays.
fn stays(home: &Home) -> TcpStream {
    let Door::Tcp(address) = home.door() else {
        panic!("a TCP port");
    };
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    client.write_all(request).unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"answer") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    client
}

/// Waits until a worker says so by a file.
fn has_come(file: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < deadline, "{file:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn descriptors_that_a_worker_sends_hold_up_nobody() {
    let _turn = beside_others();
    for kind in ["pair", "ipc", "several", "long", "foreign", "own"] {
        let home = Home::new();
        // It accepts nothing: those who connect wait in its backlog, and nobody reads what they send.
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = sink.local_addr().unwrap().port().to_string();
        home.file("app.py", WORKER);
        let mut start = vec!["start", "app.py", "-i", "2"];
        match kind {
            "pair" => start.extend(["--per", "request"]),
            "ipc" => start.push("--wait-ready"),
            _ => {}
        }
        start.extend(["--", kind, &port]);
        home.does(&start);
        let visits = || {
            for _ in 0..20 {
                let answer = Request::get(&home.door(), "/");
                assert_eq!(answer.unwrap().body, "answer", "{kind}");
            }
        };
        visits();
        let clients: Vec<_> = (0..6).map(|_| stays(&home)).collect();
        let process = |pid| Pid::from_raw(pid).unwrap();
        let (supervisor, worker) = (home.supervisor("app"), home.pids()[0]);
        let attack = || {
            // So that the worker has closed all of its own before they are received.
            kill_process(process(supervisor), Signal::STOP).unwrap();
            kill_process(process(worker), Signal::USR1).unwrap();
            has_come(&home.folder().join("attacked"));
            kill_process(process(supervisor), Signal::CONT).unwrap();
        };
        if matches!(kind, "pair" | "ipc") {
            attack();
        } else {
            thread::scope(|scope| {
                let reload = scope.spawn(|| home.does(&["reload", "app"]));
                has_come(&home.folder().join("asked"));
                attack();
                visits();
                drop(clients);
                reload.join().unwrap();
            });
        }
        visits();
        home.does(&["delete", "app"]);
        let errors = fs::read_to_string(home.log("app-error.log")).unwrap_or_default();
        assert_eq!(errors, "", "{kind}");
    }
}
