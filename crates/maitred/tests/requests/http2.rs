//! HTTP/2 towards clients, with TLS and without: real clients.

use std::process::Command;

use rustix::process::Signal;

use crate::apps::{RUNTIMES, Runtime, app, gated_app, node, started};
use crate::harness::{Door, Run, Setup, beside_others, tool};
use crate::tls::{curl, secured};

pub(crate) fn port(run: &Run) -> u16 {
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    address.port()
}

/// What curl prints when it asks with HTTP/2, without TLS.
pub(crate) fn curl2(run: &Run, path: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool("curl"))
        .args(["--silent", "--show-error", "--http2-prior-knowledge"])
        .args(["--max-time", "60"])
        .args(arguments)
        .arg(format!("http://127.0.0.1:{}{path}", port(run)))
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs a program of Node's with `session`, an HTTP/2 connection to the app; what it prints.
fn program(run: &Run, body: &str) -> String {
    let text = format!(
        "const http2 = require('node:http2');
         const session = http2.connect('http://127.0.0.1:{}');
         session.on('error', (error) => console.log('session', error.code));
         const ask = (path, options) => session.request({{ ':path': path, ...options }});
         const body = async (stream) => {{
           let all = '';
           stream.setEncoding('utf8');
           for await (const part of stream) all += part;
           return all;
         }};
         (async () => {{ {body} }})().then(() => session.close());",
        port(run)
    );
    let output = Command::new(tool("node")).args(["-e", &text]).output();
    let output = output.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn requests_and_responses_arrive_whole() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 2);
        let said = curl2(&run, "/who", &["--include", "--header", "Cookie: a=b"]);
        assert!(said.starts_with("HTTP/2 200"), "{runtime:?}: {said}");
        assert!(said.contains("\"cookie\":\"a=b\""), "{runtime:?}: {said}");
        assert!(said.contains("\"x-forwarded-for\":\"127.0.0.1\""), "{said}");
        let echoed = curl2(&run, "/echo", &["--data", "hello"]);
        assert_eq!(echoed, "hello", "{runtime:?}");
        let folder = tempfile::tempdir().unwrap();
        let upload = folder.path().join("upload");
        std::fs::write(&upload, vec![b'x'; 5_000_000]).unwrap();
        let file = upload.display().to_string();
        // With a length, and without.
        let data = format!("@{file}");
        let length = curl2(&run, "/length", &["--data-binary", &data]);
        assert!(
            length.contains("\"length\":5000000"),
            "{runtime:?}: {length}"
        );
        let chunked = ["--upload-file", &file, "--header", "Content-Length:"];
        let length = curl2(
            &run,
            "/length",
            &["--request", "POST"]
                .iter()
                .chain(&chunked)
                .copied()
                .collect::<Vec<_>>(),
        );
        assert!(
            length.contains("\"length\":5000000"),
            "{runtime:?}: {length}"
        );
        let big = curl2(
            &run,
            "/big?mb=8",
            &[
                "--output",
                &file,
                "--write-out",
                "%{http_version} %{size_download}",
            ],
        );
        assert_eq!(big, "2 8388608", "{runtime:?}");
        let head = curl2(&run, "/who", &["--head"]);
        assert!(head.starts_with("HTTP/2 200"), "{runtime:?}: {head}");
    }
}

#[test]
fn with_tls_the_client_has_the_choice() {
    let _turn = beside_others();
    let setup = secured(app(Runtime::Bun), &["one.test"]);
    let folder = setup.folder().to_owned();
    let run = started(setup, 1);
    for (flag, expected) in [("--http2", " 2"), ("--http1.1", " 1.1")] {
        let version = [flag, "--write-out", " %{http_version}"];
        let said = curl(&run, &folder, "one.test", "/who", &version).unwrap();
        assert!(said.ends_with(expected), "{said}");
        assert!(said.contains("\"x-forwarded-proto\":\"https\""), "{said}");
    }
}

/// What one connection carries goes to all workers, at the same time.
#[test]
fn the_streams_of_one_connection_go_to_all_workers() {
    const ROUNDS: usize = 10;
    let _turn = beside_others();
    let (setup, gate) = gated_app(Runtime::Bun);
    let run = started(setup, 3);
    let rounds = format!(
        "for (let round = 0; round < {ROUNDS}; round++) {{
           const all = [1, 2, 3].map(() => body(ask('/wait')));
           console.log((await Promise.all(all)).map((it) => JSON.parse(it).instance).sort().join(''));
         }}"
    );
    let said = std::thread::scope(|scope| {
        let client = scope.spawn(|| program(&run, &rounds));
        for round in 1..=ROUNDS {
            // A worker that waits begins nothing else.
            run.output("all three at work", |text| {
                text.matches("waits").count() == 3 * round
            });
            gate.lets_pass(3);
        }
        client.join().unwrap()
    });
    assert_eq!(said, "012\n".repeat(ROUNDS));
    // More than may be open at once.
    let said = program(
        &run,
        "const all = await Promise.all(Array.from({ length: 1000 }, () => body(ask('/who'))));
         console.log(all.filter((it) => '012'.includes(JSON.parse(it).instance)).length);",
    );
    assert_eq!(said, "1000\n");
}

/// Events come when they are sent, and a stream that is called off ends at its worker.
#[test]
fn a_stream_that_is_called_off_ends_at_its_worker() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let said = program(
            &run,
            "const events = ask('/events');
             events.setEncoding('utf8');
             const next = () => new Promise((resolve) => events.once('data', resolve));
             console.log((await next()).trim());
             const second = next();
             await body(ask('/wake'));
             console.log((await second).trim());
             events.close(http2.constants.NGHTTP2_CANCEL);
             await new Promise((resolve) => events.once('close', resolve));",
        );
        assert_eq!(said, "data: 0\ndata: 1\n", "{runtime:?}");
        run.output("the end of the events", |text| {
            text.contains("events have ended")
        });
    }
}

/// A reader that takes nothing stops its own response, and nothing else.
#[test]
fn a_reader_that_takes_nothing_stops_its_own_stream_alone() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun), 2);
    let said = program(
        &run,
        "const big = ask('/big?mb=64');
         await new Promise((resolve) => big.once('response', resolve));
         big.pause();
         for (let round = 0; round < 100; round++) await body(ask('/who'));
         console.log('others go on');
         let length = 0;
         for await (const part of big) length += part.length;
         console.log(length);",
    );
    assert_eq!(said, format!("others go on\n{}\n", 64 * 1024 * 1024));
}

fn ends_its_workers() -> Setup {
    node(
        "http.createServer((request, response) => {
           if (request.url === '/half') {
             response.writeHead(200, { 'Content-Length': 1000, 'X-Pid': process.pid });
             response.write('some');
           } else if (request.url === '/die') {
             process.kill(process.pid, 'SIGKILL');
           } else {
             response.writeHead(200, { Trailer: 'X-Sum' });
             response.write('body');
             response.addTrailers({ 'X-Sum': '42' });
             response.end();
           }
         }).listen(port);",
    )
}

#[test]
fn a_worker_that_dies_ends_its_streams_alone() {
    let _turn = beside_others();
    let run = started(ends_its_workers(), 2);
    let said = program(
        &run,
        "const half = ask('/half');
         const [head] = await new Promise((resolve) => half.once('response', (...all) => resolve(all)));
         half.on('error', (error) => console.log(error.code));
         half.once('data', () => process.kill(Number(head['x-pid']), 'SIGKILL'));
         await new Promise((resolve) => half.once('close', resolve));
         console.log(head[':status'], half.rstCode);
         const die = ask('/die');
         die.once('response', (head) => console.log(head[':status']));
         console.log((await body(die)).trim());",
    );
    let expected = "ERR_HTTP2_STREAM_ERROR\n200 2\n502\nthe worker closed its connection before it had answered\n";
    assert_eq!(said, expected);
}

#[test]
fn trailers_follow_a_response() {
    let _turn = beside_others();
    let run = started(ends_its_workers(), 1);
    let said = program(
        &run,
        "const stream = ask('/');
         stream.once('trailers', (fields) => console.log(fields['x-sum']));
         console.log(await body(stream));",
    );
    assert!(said == "42\nbody\n" || said == "body\n42\n", "{said}");
}

/// What an app still answers while it stops reaches its client.
#[test]
fn a_stop_cuts_no_stream() {
    let _turn = beside_others();
    let run = started(
        node(
            "let held;
             const server = http.createServer((request, response) => {
               held = response;
               console.log('asked');
             }).listen(port);
             process.on('SIGINT', () => {
               server.close();
               setTimeout(() => held.end('answered'), 200);
             });",
        )
        .option("--kill-timeout", "60000"),
        1,
    );
    let said = std::thread::scope(|scope| {
        let client = scope.spawn(|| curl2(&run, "/", &[]));
        run.output("a request in progress", |text| text.contains("asked"));
        run.signal(Signal::TERM);
        client.join().unwrap()
    });
    assert_eq!(said, "answered");
}

#[test]
fn a_load_of_many_streams_loses_nothing() {
    let _turn = beside_others();
    let run = started(app(Runtime::Bun), 3);
    let output = Command::new(tool("h2load"))
        .args(["-n", "20000", "-c", "10", "-m", "100"])
        .arg(format!("http://127.0.0.1:{}/who", port(&run)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("20000 succeeded, 0 failed"), "{said}");
}
