//! Requests' bodies: their limits, and the time that they may take.

use super::*;

#[test]
fn a_worker_that_stops_reading_is_the_one_to_blame() {
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    let length = 2_000_000;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    world.send(&mut client, head);
    let body = vec![b'x'; length];
    let mut sent = 0;
    while let Ok(len) = client.write(&body[sent..]) {
        sent += len;
        world.run();
    }
    world.pass(61 * SECOND);
    assert!(arrived(&mut client).0.starts_with("HTTP/1.1 504 "));
}

#[test]
fn the_bodys_limit_is_about_the_body() {
    let limited = Settings {
        body: 10,
        ..settings(RequestPolicy::NextAvailable)
    };
    for (chunk, status) in [("a\r\n0123456789", "200"), ("b\r\n0123456789a", "413")] {
        let mut world = World::new(1, limited.clone());
        let mut client = world.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.send(&mut client, format!("{head}{chunk}\r\n0\r\n\r\n"));
        let (_, mut worker) = world.take();
        let _ = worker.write(OK.as_bytes());
        world.run();
        let said = arrived(&mut client).0;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

/// A byte now and then is no reason to hold a worker.
#[test]
fn a_body_that_trickles_is_too_slow() {
    for (size, status) in [(1, "408"), (2000, "200")] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.send(&mut client, head);
        let (_, mut worker) = world.take();
        for _ in 0..60 {
            let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
            if client.write_all(chunk.as_bytes()).is_err() {
                break;
            }
            world.pass(2 * SECOND);
            arrived(&mut worker);
        }
        let _ = client.write(b"0\r\n\r\n");
        world.run();
        let _ = worker.write(OK.as_bytes());
        world.run();
        let said = arrived(&mut client).0;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

/// Where the length of a body is known, no worker is asked for before a part of it is there.
#[test]
fn a_body_of_known_length_that_trickles_holds_no_worker() {
    for (length, enough) in [(60, 60), (1_000_000, 16 * 1024)] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        world.send(&mut client, head);
        for _ in 1..enough {
            world.send(&mut client, "x");
        }
        assert!(world.channels.lying.is_empty());
        world.send(&mut client, "x");
        let (_, mut worker) = world.take();
        let (said, _) = arrived(&mut worker);
        assert!(said.ends_with(&"x".repeat(enough)), "{said}");
    }
    let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
    let mut client = world.connect();
    world.send(
        &mut client,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nx",
    );
    for _ in 0..50 {
        let _ = client.write(b"x");
        world.pass(2 * SECOND);
    }
    assert!(arrived(&mut client).0.starts_with("HTTP/1.1 408 "));
    assert!(world.channels.lying.is_empty());
}

/// A small body goes with its head: a worker finds both, or neither.
#[test]
fn a_small_body_goes_with_its_head() {
    for (length, together) in [(1, true), (2048, true), (2049, false)] {
        let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
        let mut client = world.connect_from("192.0.2.1");
        let body = "x".repeat(length);
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        // Cut anywhere on its way, and followed by another request.
        let (first, second) = post.split_at(post.len() - 1);
        world.send(&mut client, first);
        assert!(world.channels.lying.is_empty());
        world.send(&mut client, format!("{second}{post}"));
        let (_, mut worker) = world.take();
        let said = arrived(&mut worker).0;
        assert!(said.ends_with(&format!("\r\n\r\n{body}")), "{said}");
        let found = usize::try_from(world.channels.handed_with).unwrap();
        let expected = if together {
            said.len()
        } else {
            said.len() - length
        };
        assert_eq!(found, expected, "{length}");
        // The next one goes over the same connection, with all that is sent at the end of the turn.
        worker.write_all(OK.as_bytes()).unwrap();
        world.see_to_events();
        let before = arrived(&mut worker).0;
        assert_eq!(before.is_empty(), together, "{length}: {before}");
        world.run();
        assert_eq!(before + &arrived(&mut worker).0, said, "{length}");
    }
}

/// Old clients send an empty line behind a body; one is passed over, however it is cut on its way.
#[test]
fn an_empty_line_behind_a_request_is_no_request() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    for (behind, served) in [
        (&["\r\n", GET][..], true),
        (&["\r", "\n", GET], true),
        (&["\r", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"], true),
        (&["\r\nGET / HTTP/1.1\r\n", "Host: a\r\n\r\n"], true),
        (&["\r\n\r\n", GET], false),
        (&["\r\n", "\r\n", GET], false),
        (&["\r", "x"], false),
        (&["\n"], false),
    ] {
        for together in [false, true] {
            let mut world = World::new(1, settings(RequestPolicy::NextAvailable));
            let mut client = world.connect();
            let mut parts = behind.iter();
            let first = match together {
                true => format!("{POST}{}", parts.next().unwrap()),
                false => POST.to_owned(),
            };
            world.send(&mut client, first);
            let (_, mut worker) = world.take();
            arrived(&mut worker);
            world.send(&mut worker, OK);
            let mut said = arrived(&mut client).0;
            assert!(said.contains(" 200 "), "{said}");
            for part in parts {
                let _ = client.write(part.as_bytes());
                world.run();
            }
            if served {
                // Over the same pair, or a new one.
                if !world.channels.lying.is_empty() {
                    worker = world.take().1;
                }
                let asked = arrived(&mut worker).0;
                assert!(
                    asked.starts_with("GET / "),
                    "{behind:?} {together}: {asked}"
                );
                world.send(&mut worker, OK);
                assert!(arrived(&mut client).0.contains(" 200 "), "{behind:?}");
            } else {
                said += &arrived(&mut client).0;
                assert!(said.contains("HTTP/1.1 400 "), "{behind:?}: {said}");
            }
        }
    }
}
