//! Reloading and scaling under clients that never retry: connections outlive their workers.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::client::Client;
use crate::harness::{Door, PATIENCE, Process, beside_others, gone_within};
use crate::home::Home;

/// Servers without any signal handler. They answer with the request's body; for `/slow` with ten pieces,
/// one after the other.
const NODE: &str = "
require('http').createServer((q, s) => {
    const got = [];
    q.on('data', piece => got.push(piece)).on('end', async () => {
        if (q.url !== '/slow') return s.end(Buffer.concat(got));
        for (let n = 0; n < 10; n++) {
            s.write('0123456789');
            await new Promise(done => setTimeout(done, 30));
        }
        s.end();
    });
}).listen(process.env.PORT, () => console.log('up'));
";

const FETCH: &str = "
async function answer(request) {
    if (!request.url.endsWith('/slow')) return new Response(await request.text());
    return new Response(new ReadableStream({ async start(to) {
        for (let n = 0; n < 10; n++) {
            to.enqueue(new TextEncoder().encode('0123456789'));
            await new Promise(done => setTimeout(done, 30));
        }
        to.close();
    } }));
}
";

const BUN: &str = "Bun.serve({ port: process.env.PORT, fetch: answer }); console.log('up');";
const DENO: &str = "
const port = Number(Deno.env.get('PORT'));
Deno.serve({ port, onListen: () => console.log('up') }, answer);
";

const PYTHON: &str = "
import asyncio, os
async def body(reader, head):
    if b'Transfer-Encoding' in head:
        got = b''
        while size := int(await reader.readline(), 16):
            got += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return got
    length = [l.split(b':')[1] for l in head.split(b'\\r\\n') if l.startswith(b'Content-Length')]
    return await reader.readexactly(int(length[0]) if length else 0)
async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b'\\r\\n\\r\\n')
        except asyncio.IncompleteReadError:
            return writer.close()
        got = await body(reader, head)
        if b'/slow' in head:
            writer.write(b'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n')
            for _ in range(10):
                writer.write(b'a\\r\\n0123456789\\r\\n')
                await writer.drain()
                await asyncio.sleep(0.03)
            writer.write(b'0\\r\\n\\r\\n')
        else:
            writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(got) + got)
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(os.environ['PORT']))
    print('up', flush=True)
    await server.serve_forever()
asyncio.run(main())
";

/// One kind of client: what it does on one connection, again and again.
type Kind = (&'static str, fn(&mut Client) -> io::Result<()>);

const KINDS: [Kind; 7] = [
    ("new connections", |client| {
        client.connect()?;
        client.post("/", b"hello")
    }),
    ("kept alive", |client| client.post("/", b"")),
    ("mostly idle", |client| {
        client.post("/", b"x")?;
        client.pause = Duration::from_millis(200);
        Ok(())
    }),
    ("pipelined", |client| {
        for body in ["a", "bb", "ccc"] {
            client.send("/", body.as_bytes())?;
        }
        for body in ["a", "bb", "ccc"] {
            client.receive(body.as_bytes())?;
        }
        Ok(())
    }),
    ("large bodies", |client| client.post("/", &[b'y'; 100_000])),
    ("chunked uploads", |client| {
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..5 {
            client.write(b"5\r\nhello\r\n")?;
            thread::yield_now();
        }
        client.write(b"0\r\n\r\n")?;
        client.receive(&b"hello".repeat(5))
    }),
    ("slow downloads", |client| {
        client.send("/slow", b"")?;
        client.receive(&b"0123456789".repeat(10))
    }),
];

/// Runs one client until it is told to stop; how often it has done what it does, or what went wrong.
fn run(kind: Kind, address: SocketAddr, stop: &Receiver<()>) -> Result<u64, String> {
    let (name, act) = kind;
    let mut count = 0;
    let wrong = |count, error: io::Error| format!("{name}, after {count}: {error}");
    let mut client = Client::new(address).map_err(|error| wrong(count, error))?;
    while stop.recv_timeout(client.pause) == Err(RecvTimeoutError::Timeout) {
        act(&mut client).map_err(|error| wrong(count, error))?;
        count += 1;
    }
    Ok(count)
}

/// Clients of all these kinds, while something is done with the app.
fn under_load(home: &Home, kinds: &[Kind], act: impl FnOnce()) {
    let Door::Tcp(address) = home.door() else {
        panic!("a TCP port");
    };
    let clients: Vec<(Sender<()>, _)> = kinds
        .iter()
        .cycle()
        .take(2 * kinds.len())
        .map(|kind| {
            let (kind, (stop, stopped)) = (*kind, channel());
            (stop, thread::spawn(move || run(kind, address, &stopped)))
        })
        .collect();
    act();
    let (stops, threads): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
    drop(stops);
    let results: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    let wrong: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(results.iter().all(|it| *it != Ok(0)), "{results:?}");
}

/// How often each app is reloaded.
fn reloads() -> usize {
    match std::env::var("MAITRED_TEST_RELOADS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 3,
    }
}

fn loses_nothing(file: &str, text: &str, flags: &[&str], kinds: &[Kind]) {
    let _turn = beside_others();
    let home = Home::new();
    home.file(file, text);
    // So a worker that had something left would not end in the time that a command may take.
    let start = [
        "start",
        file,
        "--name",
        "app",
        "-i",
        "2",
        "--drain-timeout",
        "1h",
    ];
    home.does(&[&start[..], flags].concat());
    home.is_up("app", 2);
    let first = processes(&home);
    under_load(&home, kinds, || {
        for _ in 0..reloads() {
            home.does(&["reload", "app"]);
        }
        for count in ["6", "1", "4"] {
            home.does(&["scale", "app", count]);
        }
        assert_eq!(gone_within(PATIENCE, &first), []);
    });
}

/// The calendar, a changed file, and a restart of the only worker, under the same clients: at both
/// levels nobody is refused, cut or closed.
#[test]
fn what_restarts_by_itself_loses_nothing_and_a_restart_neither() {
    let _turn = beside_others();
    let triggers: [&[&str]; 3] = [
        &["--cron-restart", "*/2 * * * * *"],
        &["--watch", "--watch-delay", "20ms"],
        &[],
    ];
    for level in ["connection", "request"] {
        for flags in triggers {
            let home = Home::new();
            home.file("app.cjs", NODE);
            let start = ["start", "app.cjs", "-i", "1", "--per", level];
            home.does(&[&start[..], flags].concat());
            home.is_up("app", 1);
            let first = processes(&home);
            under_load(&home, &KINDS, || {
                match flags.first() {
                    Some(&"--watch") => drop(home.file("app.cjs", &format!("{NODE}//"))),
                    Some(_) => {}
                    None => drop(home.does(&["restart", "app"])),
                }
                assert_eq!(gone_within(PATIENCE, &first), [], "{flags:?}, per {level}");
            });
        }
    }
}

fn processes(home: &Home) -> Vec<Process> {
    let pids = home.pids();
    pids.iter()
        .map(|pid| Process::find(*pid).unwrap())
        .collect()
}

/// A connection that is no HTTP cannot move. Its worker serves it beside its successor, and ends when it
/// is closed.
#[test]
fn what_cannot_move_is_waited_for() {
    let _turn = beside_others();
    let home = Home::new();
    let echo = "require('net').createServer(c => c.pipe(c)).listen(process.env.PORT, () => console.log('up'))";
    home.file("app.cjs", echo);
    home.does(&["start", "app.cjs", "-i", "1", "--drain-timeout", "1h"]);
    home.is_up("app", 1);
    let Door::Tcp(address) = home.door() else {
        panic!("a TCP port");
    };
    let mut client = Client::new(address).unwrap();
    let says = |client: &mut Client, line: &str| {
        client.write(line.as_bytes()).unwrap();
        assert_eq!(client.line().unwrap(), line.trim_end());
    };
    says(&mut client, "hello\r\n");
    let first = processes(&home);
    home.does(&["reload", "app"]);
    says(&mut client, "still there\r\n");
    assert!(first.iter().all(Process::is_alive));
    drop(client);
    assert_eq!(gone_within(PATIENCE, &first), []);
}

#[test]
fn node_loses_nothing() {
    loses_nothing("app.cjs", NODE, &[], &KINDS);
}

#[test]
fn bun_loses_nothing() {
    let flags = ["--interpreter", "bun"];
    loses_nothing("app.ts", &format!("{FETCH}{BUN}"), &flags, &KINDS);
}

#[test]
fn deno_loses_nothing() {
    let flags = ["--interpreter", "deno", "--node-args", "run --allow-all"];
    // By itself Deno closes a connection after a request whose body comes later than its head.
    let mut kinds = KINDS.to_vec();
    kinds.retain(|(name, _)| !["large bodies", "chunked uploads"].contains(name));
    loses_nothing("app.js", &format!("{FETCH}{DENO}"), &flags, &kinds);
}

#[test]
fn asyncio_loses_nothing() {
    loses_nothing("app.py", PYTHON, &[], &KINDS);
}
