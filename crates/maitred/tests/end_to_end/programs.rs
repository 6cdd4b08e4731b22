//! Programs of every kind: how they are started, and the ways to listen and to accept that occur
//! in the wild. Each must find what it would find without maitred.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::getuid;

use crate::harness::{
    Request, Run, Setup, beside_others, path_with_tools, read_some, rounds_at_its_port, tool,
};

/// A single-threaded server in Python, around a listener that the test's program has made. It
/// blocks while it works.
const SERVE: &str = r#"
import json, os, re, select, socket, time

def answer(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        more = connection.recv(4096)
        if not more:
            return
        request += more
    ms = re.search(rb"ms=(\d+)", request)
    time.sleep(int(ms[1]) / 1000 if ms else 0)
    body = json.dumps({"instance": os.environ["NODE_APP_INSTANCE"], "pid": os.getpid()})
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall((head + body).encode())
    connection.close()

def bind():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    return listener

def serve(listener):
    while True:
        answer(listener.accept()[0])
"#;

pub(crate) fn python(text: &str) -> Setup {
    Setup::program("app.py", &format!("{SERVE}{text}"))
}

pub(crate) fn balances(setup: Setup, workers: usize) -> Run {
    let mut run = setup.flag("--stats=1").start();
    run.listening(workers as u64);
    rounds_at_its_port(&mut run, workers, 6);
    run.no_worker_has_ended();
    run
}

/// Opens so many connections, and waits until all are taken: whoever has taken one waits for what it
/// says, and takes no other. Only then they ask; who answers.
pub(crate) fn side_by_side(run: &mut Run, count: u64, round: u64) -> BTreeSet<String> {
    let mut requests: Vec<_> = (0..count)
        .map(|_| Request::connect(&run.door()).unwrap())
        .collect();
    run.event("all are taken", |event| {
        event.is("figures") && event.sum("dispatched") == count * round && event.sum("untaken") == 0
    });
    for request in &mut requests {
        request.send("/api?ms=0").unwrap();
    }
    let answers = requests
        .into_iter()
        .map(|request| request.receive().unwrap());
    answers.map(|answer| answer.worker()).collect()
}

/// The script is what the runtime was asked to run, with nothing around it.
#[test]
fn a_bun_script_is_the_main_module() {
    let _turn = beside_others();
    let text = "
        const { work } = await import(process.env.EXAMPLES + '/work.mjs');
        if (!import.meta.main || Bun.main !== import.meta.path) process.exit(9);
        if (process.argv[2] !== 'one two') process.exit(8);
        export default {
            port: process.env.PORT,
            fetch: (request: Request) => Response.json(work(new URL(request.url).searchParams)),
        };";
    let setup = Setup::program("app.ts", text)
        .argument("one two")
        .instances(2);
    balances(setup, 2);
}

#[test]
fn options_for_the_interpreter_and_the_folder() {
    let _turn = beside_others();
    let setup = Setup::script("app.mjs")
        .instances(1)
        .flag("--no-autorestart");
    let inner = setup.folder().join("inner folder");
    std::fs::create_dir(&inner).unwrap();
    let text = "console.log(process.cwd()); console.log(process.execArgv.join(' '));";
    std::fs::write(inner.join("app.mjs"), text).unwrap();
    let arguments = "--max-old-space-size=99 --no-warnings";
    let mut run = setup
        .option("--cwd", &inner)
        .option("--interpreter-args", arguments)
        .start();
    assert_eq!(run.exit_code(), 0, "{}", run.story());
    let (output, _) = run.everything_printed();
    let expected = format!("{}\n{arguments}\n", inner.display());
    assert_eq!(String::from_utf8_lossy(&output), expected);
}

/// As many instances as processors that this process may use, and never none.
#[test]
fn as_many_instances_as_processors() {
    let _turn = beside_others();
    for (wanted, expected) in [("max", 1), ("0", 1), ("-1", 1), ("2", 2)] {
        let setup = Setup::program("nothing.sh", "exit 0\n").option("-i", wanted);
        let mut run = setup
            .flag("--no-autorestart")
            .before(["taskset", "-c", "0"])
            .start();
        assert_eq!(run.exit_code(), 0, "{}", run.story());
        let started = run
            .events()
            .iter()
            .filter(|event| event.is("started"))
            .count();
        assert_eq!(started, expected, "-i {wanted}");
    }
}

/// A program that replaces itself and keeps its listener open over that.
#[test]
fn a_listener_survives_exec() {
    let _turn = beside_others();
    let text = "
import sys
if 'LISTENER' not in os.environ:
    listener = bind()
    listener.listen()
    listener.set_inheritable(True)
    os.environ['LISTENER'] = str(listener.fileno())
    os.execv(sys.executable, [sys.executable, __file__])
serve(socket.socket(fileno=int(os.environ['LISTENER'])))
";
    balances(python(text).instances(2), 2);
}

/// Who registers a listener with epoll before it listens finds it registered afterwards.
fn epoll_before_listen(flags: &str) {
    let _turn = beside_others();
    let text = format!(
        "
listener = bind()
listener.setblocking(False)
epoll = select.epoll()
epoll.register(listener.fileno(), {flags})
listener.listen()
while True:
    for _ in epoll.poll():
        while True:
            try:
                connection = listener.accept()[0]
            except BlockingIOError:
                break
            connection.setblocking(True)
            answer(connection)
"
    );
    balances(python(&text).instances(2), 2);
}

#[test]
fn epoll_before_listen_level_triggered() {
    epoll_before_listen("select.EPOLLIN");
}

#[test]
fn epoll_before_listen_edge_triggered() {
    epoll_before_listen("select.EPOLLIN | select.EPOLLET");
}

#[test]
fn other_ways_to_wait() {
    let _turn = beside_others();
    let text = "
listener = bind()
listener.listen()
if os.environ['NODE_APP_INSTANCE'] == '0':
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    wait = poll.poll
else:
    wait = lambda: select.select([listener], [], [])
while True:
    wait()
    answer(listener.accept()[0])
";
    balances(python(text).instances(2), 2);
}

/// A program that accepts in several threads.
#[test]
fn several_threads_of_a_program_accept() {
    let _turn = beside_others();
    let text = "
import threading
listener = bind()
listener.listen()
for _ in range(3):
    threading.Thread(target=serve, args=[listener]).start()
";
    let mut run = python(text).instances(1).flag("--stats=1").start();
    run.listening(1);
    // Who of the three answers does not show; that all are taken at a time does.
    side_by_side(&mut run, 3, 1);
    run.no_worker_has_ended();
}

/// What a program can ask its listener, it is answered as without maitred.
#[test]
fn a_listener_looks_as_it_does_natively() {
    let _turn = beside_others();
    let text = r#"
import errno, fcntl
listener = bind()
print("bound", listener.getsockname(), listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
listener.listen(5)
listener.listen(50)
TCP = socket.IPPROTO_TCP
for level, name in [
    (socket.SOL_SOCKET, "SO_ACCEPTCONN"), (socket.SOL_SOCKET, "SO_TYPE"),
    (socket.SOL_SOCKET, "SO_DOMAIN"), (socket.SOL_SOCKET, "SO_PROTOCOL"),
    (socket.SOL_SOCKET, "SO_ERROR"), (socket.SOL_SOCKET, "SO_REUSEADDR"),
    (TCP, "TCP_NODELAY"), (TCP, "TCP_DEFER_ACCEPT"),
]:
    print(name, listener.getsockopt(level, getattr(socket, name)))
listener.setsockopt(TCP, socket.TCP_NODELAY, 1)
listener.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 1)
print("set", listener.getsockopt(TCP, socket.TCP_NODELAY), listener.getsockopt(TCP, socket.TCP_DEFER_ACCEPT) > 0)
print("name", listener.getsockname(), listener.family, listener.type)
print("flags", fcntl.fcntl(listener, fcntl.F_GETFD), fcntl.fcntl(listener, fcntl.F_GETFL))

def error(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]

print("peer", error(listener.getpeername))
print("bind", error(lambda: listener.bind(("127.0.0.1", 0))))
listener.setblocking(False)
print("accept", error(listener.accept))
client = socket.create_connection(listener.getsockname())
client.send(b"x")
select.select([listener], [], [])
connection, peer = listener.accept()
print("peer is right", peer == client.getsockname() == connection.getpeername())
print("name is right", connection.getsockname() == client.getpeername())
print("nodelay is inherited", connection.getsockopt(TCP, socket.TCP_NODELAY))
print("data", connection.recv(1))
print("blocking", bool(fcntl.fcntl(connection, fcntl.F_GETFL) & os.O_NONBLOCK))
connection.close()
print("the end is seen", client.recv(1))
"#;
    let setup = python(text).instances(1).flag("--no-autorestart");
    let natively = Command::new(tool("python3"))
        .arg(setup.folder().join("app.py"))
        .env("PATH", path_with_tools())
        .env("PORT", setup.port().to_string())
        .output()
        .unwrap();
    let natively = String::from_utf8_lossy(&natively.stdout).into_owned();
    assert!(natively.contains("the end is seen"), "{natively}");

    let mut run = setup.start();
    assert_eq!(run.exit_code(), 0, "{}", run.story());
    let (output, _) = run.everything_printed();
    assert_eq!(String::from_utf8_lossy(&output), natively);
    run.listening(1);
}

/// The address that a client comes from, in the words of each runtime.
fn sees_its_clients_address(setup: Setup, mapped: bool) {
    let _turn = beside_others();
    let mut run = setup.instances(2).start();
    run.listening(2);
    for round in 0..6 {
        let ip = if mapped && round % 2 == 1 {
            SocketAddr::from((Ipv6Addr::LOCALHOST, run.port))
        } else {
            SocketAddr::from((Ipv4Addr::LOCALHOST, run.port))
        };
        let stream = TcpStream::connect(ip).unwrap();
        let own = stream.local_addr().unwrap();
        let shown = match own.ip() {
            std::net::IpAddr::V4(four) if mapped => format!("::ffff:{four}"),
            ip => ip.to_string(),
        };
        let seen = Request::over(stream, "/").unwrap();
        assert_eq!(seen.body, format!("{shown} {}", own.port()));
    }
}

#[test]
fn bun_sees_its_clients_address() {
    let text = "Bun.serve({ port: process.env.PORT, hostname: '::', fetch(request, server) {
        const { address, port } = server.requestIP(request)!;
        return new Response(`${address} ${port}`);
    } });";
    sees_its_clients_address(Setup::program("app.ts", text), true);
}

#[test]
fn node_sees_its_clients_address() {
    let text = "import { createServer } from 'node:http';
        createServer(({ socket }, response) => {
            response.end(`${socket.remoteAddress} ${socket.remotePort}`);
        }).listen(process.env.PORT, '::');";
    sees_its_clients_address(Setup::program("app.mjs", text), true);
}

#[test]
fn deno_sees_its_clients_address() {
    let text = "Deno.serve({ port: +Deno.env.get('PORT') }, (_, { remoteAddr }) => {
        return new Response(`${remoteAddr.hostname} ${remoteAddr.port}`);
    });";
    let setup = Setup::program("app.js", text).option("--interpreter", "deno");
    sees_its_clients_address(setup, false);
}

/// What comes on a kept connection stays with the worker that has it.
#[test]
fn a_kept_connection_stays_with_its_worker() {
    let _turn = beside_others();
    let mut run = Setup::example("bun-serve/server.ts").instances(3).start();
    run.listening(3);
    let mut stream = TcpStream::connect(("127.0.0.1", run.port)).unwrap();
    let mut workers = BTreeSet::new();
    for _ in 0..50 {
        stream
            .write_all(b"GET /api?ms=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        while !answer.contains('}') {
            let mut buffer = [0; 1024];
            let length = read_some(&mut stream, &mut buffer).unwrap();
            assert_ne!(length, 0, "closed after {answer:?}");
            answer += &String::from_utf8_lossy(&buffer[..length]);
        }
        workers.insert(answer[answer.find('{').unwrap()..].to_owned());
    }
    assert_eq!(workers.len(), 1, "{workers:?}");
}

/// Of a process that hides from its own user, the kernel does not tell whether it is busy. It is
/// served all the same, and maitred says so. Root sees everything.
#[test]
fn a_process_that_hides_is_served_all_the_same() {
    let _turn = beside_others();
    let text = "
import ctypes
PR_SET_DUMPABLE = 4
assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0) == 0
listener = bind()
listener.listen()
serve(listener)
";
    let mut run = balances(python(text).instances(2), 2);
    if !getuid().is_root() {
        run.event("the notice", |event| event.is("blind"));
    }
}
