//! Clients that take as much as they can get, whatever they send: an ordinary client's requests are
//! all answered meanwhile, and what asks for nothing is ended.
//!
//! `make bench-floods` shows how long the ordinary client's requests take beside each flood, and how long
//! they take beside those which the app's own workers bear, without maitred.

mod kinds;
mod without;

use std::env;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::apps::{node, started};
use crate::client::connect_from;
use crate::harness::{Door, PATIENCE, Setup, beside_others, read_some};
use crate::tls::secured;
use crate::tls_client::tls;
use kinds::{Flood, Flooder, floods};
use without::Without;

/// How many requests the ordinary client sends over one connection.
fn requests() -> usize {
    match env::var("MAITRED_TEST_REQUESTS") {
        Ok(number) => number.parse().expect("MAITRED_TEST_REQUESTS is a number"),
        Err(_) => 20,
    }
}

/// Whether figures are what matters: then also those of the same floods where maitred has no part in it.
fn is_measured() -> bool {
    env::var_os("MAITRED_TEST_FLOODS").is_some()
}

/// How often each flood is measured: what else the machine does at a time is not to decide.
fn rounds() -> usize {
    match env::var("MAITRED_TEST_FLOODS") {
        Ok(number) => number.parse().expect("MAITRED_TEST_FLOODS is a number"),
        Err(_) => 1,
    }
}

/// And then each over a new one.
const CONNECTIONS: usize = 3;

/// Answers a request when it is whole.
const APP: &str = "http.createServer((request, response) => {
  request.on('error', () => {}).on('end', () => response.end('ok')).resume();
}).listen(port);";

/// Who hands on what: maitred each request, maitred each connection, or the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Request,
    Connection,
    Without,
}

/// What clients speak below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Plain,
    Tls,
    Proxied,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// An ordinary client.
fn ordinary(to: SocketAddr, transport: Transport) -> Box<dyn Stream> {
    let mut stream = connect_from([127, 0, 0, 1], to).unwrap();
    match transport {
        Transport::Plain => Box::new(stream),
        Transport::Tls => Box::new(tls(stream, &[]).unwrap()),
        Transport::Proxied => {
            let header = b"PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n";
            stream.write_all(header).unwrap();
            Box::new(stream)
        }
    }
}

fn is_answered(stream: &mut dyn Stream) -> bool {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    if stream.write_all(request).is_err() {
        return false;
    }
    let mut said = Vec::new();
    let mut room = [0; 4096];
    while !said.ends_with(b"\r\n\r\nok") {
        match read_some(stream, &mut room) {
            Ok(len @ 1..) => said.extend(&room[..len]),
            Ok(0) | Err(_) => return false,
        }
    }
    said.starts_with(b"HTTP/1.1 200 ")
}

/// How long requests over this connection take, up to the first that is not answered.
fn latencies(stream: &mut dyn Stream) -> Vec<Duration> {
    let ask = || {
        let began = Instant::now();
        is_answered(stream).then(|| began.elapsed())
    };
    std::iter::from_fn(ask).take(requests()).collect()
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut latencies: Vec<Duration>) -> [f64; 2] {
    latencies.sort_unstable();
    [50, 99].map(|of_100| {
        let at = (latencies.len() * of_100).div_ceil(100) - 1;
        latencies[at].as_secs_f64() * 1e3
    })
}

/// The median of several rounds, of each figure.
fn middle(rounds: impl Iterator<Item = [f64; 2]>) -> [f64; 2] {
    let rounds: Vec<_> = rounds.collect();
    [0, 1].map(|figure| {
        let mut figures: Vec<_> = rounds.iter().map(|round| round[figure]).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    })
}

/// An ordinary client asks while this flood goes on. How long its requests take.
fn beside(to: SocketAddr, level: Level, transport: Transport, flood: &Flood) -> Vec<Duration> {
    let what = flood.what;
    let (flooder, has_begun) = Flooder::new(to);
    let (tell, is_ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            // Its own work counts for as little as if it were done on another machine: it has what
            // processors have left, as have the threads and programs that it starts.
            let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
            let set = Command::new("chrt")
                .args(["--idle", "--pid", "0", &thread])
                .status();
            assert!(set.unwrap().success());
            let _ = (flood.act)(&flooder);
            flooder.has_begun();
            let _ = tell.send(flooder.is_over());
        });
        let begun = has_begun.recv_timeout(PATIENCE);
        let mut kept = begun.is_ok().then(|| ordinary(to, transport));
        let kept = kept.as_mut().map(|kept| latencies(kept.as_mut()));
        let kept = kept.unwrap_or_default();
        let fresh = (0..CONNECTIONS).take_while(|_| is_answered(ordinary(to, transport).as_mut()));
        let fresh = fresh.count();
        // Nothing that fails may leave the flood behind.
        let ended = match flood.is_ended && level == Level::Request {
            true => is_ended.recv_timeout(PATIENCE),
            false => Ok(false),
        };
        flooder.end();
        assert!(begun.is_ok(), "{level:?}, {what}: it has not begun");
        let asked = (kept.len(), fresh);
        assert_eq!(asked, (requests(), CONNECTIONS), "{level:?}, {what}");
        assert_eq!(ended, Ok(false), "{level:?}, {what}: it was not ended");
        kept
    })
}

/// Measures each flood that is of this level and transport, beside an ordinary client.
fn measure(to: SocketAddr, level: Level, transport: Transport) {
    let quiet = || percentiles(latencies(ordinary(to, transport).as_mut()));
    quiet();
    let floods = floods();
    // What comes over a connection that was handed on is the app's own affair.
    let is_tried = |flood: &&Flood| match level {
        Level::Request => flood.transport == transport,
        Level::Connection => flood.is_of_connections && flood.transport == transport,
        Level::Without => !flood.is_ended && flood.transport == transport,
    };
    let only = env::var("MAITRED_TEST_FLOOD").unwrap_or_default();
    let is_meant = |flood: &&Flood| flood.what.contains(&only);
    for flood in floods.iter().filter(is_tried).filter(is_meant) {
        let rounds: Vec<_> = (0..rounds())
            .map(|_| (quiet(), percentiles(beside(to, level, transport, flood))))
            .collect();
        let [quiet, beside] = [
            middle(rounds.iter().map(|(quiet, _)| *quiet)),
            middle(rounds.iter().map(|(_, beside)| *beside)),
        ];
        println!(
            "{level:?}, {transport:?}, {}: median {:.2} ms, p99 {:.2} ms, {:.1} times the quiet one of {:.2} ms",
            flood.what,
            beside[0],
            beside[1],
            beside[1] / quiet[1],
            quiet[1],
        );
    }
}

#[test]
fn a_flood_keeps_no_ordinary_client_from_being_served() {
    let _turn = beside_others();
    for (level, transport) in [
        (Level::Request, Transport::Plain),
        (Level::Request, Transport::Tls),
        (Level::Request, Transport::Proxied),
        (Level::Connection, Transport::Plain),
    ] {
        let setup = match (level, transport) {
            (Level::Request, Transport::Tls) => secured(node(APP), &["one.test"]),
            (Level::Request, Transport::Proxied) => node(APP).flag("--proxy-protocol"),
            (Level::Request, Transport::Plain) => node(APP),
            _ => {
                let app = "const http = require('http'); const port = Number(process.env.PORT);";
                let setup = Setup::program("app.cjs", &format!("{app}\n{APP}"));
                setup.option("--interpreter", "node")
            }
        };
        let mut run = started(setup, 2);
        let Door::Tcp(to) = run.door() else {
            panic!("not a TCP app");
        };
        measure(to, level, transport);
        run.no_worker_has_ended();
        drop(run);
        if is_measured() && level == Level::Request && transport != Transport::Tls {
            let folder = tempfile::tempdir().unwrap();
            let without = Without::start(folder.path(), transport);
            measure(without.door, Level::Without, transport);
        }
    }
}
