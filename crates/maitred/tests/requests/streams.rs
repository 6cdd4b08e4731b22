//! Bodies that are longer than any memory, and responses that never end.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::apps::{RUNTIMES, Runtime, app, started};
use crate::client::Client;
use crate::harness::{Run, beside_others, children_of};

const MIB: usize = 1024 * 1024;

/// Each event arrives before the next one is asked for; and when the client goes, the worker is
/// told.
#[test]
fn events_arrive_at_once_and_end_with_their_reader() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let mut events = Client::connect(&run);
        events.ask("/events");
        assert_eq!(events.head().0, 200);
        for count in 0..5 {
            let event = events.chunk().unwrap();
            assert_eq!(
                event,
                format!("data: {count}\n\n").as_bytes(),
                "{runtime:?}"
            );
            Client::connect(&run).get("/wake");
        }
        // As a browser does that leaves the page.
        events.stream.shutdown(Shutdown::Write).unwrap();
        run.output("the end of the events", |text| {
            text.contains("events have ended")
        });
    }
}

/// The most memory that maitred has had, in bytes.
fn peak(run: &Run) -> usize {
    let supervisor = *children_of(run.pid()).first().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn a_long_upload_takes_no_memory() {
    let _turn = beside_others();
    for runtime in [Runtime::Node, Runtime::Deno] {
        let run = started(app(runtime), 1);
        let mut client = Client::connect(&run);
        client.get("/who");
        let before = peak(&run);
        let mib = 200;
        let part = vec![b'x'; MIB];
        client.send(format!(
            "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            mib * MIB
        ));
        for _ in 0..mib {
            client.stream.write_all(&part).unwrap();
        }
        assert_eq!(client.response().json()["length"], mib * MIB, "{runtime:?}");
        client.send("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..mib {
            client.send(format!("{MIB:x}\r\n"));
            client.stream.write_all(&part).unwrap();
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.response().json()["length"], mib * MIB);
        let grown = peak(&run) - before;
        assert!(grown < 4 * MIB, "{runtime:?}: {grown} bytes");
    }
}

/// A worker that does not read holds up its client, and fills no memory of ours; what Bun takes
/// in ahead is its own.
#[test]
fn a_worker_that_reads_late_gets_everything() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        Client::connect(&run).get("/who");
        let before = peak(&run);
        let mut client = Client::connect(&run);
        let length = 64 * MIB;
        client.send(format!(
            "POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut writer = client.stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            let part = vec![b'x'; MIB];
            for _ in 0..length / MIB {
                writer.write_all(&part).unwrap();
            }
        });
        run.output("an app that does not read", |text| {
            text.contains("does not read")
        });
        // While it waits, others are served.
        for _ in 0..100 {
            assert_eq!(Client::connect(&run).get("/who").status, 200);
        }
        Client::connect(&run).get("/wake");
        assert_eq!(client.response().json()["length"], length, "{runtime:?}");
        writing.join().unwrap();
        let grown = peak(&run) - before;
        assert!(grown < 4 * MIB, "{runtime:?}: {grown} bytes");
    }
}

/// A client that does not read holds up its worker, and fills no memory.
#[test]
fn a_client_that_reads_late_gets_everything() {
    let _turn = beside_others();
    let run = started(app(Runtime::Node), 1);
    Client::connect(&run).get("/who");
    let before = peak(&run);
    let mut late = Client::connect(&run);
    late.ask("/big?mb=100");
    // While it waits, others are served.
    for _ in 0..100 {
        Client::connect(&run).get("/who");
    }
    let response = late.response();
    assert_eq!((response.status, response.body.len()), (200, 100 * MIB));
    let grown = peak(&run) - before;
    assert!(grown < 4 * MIB, "{grown} bytes");
}

/// A client that goes in the middle of a response, or of its request, harms nobody.
#[test]
fn clients_that_go_harm_nobody() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let run = started(app(runtime), 1);
        let half = "x".repeat(50_000);
        for _ in 0..20 {
            let mut client = Client::connect(&run);
            client.ask("/big?mb=50");
            client.stream.read_exact(&mut [0; 1000]).unwrap();
            drop(client);
            let mut client = Client::connect(&run);
            client.send(format!(
                "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{half}"
            ));
            client.stream.shutdown(Shutdown::Both).unwrap();
        }
        let mut client = Client::connect(&run);
        for _ in 0..50 {
            assert_eq!(client.get("/who").status, 200, "{runtime:?}");
        }
    }
}
