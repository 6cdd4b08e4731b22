//! Checks over a worker's own channel: whether it accepts a connection, and what it answers to a
//! request. What is read is bounded, and so is the time.

use std::io;
use std::time::Duration;

use crate::span;
use balance::MemberId;
use dispatcher::{CheckConnection, Checks, ListenAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The beginning of an answer in which its status has to stand.
const HEAD: usize = 4096;

/// What comes after the status is read for a moment, so that the worker can end in good order.
const REST: usize = 64 * 1024;
const REST_TIME: Duration = Duration::from_secs(1);

/// The first and the longest pause between two looks whether a connection was accepted.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// What is asked of a worker.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// To accept.
    Connection,
    /// To answer a request for this path.
    Path(String),
}

/// One check of an instance, over the channels of all its workers.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) workers: Vec<MemberId>,
    pub(super) port: Option<u16>,
    pub(super) asked: Asked,
    pub(super) timeout: Duration,
}

/// Checks all workers side by side; what is wrong with the first one that fails.
pub(super) async fn check(checks: Checks, check: Check) -> Result<(), String> {
    let deadline = Instant::now() + check.timeout;
    let connections = checks.connect(check.workers, check.port).await;
    let connections = connections.map_err(|error| format!("it could not be checked: {error}"))?;
    if connections.is_empty() {
        return Err(match check.port {
            Some(port) => format!("it does not listen on port {port}"),
            None => "it does not listen".to_owned(),
        });
    }
    let several = connections.len() > 1;
    let mut all = JoinSet::new();
    for connection in connections {
        let (checks, asked) = (checks.clone(), check.asked.clone());
        all.spawn(async move {
            let who = match several {
                true => format!("its worker with PID {}", connection.pid),
                false => "it".to_owned(),
            };
            let (worker, host) = (connection.worker, host(&connection.address));
            let checked = one(&checks, connection, &asked, &host, deadline).await;
            let checked = match checked {
                Err(Wrong::Late) if !checks.was_taken(worker).await => Err(Wrong::NotAccepted),
                other => other,
            };
            checked.map_err(|wrong| format!("{who} {}", words(&wrong, &asked, check.timeout)))
        });
    }
    while let Some(checked) = all.join_next().await {
        checked.unwrap_or_else(|error| Err(format!("it could not be checked: {error}")))?;
    }
    Ok(())
}

/// What is wrong with a worker.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// It has not accepted the connection.
    NotAccepted,
    /// That of an earlier check.
    NotAcceptedStill,
    Late,
    Closed,
    /// After a part of an answer.
    ClosedEarly,
    Status(u16),
    Tls,
    NotHttp,
    Broken(io::ErrorKind),
}

fn words(wrong: &Wrong, asked: &Asked, timeout: Duration) -> String {
    let time = span::set(timeout);
    let question = match asked {
        Asked::Connection => "the check".to_owned(),
        Asked::Path(path) => format!("GET {path}"),
    };
    match wrong {
        Wrong::NotAccepted => format!("hangs: it has not accepted a connection within {time}"),
        Wrong::NotAcceptedStill => {
            "hangs: it has not accepted the connection of an earlier check".to_owned()
        }
        Wrong::Late => format!("hangs: it has not answered {question} within {time}"),
        Wrong::Closed => format!("closes the connection without an answer to {question}"),
        Wrong::ClosedEarly => format!("closes the connection within its answer to {question}"),
        Wrong::Status(status) => format!("answers {status} to {question}"),
        Wrong::Tls => format!(
            "speaks TLS, and {question} comes without it: check it with tcp: true or a command"
        ),
        Wrong::NotHttp => format!("answers something that is not HTTP to {question}"),
        Wrong::Broken(kind) => format!("breaks the connection: {kind}"),
    }
}

/// What a request names as its host: what a client on this machine would.
fn host(address: &ListenAddress) -> String {
    address.port().map_or_else(
        || "localhost".to_owned(),
        |port| format!("localhost:{port}"),
    )
}

async fn one(
    checks: &Checks,
    connection: CheckConnection,
    asked: &Asked,
    host: &str,
    deadline: Instant,
) -> Result<(), Wrong> {
    let Some(socket) = connection.socket else {
        // What clients wait for behind it is worse than a check that comes too early.
        return Err(Wrong::NotAcceptedStill);
    };
    let broken = |error: io::Error| Wrong::Broken(error.kind());
    let stream = std::os::unix::net::UnixStream::from(socket);
    let mut stream = UnixStream::from_std(stream).map_err(broken)?;
    match asked {
        Asked::Connection => accepts(checks, connection.worker, deadline).await,
        Asked::Path(path) => {
            let answered = timeout_at(deadline, answers(&mut stream, path, host)).await;
            let checked = answered.unwrap_or(Err(Wrong::Late));
            if checked != Err(Wrong::Late) {
                tokio::spawn(read_rest(stream));
            }
            checked
        }
    }
}

/// Waits until the worker has taken the connection.
async fn accepts(checks: &Checks, worker: MemberId, deadline: Instant) -> Result<(), Wrong> {
    let mut pause = FIRST_LOOK;
    while !checks.was_taken(worker).await {
        let next = Instant::now() + pause;
        if next > deadline {
            sleep_until(deadline).await;
            return match checks.was_taken(worker).await {
                true => Ok(()),
                false => Err(Wrong::NotAccepted),
            };
        }
        sleep(pause).await;
        pause = (2 * pause).min(LAST_LOOK);
    }
    Ok(())
}

/// Asks for a path, and reads the status of the answer.
async fn answers(stream: &mut UnixStream, path: &str, host: &str) -> Result<(), Wrong> {
    let version = env!("CARGO_PKG_VERSION");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: maitred/{version} (health check)\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    // One that closes may have answered before.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut head = Vec::with_capacity(HEAD);
    loop {
        match read_status(&head) {
            Read::Status(200..=399) => return Ok(()),
            Read::Status(status) => return Err(Wrong::Status(status)),
            Read::Tls => return Err(Wrong::Tls),
            Read::Other => return Err(Wrong::NotHttp),
            Read::More if head.len() >= HEAD => return Err(Wrong::NotHttp),
            Read::More => {}
        }
        let mut part = (&mut *stream).take((HEAD - head.len()) as u64);
        match part.read_buf(&mut head).await {
            Ok(0) if head.is_empty() => return Err(Wrong::Closed),
            Ok(0) => return Err(Wrong::ClosedEarly),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Wrong::Closed);
            }
            Err(error) => return Err(Wrong::Broken(error.kind())),
        }
    }
}

/// Reads what comes after the status, for a moment.
async fn read_rest(stream: UnixStream) {
    let mut rest = stream.take(REST as u64);
    // However it ends, the check is over.
    let _ = timeout(
        REST_TIME,
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await;
}

/// What the beginning of an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    More,
    Status(u16),
    Tls,
    Other,
}

/// Reads the status. What goes before the answer itself (100, 103) is passed over.
fn read_status(mut answer: &[u8]) -> Read {
    loop {
        if matches!(answer, [0x15 | 0x16, 3, ..]) {
            return Read::Tls;
        }
        let beginning = b"HTTP/1.";
        let known = answer.len().min(beginning.len());
        if answer.get(..known) != beginning.get(..known) {
            return Read::Other;
        }
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else {
            return Read::More;
        };
        let line = std::str::from_utf8(answer.get(..end).unwrap_or_default());
        let mut words = line.unwrap_or_default().split_ascii_whitespace();
        let status = words.nth(1).filter(|it| it.len() == 3);
        match status.and_then(|status| status.parse().ok()) {
            Some(100..=199) => {}
            Some(status) => return Read::Status(status),
            None => return Read::Other,
        }
        let blank = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(rest) = blank.and_then(|at| answer.get(at + 4..)) else {
            return Read::More;
        };
        answer = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_first_line() {
        for (answer, read) in [
            ("", Read::More),
            ("HT", Read::More),
            ("HTTP/1.1 200", Read::More),
            ("HTTP/1.1 200 OK\r\n", Read::Status(200)),
            ("HTTP/1.0 503\r\nA: b", Read::Status(503)),
            ("HTTP/1.1 204 \n", Read::Status(204)),
            ("HTTP/1.1 100 Continue\r\n", Read::More),
            ("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n", Read::More),
            (
                "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 No\r\n",
                Read::Status(500),
            ),
            ("HTTP/1.1 2000 OK\r\n", Read::Other),
            ("HTTP/1.1 OK\r\n", Read::Other),
            ("HTTP/1.1\r\n", Read::Other),
            ("HTTP/2 200\r\n", Read::Other),
            ("SSH-2.0\r\n", Read::Other),
            ("\u{15}\u{3}\u{1}", Read::Tls),
        ] {
            assert_eq!(read_status(answer.as_bytes()), read, "{answer:?}");
        }
    }

    async fn answered(answer: &[u8], closes: bool) -> Result<(), Wrong> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).await.unwrap();
        let kept = (!closes).then_some(theirs);
        let time = Duration::from_millis(200);
        let answered = timeout(time, answers(&mut ours, "/", "localhost")).await;
        drop(kept);
        answered.unwrap_or(Err(Wrong::Late))
    }

    #[tokio::test]
    async fn each_failure_has_its_name() {
        let flood = vec![b'x'; 2 * HEAD];
        let mut endless = b"HTTP/1.1 ".to_vec();
        endless.resize(2 * HEAD, b' ');
        let cases: [(&[u8], bool, Result<(), Wrong>); 9] = [
            (b"HTTP/1.1 200 OK\r\n", false, Ok(())),
            (b"HTTP/1.1 302 Found\r\n", true, Ok(())),
            (b"HTTP/1.1 404 Not Found\r\n", true, Err(Wrong::Status(404))),
            (b"", true, Err(Wrong::Closed)),
            (b"", false, Err(Wrong::Late)),
            (b"HTTP/1.1 ", true, Err(Wrong::ClosedEarly)),
            (b"HTTP/1.1 2", false, Err(Wrong::Late)),
            (&flood, false, Err(Wrong::NotHttp)),
            (&endless, false, Err(Wrong::NotHttp)),
        ];
        for (answer, closes, expected) in cases {
            let shown = String::from_utf8_lossy(answer.get(..20).unwrap_or(answer)).into_owned();
            assert_eq!(answered(answer, closes).await, expected, "{shown:?}");
        }
    }
}
