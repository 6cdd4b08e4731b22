//! Clients that never retry: what a deploy loses shows in their counts. Each is a thread that sends a
//! request, waits for the whole response, pauses, and sends the next one. A third of them open a
//! connection for each request, a third keep theirs, and a third send bodies in pieces over theirs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    NewConnections,
    KeepAlive,
    Post,
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Quiet,
    Reload,
}

/// How a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    NotConnected,
    Reset,
    /// The connection ended before the response did.
    Ended,
    /// Another status than 200, or another body.
    Wrong,
    TimedOut,
}

pub(crate) const CLIENTS: [Client; 3] = [Client::NewConnections, Client::KeepAlive, Client::Post];
pub(crate) const PHASES: usize = 3;
pub(crate) const LOSSES: [&str; 5] = ["not connected", "reset", "ended", "wrong", "timed out"];

/// What one kind of client has met in one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) requests: u64,
    /// By [`Loss`].
    pub(crate) lost: [u64; LOSSES.len()],
    /// Kept-alive connections that the server has ended.
    pub(crate) closed: u64,
    /// Of the answered requests, in milliseconds.
    pub(crate) latencies: Vec<f64>,
}

/// By [`Client`] and [`Phase`].
pub(crate) type All = [[Met; PHASES]; CLIENTS.len()];

pub(crate) struct StrictClients {
    shared: Arc<Shared>,
    threads: Vec<(Client, JoinHandle<[Met; PHASES]>)>,
}

struct Shared {
    port: u16,
    phase: AtomicUsize,
    end: AtomicBool,
}

const PAUSE: Duration = Duration::from_millis(10);
/// Longer than any server may take; what has no answer by then is lost.
const PATIENCE: Duration = Duration::from_secs(15);
const PIECE: usize = 4096;
const PIECES: usize = 4;
const BETWEEN_PIECES: Duration = Duration::from_millis(2);
const LONGEST: usize = 4096;

impl StrictClients {
    /// `each` clients of each kind.
    pub(crate) fn start(port: u16, each: u8) -> Self {
        let shared = Arc::new(Shared {
            port,
            phase: AtomicUsize::new(Phase::WarmUp as usize),
            end: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (client, kind) in CLIENTS.into_iter().zip(0u8..) {
            for n in 0..each {
                // Each has an address of its own to go to, so that ports in TIME-WAIT never run out.
                let to = Ipv4Addr::new(127, 0, kind + 1, n + 1);
                let shared = Arc::clone(&shared);
                let thread = std::thread::spawn(move || Runner::new(client, to, &shared).run());
                threads.push((client, thread));
            }
        }
        Self { shared, threads }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as usize, Ordering::Relaxed);
    }

    /// Lets each client finish its request; what they have met.
    pub(crate) fn finish(mut self) -> Result<All> {
        self.shared.end.store(true, Ordering::Relaxed);
        let mut all = All::default();
        for (client, thread) in self.threads.drain(..) {
            let met = thread.join().map_err(|_| anyhow!("a client failed"))?;
            for (sum, met) in all[client as usize].iter_mut().zip(met) {
                sum.add(met);
            }
        }
        Ok(all)
    }
}

impl Drop for StrictClients {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
    }
}

impl Met {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        for (sum, lost) in self.lost.iter_mut().zip(other.lost) {
            *sum += lost;
        }
        self.closed += other.closed;
        self.latencies.extend(other.latencies);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.lost.iter().sum()
    }
}

struct Runner<'a> {
    client: Client,
    to: Ipv4Addr,
    shared: &'a Shared,
    head: String,
    connection: Option<TcpStream>,
    met: [Met; PHASES],
}

impl<'a> Runner<'a> {
    fn new(client: Client, to: Ipv4Addr, shared: &'a Shared) -> Self {
        let head = match client {
            Client::Post => format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                PIECE * PIECES
            ),
            _ => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        };
        Self {
            client,
            to,
            shared,
            head,
            connection: None,
            met: Default::default(),
        }
    }

    fn run(mut self) -> [Met; PHASES] {
        while !self.shared.end.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answered = self.ask();
            let took = begun.elapsed();
            let met = self.now();
            met.requests += 1;
            match answered {
                Ok(()) => met.latencies.push(took.as_secs_f64() * 1e3),
                Err(loss) => met.lost[loss as usize] += 1,
            }
            std::thread::sleep(PAUSE);
            self.look_for_end();
        }
        self.met
    }

    /// What is met now counts for the phase that is now: what a reload does to a request that has begun
    /// before it counts for the reload.
    fn now(&mut self) -> &mut Met {
        &mut self.met[self.shared.phase.load(Ordering::Relaxed).min(PHASES - 1)]
    }

    /// A kept connection that the server has ended between two requests is no lost request.
    fn look_for_end(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let open = connection.set_nonblocking(true).is_ok()
            && connection
                .peek(&mut [0])
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            && connection.set_nonblocking(false).is_ok();
        if !open {
            self.connection = None;
            self.now().closed += 1;
        }
    }

    fn ask(&mut self) -> Result<(), Loss> {
        let was_kept = self.connection.is_some();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.to, self.shared.port).map_err(|error| match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Loss::TimedOut,
                _ => Loss::NotConnected,
            })?,
        };
        let answered = self
            .send(&mut connection)
            .map_err(|error| loss(&error))
            .and_then(|()| receive(&mut connection, self.expected()));
        match answered {
            Ok(_) if self.client == Client::NewConnections => {}
            Ok(After::Open) => self.connection = Some(connection),
            Ok(After::Closed) => self.now().closed += 1,
            Err(_) if was_kept => self.now().closed += 1,
            Err(_) => {}
        }
        answered.map(drop)
    }

    fn send(&self, connection: &mut TcpStream) -> std::io::Result<()> {
        connection.write_all(self.head.as_bytes())?;
        if self.client == Client::Post {
            for _ in 0..PIECES {
                connection.write_all(&[b'x'; PIECE])?;
                std::thread::sleep(BETWEEN_PIECES);
            }
        }
        Ok(())
    }

    fn expected(&self) -> &'static str {
        match self.client {
            Client::Post => "got 16384",
            _ => "got 0",
        }
    }
}

fn connect(to: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&SocketAddr::from((to, port)), PATIENCE)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}

fn loss(error: &std::io::Error) -> Loss {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Loss::TimedOut,
        _ => Loss::Reset,
    }
}

/// What becomes of a connection after its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Open,
    Closed,
}

/// Reads one response, and nothing after it.
fn receive(connection: &mut impl Read, expected: &str) -> Result<After, Loss> {
    let mut received = Vec::new();
    let mut room = [0; LONGEST];
    loop {
        match connection.read(&mut room) {
            Ok(0) => return Err(Loss::Ended),
            Ok(n) => received.extend_from_slice(&room[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(loss(&error)),
        }
        if let Some(after) = whole(&received, expected) {
            return after.ok_or(Loss::Wrong);
        }
        if received.len() > LONGEST {
            return Err(Loss::Wrong);
        }
    }
}

/// `None` while something is missing, `Some(None)` for another response than the expected one.
fn whole(received: &[u8], expected: &str) -> Option<Option<After>> {
    let text = String::from_utf8_lossy(received);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let length: usize = field("content-length").and_then(|n| n.parse().ok())?;
    if body.len() < length {
        return None;
    }
    if !head.starts_with("HTTP/1.1 200 ") || body != expected {
        return Some(None);
    }
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Some(Some(if closes { After::Closed } else { After::Open }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<After, Loss> {
        receive(&mut text.as_bytes(), "got 0")
    }

    #[test]
    fn only_the_whole_expected_response_is_an_answer() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngot 0";
        assert_eq!(read(good), Ok(After::Open));
        for end in 0..good.len() {
            assert_eq!(read(&good[..end]), Err(Loss::Ended), "{end}");
        }
        for wrong in [
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\ngot 0",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngot 1",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngot 00",
        ] {
            assert_eq!(read(wrong), Err(Loss::Wrong), "{wrong}");
        }
    }

    #[test]
    fn a_response_may_end_its_connection() {
        let last = "HTTP/1.1 200 OK\r\nconnection: Close\r\nContent-Length: 5\r\n\r\ngot 0";
        assert_eq!(read(last), Ok(After::Closed));
    }

    /// A server that answers once on each connection, and then closes it, or drops it unanswered.
    #[test]
    fn ends_between_requests_are_closed_connections_and_others_lose_requests() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared {
            port,
            phase: AtomicUsize::new(Phase::Quiet as usize),
            end: AtomicBool::new(false),
        };
        let mut runner = Runner::new(Client::KeepAlive, Ipv4Addr::LOCALHOST, &shared);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut first, _) = listener.accept().unwrap();
                let n = first.read(&mut [0; 1024]).unwrap();
                assert!(n > 0);
                first
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngot 0")
                    .unwrap();
                drop(first);
                let (mut second, _) = listener.accept().unwrap();
                let n = second.read(&mut [0; 1024]).unwrap();
                assert!(n > 0);
            });
            assert_eq!(runner.ask(), Ok(()));
            while runner.connection.is_some() {
                runner.look_for_end();
            }
            assert_eq!(runner.ask(), Err(Loss::Ended));
        });
        assert_eq!(runner.met[Phase::Quiet as usize].closed, 1);
    }
}
