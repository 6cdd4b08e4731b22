//! Which listeners a start waits for, and which of them outlive a run.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::harness::{Door, PATIENCE, Request, beside_others, free_port, read_some};
use crate::home::Home;

/// Each listens at METRICS, and then at PORT. With a file `broken` it fails in between.
const APPS: [(&str, &str); 3] = [
    (
        "node.cjs",
        "
const { createServer } = require('http');
const answer = (_, response) => response.end(String(process.pid));
createServer(answer).listen(process.env.METRICS, '127.0.0.1', () => {
    if (require('fs').existsSync('broken')) {
        setTimeout(() => { throw new Error('no good'); }, 500);
    } else {
        createServer(answer).listen(process.env.PORT, '127.0.0.1', () => console.log('up'));
    }
});
",
    ),
    (
        "bun.ts",
        "
import { existsSync } from 'fs';
const serve = (port) => Bun.serve({
    port, hostname: '127.0.0.1', fetch: () => new Response(String(process.pid)),
});
serve(process.env.METRICS);
if (existsSync('broken')) {
    setTimeout(() => { throw new Error('no good'); }, 500);
} else {
    serve(process.env.PORT);
    console.log('up');
}
",
    ),
    (
        "python.py",
        "
import http.server, os, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
def server(port):
    return http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ[port])), Answer)
metrics = server('METRICS')
threading.Thread(target=metrics.serve_forever, daemon=True).start()
if os.path.exists('broken'):
    time.sleep(0.5)
    sys.exit('no good')
service = server('PORT')
print('up', flush=True)
service.serve_forever()
",
    ),
];

/// Who answers at the app's port.
fn answers(home: &Home) -> i32 {
    let answer = Request::get(&home.door(), "/").unwrap();
    answer.body.parse().unwrap()
}

/// Starts an app with one instance, and waits until it has said that it is up.
fn start(home: &Home, args: &[&str], metrics: u16) {
    let mut command = home.command(&[&["start"], args, &["-i", "1", "--name", "app"]].concat());
    command.env("METRICS", metrics.to_string());
    let ended = crate::home::ended(command);
    assert_eq!(ended.code, 0, "{ended:?}");
    home.is_up("app", 1);
}

/// What the start has waited for is named before the command says that the app is started. (Where a second
/// listener comes late, on a busy machine, it is not waited for. A worker that sleeps before it listens
/// counts as started, and the command says that it listens nowhere so far.)
#[test]
fn a_start_names_the_listeners_that_it_has_waited_for() {
    let _turn = beside_others();
    let mut named = 0;
    for (file, text) in APPS {
        let home = Home::new();
        let metrics = free_port();
        home.file(file, text);
        let mut start = home.command(&["start", file, "-i", "2", "--name", "app"]);
        start.env("METRICS", metrics.to_string());
        let ended = crate::home::ended(start);
        assert_eq!(ended.code, 0, "{ended:?}");
        let (before, after) = ended.errors.split_once("app: started").unwrap();
        let is_named = |port| before.contains(&format!("listens on http://localhost:{port}"));
        if [metrics, home.port].into_iter().any(is_named) {
            named += 1;
            assert_eq!(after, "\n", "{file}");
        } else {
            let nowhere = "; so far it listens on no address that maitred can share\n";
            assert_eq!(after, nowhere, "{file}: {ended:?}");
        }
    }
    assert!(named > 0, "no listener was named");
}

#[test]
fn a_release_that_listens_somewhere_and_then_fails_leaves_the_old_one() {
    let _turn = beside_others();
    for (name, script) in APPS {
        let home = Home::new();
        let metrics = free_port();
        home.file(name, script);
        start(&home, &[name], metrics);
        let before = home.pids();
        fs::write(home.folder().join("broken"), "").unwrap();
        let said = home.fails(&["reload", "app"]);
        let port = home.port;
        let awaited = said.contains(&format!("127.0.0.1:{port}"));
        assert!(
            said.contains("exited with code 1 before it listened on") && awaited,
            "{said}"
        );
        assert_eq!(home.pids(), before, "{name}");
        assert_eq!(answers(&home), before[0], "{name}");
        fs::remove_file(home.folder().join("broken")).unwrap();
        home.does(&["reload", "app"]);
        assert_ne!(home.pids(), before, "{name}");
    }
}

/// tsx opens a Unix socket of its own before it runs the program.
#[test]
fn what_a_wrapper_listens_on_says_nothing_of_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    let script = APPS[0].1.replace("require(", "process.getBuiltinModule(");
    let script = format!("const typed: number = 1;\n{script}");
    home.file("server.ts", &script);
    start(&home, &["server.ts", "--interpreter", "tsx"], free_port());
    let before = answers(&home);
    fs::write(home.folder().join("broken"), "").unwrap();
    let said = home.fails(&["reload", "app"]);
    assert!(said.contains("before it listened on"), "{said}");
    assert_eq!(answers(&home), before);
    fs::remove_file(home.folder().join("broken")).unwrap();
    home.does(&["reload", "app"]);
    assert_ne!(answers(&home), before);
}

/// The reload does not wait for ever, and says what it has waited for.
#[test]
fn a_listener_that_the_new_release_lacks_is_named() {
    let _turn = beside_others();
    let home = Home::new();
    let metrics = free_port();
    let script = "
        const { createServer } = require('http');
        const answer = (_, response) => response.end(String(process.pid));
        const open = (port, then) => createServer(answer).listen(port, '127.0.0.1', then);
        const service = () => open(process.env.PORT, () => console.log('up'));
        if (require('fs').existsSync('lean')) service(); else open(process.env.METRICS, service);
    ";
    home.file("server.js", script);
    start(&home, &["server.js", "--listen-timeout", "5000"], metrics);
    let before = home.pids();
    fs::write(home.folder().join("lean"), "").unwrap();
    let said = home.fails(&["reload", "app"]);
    let expected = format!("does not listen on 127.0.0.1:{metrics} after 5 s (listen_timeout)");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(home.pids(), before);
    home.does(&["restart", "app"]);
    assert_ne!(home.pids(), before);
    // From now on it is not expected any more.
    let before = home.pids();
    home.does(&["reload", "app"]);
    assert_ne!(home.pids(), before);
}

#[test]
fn an_app_may_move_to_another_port() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.cjs", APPS[0].1);
    start(&home, &["server.cjs"], free_port());
    let before = answers(&home);
    let mut moved = home.command(&["reload", "app", "--update-env"]);
    let port = free_port();
    moved.env("PORT", port.to_string());
    moved.env("METRICS", free_port().to_string());
    let ended = crate::home::ended(moved);
    assert_eq!(ended.code, 0, "{ended:?}");
    let door = Door::Tcp(([127, 0, 0, 1], port).into());
    let answer = Request::get(&door, "/").unwrap();
    assert_ne!(answer.body, before.to_string());
    // The old one is closed when it is clear that the app does not come back to it.
    is_closed(home.port);
}

/// Waits until a port is closed. Until then a client waits, and is let go with the listener.
fn is_closed(port: u16) {
    const ATTEMPTS: usize = 20;
    let refused = (0..ATTEMPTS).find_map(|_| match TcpStream::connect(("127.0.0.1", port)) {
        Ok(mut client) => {
            let _ = read_some(&mut client, &mut [0]);
            None
        }
        Err(error) => Some(error.kind()),
    });
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
}

/// Waits until a folder has so many entries.
fn has_entries(folder: &Path, expected: usize) {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let events = inotify::WatchFlags::DELETE | inotify::WatchFlags::CREATE;
    inotify::add_watch(&changes, folder, events).unwrap();
    let limit = Timespec::try_from(PATIENCE).unwrap();
    let mut bytes = [0; 4096];
    while fs::read_dir(folder).unwrap().count() != expected {
        let ready = poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&limit)).unwrap();
        let found: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
        assert_eq!(ready, 1, "{found:?}");
        rustix::io::read(&changes, &mut bytes).unwrap();
    }
}

/// A socket with the pid in its name is of no use to the next run.
#[test]
fn listeners_of_one_run_end_with_it() {
    const ROUNDS: usize = 25;
    let _turn = beside_others();
    let home = Home::new();
    let script = "
        const { createServer } = require('http');
        const answer = (_, response) => response.end(String(process.pid));
        createServer(answer).listen(`x/${process.pid}.sock`, () => {
            createServer(answer).listen(process.env.PORT, '127.0.0.1', () => console.log('up'));
        });
        process.on('SIGINT', () => process.exit());
    ";
    home.file("server.js", script);
    let sockets = home.folder().join("x");
    fs::create_dir(&sockets).unwrap();
    start(&home, &["server.js"], free_port());
    let open = || {
        let held = format!("/proc/{}/fd", home.supervisor("app"));
        fs::read_dir(held).unwrap().count()
    };
    let mut before = 0;
    for round in 0..ROUNDS {
        let how = if round % 2 == 0 { "restart" } else { "reload" };
        home.does(&[how, "app"]);
        has_entries(&sockets, 1);
        if round == 0 {
            before = open();
        }
    }
    let after = open();
    assert!(after <= before + 4, "{before} descriptors, then {after}");
    let only = fs::read_dir(&sockets).unwrap().next().unwrap().unwrap();
    let expected = format!("{}.sock", home.pids()[0]);
    assert_eq!(only.file_name().to_string_lossy(), expected);
    assert_eq!(answers(&home), home.pids()[0]);
}

/// What only one instance has listened on is closed when that is stopped; what others share is not.
#[test]
fn the_listener_of_a_stopped_instance_is_closed() {
    let _turn = beside_others();
    let home = Home::new();
    let metrics = free_port();
    let script = "
        const { createServer } = require('http');
        const answer = (_, response) => response.end(String(process.pid));
        const ports = [process.env.PORT];
        if (process.env.NODE_APP_INSTANCE === '1') ports.unshift(process.env.METRICS);
        const next = () => {
            const port = ports.shift();
            if (port) createServer(answer).listen(port, '127.0.0.1', next); else console.log('up');
        };
        next();
    ";
    home.file("server.js", script);
    let mut command = home.command(&["start", "server.js", "-i", "2", "--name", "app"]);
    command.env("METRICS", metrics.to_string());
    assert_eq!(crate::home::ended(command).code, 0);
    home.is_up("app", 2);
    TcpStream::connect(("127.0.0.1", metrics)).unwrap();
    home.does(&["stop", "1"]);
    is_closed(metrics);
    assert_eq!(answers(&home), home.pids()[0]);
}

/// Asked for `/close`, an app closes its listener, and lives on.
const CLOSES: [(&str, &str); 3] = [
    (
        "app.cjs",
        "const server = require('http').createServer((request, answer) => {
             if (request.url === '/close') server.close();
             answer.setHeader('Connection', 'close');
             answer.end('ok');
         }).listen(process.env.PORT);
         setInterval(() => {}, 1000);",
    ),
    (
        "app.ts",
        "const server = Bun.serve({ port: process.env.PORT, fetch: (request) => {
             if (new URL(request.url).pathname === '/close') server.stop();
             return new Response('ok', { headers: { Connection: 'close' } });
         } });
         setInterval(() => {}, 1000);",
    ),
    (
        "app.py",
        "import os, socket, threading
listener = socket.create_server(('', int(os.environ['PORT'])))
while True:
    connection, _ = listener.accept()
    asked = connection.recv(4096)
    if b'/close' in asked: listener.close()
    connection.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    connection.close()
    if b'/close' in asked: threading.Event().wait()",
    ),
];

/// Natively a client is refused then. It must not wait for a worker that does not come.
#[test]
fn a_listener_that_its_app_closes_is_closed() {
    let _turn = beside_others();
    for (name, text) in CLOSES {
        for flags in [&["--no-autorestart"][..], &[]] {
            let home = Home::new();
            home.file(name, text);
            // It is up when the command returns: nothing is awaited any more.
            home.does(&[&["start", name, "-i", "1"], flags].concat());
            let door = home.door();
            Request::get(&door, "/close").unwrap();
            let Door::Tcp(address) = door else {
                panic!("not a TCP app");
            };
            let mut tries = 0;
            loop {
                match TcpStream::connect(address) {
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
                    // It came before the close was known: it is closed with the listener, or was
                    // taken before.
                    Ok(mut early) => {
                        let _ = early.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                        early
                            .set_read_timeout(Some(Duration::from_secs(2)))
                            .unwrap();
                        let ended = early.read(&mut [0; 16]);
                        let hangs = ended.is_err_and(|it| it.kind() == ErrorKind::WouldBlock);
                        assert!(!hangs, "{name}: a client waits");
                    }
                }
                tries += 1;
                assert!(tries < 100, "{name} {flags:?}: still open");
            }
        }
    }
}
