//! Kinds of clients that never retry.

use std::io;
use std::thread;
use std::time::Duration;

use super::websocket;
use crate::client::Client;

/// One kind of client: what it does again and again.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Whether it uses each connection once.
    pub(super) anew: bool,
    /// Whether its connections cannot move, and are not requests either.
    pub(super) opaque: bool,
    pub(super) act: fn(&mut Client) -> io::Result<()>,
}

const fn kept(name: &'static str, act: fn(&mut Client) -> io::Result<()>) -> Kind {
    let (anew, opaque) = (false, false);
    Kind {
        name,
        anew,
        opaque,
        act,
    }
}

impl Kind {
    const fn anew(self) -> Self {
        Self { anew: true, ..self }
    }

    const fn opaque(self) -> Self {
        Self {
            opaque: true,
            ..self.anew()
        }
    }
}

pub(super) const KINDS: [Kind; 14] = [
    kept("new connections", |client| client.post("/", b"hello")).anew(),
    kept("late requests", |client| {
        thread::sleep(Duration::from_millis(200));
        client.post("/", b"hello")
    })
    .anew(),
    kept("slow heads", |client| {
        for part in [
            "POST / HT",
            "TP/1.1\r\nHost: a\r\n",
            "Content-Length: 5\r\n\r",
        ] {
            client.write(part.as_bytes())?;
            thread::sleep(Duration::from_millis(50));
        }
        client.write(b"\nhello")?;
        client.receive(b"hello")
    }),
    kept("kept alive", |client| client.post("/", b"")),
    kept("mostly idle", |client| {
        client.post("/", b"x")?;
        client.pause = Duration::from_millis(200);
        Ok(())
    }),
    kept("pipelined", |client| {
        for body in ["a", "bb", "ccc"] {
            client.send("/", body.as_bytes())?;
        }
        for body in ["a", "bb", "ccc"] {
            client.receive(body.as_bytes())?;
        }
        Ok(())
    }),
    LARGE_BODIES,
    CHUNKED_UPLOADS,
    SLOW_UPLOADS,
    AFTER_CONTINUE,
    SLOW_READERS,
    kept("slow downloads", |client| {
        client.send("/slow", b"")?;
        client.receive(&b"0123456789".repeat(10))
    }),
    kept("event streams", |client| {
        client.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")?;
        (0..10).try_for_each(|number| next_event(client, number))
    })
    .opaque(),
    kept("websockets", |client| {
        websocket::open(client, "/")?;
        for number in 0..10 {
            websocket::echoes(client, &format!("message {number}"))?;
            thread::sleep(Duration::from_millis(20));
        }
        websocket::close(client)
    })
    .opaque(),
];

const LARGE_BODIES: Kind = kept("large bodies", |client| client.post("/", &[b'y'; 100_000]));

const CHUNKED_UPLOADS: Kind = kept("chunked uploads", |client| {
    upload(client, thread::yield_now)
});

const SLOW_UPLOADS: Kind = kept("slow uploads", |client| {
    upload(client, || thread::sleep(Duration::from_millis(100)))
});

const AFTER_CONTINUE: Kind = kept("uploads after 100 Continue", |client| {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.write(head.as_bytes())?;
    let status = client.line()?;
    if !status.starts_with("http/1.1 100") {
        return Err(io::Error::other(status));
    }
    while !client.line()?.is_empty() {}
    client.write(b"hello")?;
    client.receive(b"hello")
});

const SLOW_READERS: Kind = kept("slow readers", |client| {
    client.takes_in_little()?;
    client.reading = Duration::from_millis(50);
    client.post("/", &[b'z'; 1_000_000])
});

/// Answered at any moment within a second.
pub(super) const SOON: Kind = kept("soon answered", |client| {
    client.send("/soon", b"")?;
    client.receive(b"")
});

/// Those whose bodies come later than their heads.
pub(super) const UPLOADS: [&str; 5] = [
    LARGE_BODIES.name,
    CHUNKED_UPLOADS.name,
    SLOW_UPLOADS.name,
    AFTER_CONTINUE.name,
    SLOW_READERS.name,
];

fn upload(client: &mut Client, pause: fn()) -> io::Result<()> {
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..5 {
        client.write(b"5\r\nhello\r\n")?;
        pause();
    }
    client.write(b"0\r\n\r\n")?;
    client.receive(&b"hello".repeat(5))
}

/// Reads an event, which must have this number.
pub(super) fn next_event(client: &mut Client, number: u32) -> io::Result<()> {
    let expected = format!("data: {number}");
    loop {
        // Between events stand the response's fields, sizes of chunks, and empty lines.
        match client.line()? {
            line if line == expected => return Ok(()),
            line if line.starts_with("data: ") => {
                return Err(io::Error::other(format!("{line} is not {expected}")));
            }
            _ => {}
        }
    }
}
