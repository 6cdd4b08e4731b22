//! Servers that remove and bind their Unix path at each start, while others serve there: the path never
//! misses, and whoever connects is answered.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{PATIENCE, beside_others, path_with_tools, repository};
use crate::home::{Home, ended};

/// A server at `app.sock`: its file, its text, and what `start` is given.
struct Server {
    file: &'static str,
    text: &'static str,
    args: &'static [&'static str],
}

/// gunicorn forks, so one instance has two workers of its own: a reload replaces both with their parent.
const SERVERS: [Server; 5] = [
    Server {
        file: "app.cjs",
        text: "const fs = require('fs');
               fs.rmSync('app.sock', { force: true });
               require('http').createServer((_, s) => s.end('ok')).listen('app.sock');",
        args: &[],
    },
    Server {
        file: "app.ts",
        text: "import { rmSync } from 'fs';
               rmSync('app.sock', { force: true });
               Bun.serve({ unix: 'app.sock', fetch: () => new Response('ok') });",
        args: &[],
    },
    Server {
        file: "socketserver.py",
        text: "
import contextlib, os, socket
with contextlib.suppress(FileNotFoundError):
    os.unlink('app.sock')
listener = socket.socket(socket.AF_UNIX)
listener.bind('app.sock')
listener.listen(100)
while True:
    connection, _ = listener.accept()
    while b'\\r\\n\\r\\n' not in connection.recv(4096): pass
    connection.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    connection.close()
",
        args: &[],
    },
    // What uvicorn does with --uds.
    Server {
        file: "asyncio_server.py",
        text: "
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b'\\r\\n\\r\\n')
    writer.write(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_unix_server(serve, 'app.sock')
    await server.serve_forever()
asyncio.run(main())
",
        args: &[],
    },
    Server {
        file: "wsgi.py",
        text: "
from gunicorn.app.wsgiapp import run
def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '2'), ('Connection', 'close')])
    return [b'ok']
if __name__ == '__main__':
    run()
",
        args: &[
            "--",
            "-w",
            "2",
            "-b",
            "unix:app.sock",
            "--no-control-socket",
            "wsgi:application",
        ],
    },
];

fn asks(path: &Path) -> std::io::Result<String> {
    let mut client = UnixStream::connect(path)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks again and again until it is told to stop; how often it was answered, or the first fault.
fn keeps_asking(path: &Path, stop: &AtomicBool) -> Result<u64, String> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        match asks(path) {
            Ok(answer) if answer.ends_with("ok") => answered += 1,
            other => return Err(format!("after {answered}: {other:?}")),
        }
    }
    Ok(answered)
}

#[test]
fn a_path_that_each_new_instance_binds_anew_is_always_there() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        for server in &SERVERS {
            let what = format!("{} per {level}", server.file);
            let home = Home::new();
            home.file(server.file, server.text);
            let start = ["start", server.file, "--name", "app", "-i", "2"];
            let mut command = home.command(&[&start[..], &["--per", level], server.args].concat());
            command
                .env("PATH", path_with_tools())
                .env("PYTHONPATH", repository().join("tests/tools/python"))
                .env("PYTHONDONTWRITEBYTECODE", "1");
            let started = ended(command);
            assert_eq!(started.code, 0, "{what}: {started:?}");
            let path = home.folder().join("app.sock");
            let (path, stop) = (&path, &AtomicBool::new(false));
            let results: Vec<_> = thread::scope(|scope| {
                let clients: Vec<_> = (0..3)
                    .map(|_| scope.spawn(move || keeps_asking(path, stop)))
                    .collect();
                for words in [
                    &["reload", "app"][..],
                    &["scale", "app", "5"],
                    &["scale", "app", "1"],
                ] {
                    home.does(words);
                }
                stop.store(true, Ordering::Relaxed);
                clients.into_iter().map(|it| it.join().unwrap()).collect()
            });
            for result in results {
                match result {
                    Ok(0) => panic!("{what}: nobody was answered"),
                    Ok(_) => {}
                    Err(fault) => panic!("{what}: {fault}"),
                }
            }
        }
    }
}
