//! Servers that open their listener once, and fork the processes that accept from it, as gunicorn and
//! Tornado do: each of these processes is a worker.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::harness::{Run, Setup, beside_others};

/// `WAY` says how its three processes accept. They keep connections alive where one can serve several.
const FORKS: &str = r#"
import os, select, socket
from select import EPOLLIN, EPOLLET, EPOLLEXCLUSIVE

way = os.environ["WAY"]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)

def answer(connection, close=""):
    body = str(os.getpid())
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{close}\r\n"
    connection.sendall((head + body).encode())

def serve_one():
    connection = listener.accept()[0]
    connection.setblocking(True)
    connection.recv(65536)
    answer(connection, "Connection: close\r\n")
    connection.close()

# A parent that keeps its connections would get all requests of one client: what wakes the others, so
# that they are found out, is a new connection.
def serve_all(flags):
    close = "Connection: close\r\n" if way == "the parent, too" else ""
    epoll = select.epoll()
    epoll.register(listener, flags)
    connections = {}
    while True:
        for fd, _ in epoll.poll():
            if fd in connections:
                asked = connections[fd].recv(65536)
                if asked:
                    answer(connections[fd], close)
                if close or not asked:
                    connections.pop(fd).close()
                continue
            try:
                while True:
                    connection = listener.accept()[0]
                    connections[connection.fileno()] = connection
                    epoll.register(connection, EPOLLIN)
            except BlockingIOError:
                pass

def serve():
    if way.startswith("blocking"):
        while True:
            serve_one()
    if way == "shared epoll":
        while True:
            epoll.poll()
            try:
                serve_one()
            except BlockingIOError:
                pass
    serve_all({"edge": EPOLLIN | EPOLLET, "exclusive": EPOLLIN | EPOLLEXCLUSIVE}.get(way, EPOLLIN))

listener.setblocking(way.startswith("blocking"))
if way == "shared epoll":
    epoll = select.epoll()
    epoll.register(listener, EPOLLIN)
count = 1 if way == "until they end" else 2 if way.endswith("parent, too") else 3
for _ in range(count):
    if os.fork() == 0:
        serve()
if way == "until they end":
    os.wait()
if count < 3:
    serve()
os.wait()
"#;

fn started(way: &str, per: &str) -> Run {
    let setup = Setup::program("app.py", FORKS).option("--per", per);
    let mut run = setup.env("WAY", way).instances(1).start();
    run.listening(1);
    run
}

type Answers = BTreeMap<i32, usize>;

/// Asks, one request after the other, until this holds; who has answered how often. Per connection each
/// request has a new one.
fn answers_until(run: &Run, per: &str, holds: impl Fn(&Answers) -> bool) -> Answers {
    let mut client = Client::connect(run);
    let mut answers = Answers::new();
    while !holds(&answers) {
        if per == "connection" {
            client = Client::connect(run);
        }
        let response = client.get("/");
        let pid = String::from_utf8_lossy(&response.body).parse().unwrap();
        *answers.entry(pid).or_default() += 1;
    }
    answers
}

fn answers(run: &Run, per: &str, count: usize) -> Answers {
    answers_until(run, per, |answers| answers.values().sum::<usize>() >= count)
}

#[test]
fn each_process_that_accepts_from_one_listener_is_a_worker() {
    let _turn = beside_others();
    for per in ["connection", "request"] {
        for way in [
            "level",
            "edge",
            "exclusive",
            "blocking",
            "the parent, too",
            "blocking, and the parent, too",
        ] {
            let mut run = started(way, per);
            // Some are found out when clients wake them, and one that other programs keep from its
            // processor is passed over for a while.
            let all =
                |answers: &Answers| answers.len() == 3 && answers.values().all(|count| *count >= 5);
            let answers = answers_until(&run, per, |answers| {
                all(answers) || answers.values().sum::<usize>() > 1000
            });
            assert!(
                all(&answers),
                "{way}, per {per}: {answers:?}\n{}",
                run.story()
            );
            run.listening(3);
            run.no_worker_has_ended();
        }
    }
}

/// A process that has opened the listener for others may serve when they have ended.
#[test]
fn who_has_opened_the_listener_serves_when_its_children_have_ended() {
    let _turn = beside_others();
    for per in ["connection", "request"] {
        let mut run = started("until they end", per);
        let child = *answers(&run, per, 5).keys().next().unwrap();
        let first = run.event("the child listens", |event| {
            event.is("listening") && event.pid() == child
        });
        kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
        run.event_after(&first, "its parent listens", |event| {
            event.is("listening") && event.pid() != child
        });
        let after = answers(&run, per, 5);
        assert!(after.len() == 1 && !after.contains_key(&child), "{after:?}");
    }
}

/// An epoll that was inherited together with the listener belongs to all: what each had there of its
/// own would wake the others. So they share one channel, and whoever is free takes what comes.
#[test]
fn processes_with_one_epoll_share_what_comes() {
    let _turn = beside_others();
    for per in ["connection", "request"] {
        let mut run = started("shared epoll", per);
        assert_eq!(answers(&run, per, 30).values().sum::<usize>(), 30);
        let apart = run.events().into_iter().find(|event| event.is("left"));
        assert!(apart.is_none(), "{}", run.story());
        run.no_worker_has_ended();
    }
}
