//! The closed loop: a fixed number of clients, each of which sends its next
//! request when the last one was answered.
//!
//! On new connections the client closes after the full response. The request
//! does not say `Connection: close`, so that the server does the same work in
//! both modes. By default the client closes with a reset: at 20,000
//! connections a second TIME-WAIT would use up the ports, and its timers would
//! expire a minute later, in somebody else's round. `Close::Fin` closes as
//! browsers do, and goes through many of this machine's loopback addresses to
//! keep the ports free.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

pub(crate) use super::response::Body;
use super::response::Progress;
pub(crate) use super::socket::Close;
use super::socket::{Connection, Room, Sent, room};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    NewConnections,
    KeepAlive,
}

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
    /// The body that every response must have.
    pub body: Body,
    pub(crate) connections: usize,
    pub(crate) mode: Mode,
    pub(crate) close: Close,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) elapsed: Duration,
}

/// Past this many errors a run ends: the contender is broken, not slow.
const MOST_ERRORS: u64 = 10_000;
/// How long the last requests may take after a run.
const DRAIN: Duration = Duration::from_secs(5);
/// Destination addresses that `Close::Fin` goes through.
const FIN_ADDRESSES: u64 = 250;

/// A client, and what its connection is watched for: EPOLLOUT while it is not
/// established, EPOLLIN while its request is in flight.
type Slot = Option<(Connection, EpollFlags)>;

pub(crate) struct ClosedLoop {
    settings: Settings,
    request: String,
    epoll: Epoll,
    room: Room,
    slots: Vec<Slot>,
    opened: u64,
    tally: Tally,
    /// While draining, an answered client sends nothing more.
    draining: bool,
    /// When each client sent its request.
    sent: Vec<Instant>,
    /// How long each request of the last run took, in microseconds.
    latencies: Vec<f64>,
}

impl Settings {
    fn server_closes(&self) -> bool {
        self.close == Close::Server && self.mode == Mode::NewConnections
    }
}

impl ClosedLoop {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
        let close = if settings.server_closes() {
            "Connection: close\r\n"
        } else {
            ""
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n",
            settings.path
        );
        let slots = (0..settings.connections).map(|_| None).collect();
        Ok(Self {
            settings,
            request,
            epoll,
            room: room(),
            slots,
            opened: 0,
            tally: Tally::default(),
            draining: false,
            sent: vec![Instant::now(); settings.connections],
            latencies: Vec::new(),
        })
    }

    /// Keeps all clients busy for so long. May be called again, to go on.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<Tally> {
        self.draining = false;
        self.tally = Tally::default();
        self.latencies.clear();
        let started = Instant::now();
        let mut elapsed = Duration::ZERO;
        while elapsed < duration {
            self.fill();
            self.turn((duration - elapsed).min(Duration::from_millis(50)))?;
            elapsed = started.elapsed();
        }
        self.tally.elapsed = elapsed;
        Ok(self.tally)
    }

    /// Waits for what is still under way. What is not answered then was lost,
    /// and counts as an error.
    pub(crate) fn drain(&mut self) -> Result<Tally> {
        self.draining = true;
        self.tally = Tally::default();
        let started = Instant::now();
        while self.in_flight() > 0 && started.elapsed() < DRAIN {
            self.turn(Duration::from_millis(50))?;
        }
        self.tally.errors += self.in_flight();
        self.tally.elapsed = started.elapsed();
        Ok(self.tally)
    }

    /// How long each request of the last run took, in microseconds.
    pub(crate) fn latencies(&self) -> &[f64] {
        &self.latencies
    }

    fn in_flight(&self) -> u64 {
        self.slots.iter().flatten().count() as u64
    }

    /// Gives every client without a connection one.
    fn fill(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].is_none() {
                self.open(index);
            }
        }
    }

    fn turn(&mut self, longest: Duration) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        let timeout = EpollTimeout::try_from(longest).unwrap_or(EpollTimeout::ZERO);
        let n = match self.epoll.wait(&mut events, timeout) {
            Ok(n) => n,
            Err(nix::Error::EINTR) => 0,
            Err(errno) => return Err(errno).context("waiting for responses"),
        };
        for event in &events[..n] {
            self.ready(event.data() as usize);
        }
        if self.tally.errors > MOST_ERRORS {
            bail!(
                "more than {MOST_ERRORS} of {} requests failed",
                self.tally.requests + MOST_ERRORS
            );
        }
        Ok(())
    }

    /// Each slot has one descriptor and each descriptor one event a turn, so a
    /// slot that was given a new connection meets no event of its old one.
    fn ready(&mut self, index: usize) {
        let Some((mut connection, watched)) = self.slots[index].take() else {
            return;
        };
        if watched == EpollFlags::EPOLLOUT {
            return self.send(index, connection, Some(watched));
        }
        match connection.receive(&mut self.room, &self.settings.body) {
            Ok(Progress::Incomplete) => self.slots[index] = Some((connection, watched)),
            Ok(Progress::Complete) if self.settings.server_closes() => {
                self.slots[index] = Some((connection, watched));
            }
            Ok(Progress::Complete | Progress::Ended) => self.answered(index, connection, watched),
            Ok(Progress::Wrong) | Err(_) => self.tally.errors += 1,
        }
    }

    fn answered(&mut self, index: usize, connection: Connection, watched: EpollFlags) {
        self.tally.requests += 1;
        self.latencies
            .push(self.sent[index].elapsed().as_secs_f64() * 1e6);
        if self.draining {
            return;
        }
        match self.settings.mode {
            Mode::KeepAlive => self.send(index, connection, Some(watched)),
            Mode::NewConnections => {
                drop(connection);
                self.open(index);
            }
        }
    }

    fn open(&mut self, index: usize) {
        self.opened += 1;
        let to = SocketAddrV4::new(self.destination(), self.settings.port);
        match Connection::open(to, None, self.settings.close) {
            Ok(connection) => self.send(index, connection, None),
            Err(_) => self.tally.errors += 1,
        }
    }

    /// On loopback the handshake is over when `connect` returns, unless the
    /// backlog is full: sending at once mostly saves a turn of the loop.
    fn send(&mut self, index: usize, mut connection: Connection, watched: Option<EpollFlags>) {
        self.sent[index] = Instant::now();
        let wanted = match connection.send(self.request.as_bytes()) {
            Ok(Sent::All) => EpollFlags::EPOLLIN,
            Ok(Sent::NotYet) => EpollFlags::EPOLLOUT,
            Err(_) => {
                self.tally.errors += 1;
                return;
            }
        };
        let mut event = EpollEvent::new(wanted, index as u64);
        let done = match watched {
            None => self.epoll.add(&connection, event),
            Some(watched) if watched != wanted => self.epoll.modify(&connection, &mut event),
            Some(_) => Ok(()),
        };
        match done {
            Ok(()) => self.slots[index] = Some((connection, wanted)),
            Err(_) => self.tally.errors += 1,
        }
    }

    fn destination(&self) -> Ipv4Addr {
        match self.settings.close {
            Close::Reset | Close::Server => Ipv4Addr::LOCALHOST,
            Close::Fin => Ipv4Addr::new(127, 0, 0, (self.opened % FIN_ADDRESSES + 1) as u8),
        }
    }
}
