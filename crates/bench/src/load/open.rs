//! The open loop: each request leaves at the moment it is due, whatever has come
//! back so far, and its latency counts from that moment. So a stall shows in
//! every request that it delayed, also in those that the generator itself sent
//! late.
//!
//! Either each has a connection of its own, or there are a few that are kept
//! alive, each with one request at a time: then one that is due while all are
//! taken waits for the first that is not, and that is part of its latency.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use super::response::{Body, Progress};
use super::socket::{Close, Connection, Room, Sent, room};
use crate::arrivals::Arrival;

/// What became of one arrival. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// From the moment it was due to its answer; none for an error.
    pub(crate) latency: Option<u64>,
    /// How late the generator sent it.
    pub(crate) late: u64,
    /// No other request was in flight when it left.
    pub(crate) alone: bool,
}

/// How long the last answers may take after the last arrival.
const DRAIN: u64 = 30_000_000_000;
/// One request in a hundred sent later than this spoils a run.
pub(crate) const LATE_MS: f64 = 1.0;
/// More in flight than this means that the contender has stopped to answer.
const MOST_IN_FLIGHT: usize = 10_000;
pub(crate) const BODY: Body = Body::text("done");
/// The timer's mark among the events, where others have their flight's index.
const TIMER: u64 = u64::MAX;

/// On which connections requests leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Each on one of its own, from its client's address.
    Own,
    /// On so many that are kept alive, in rotation.
    Kept(usize),
}

struct Flight {
    connection: Connection,
    /// What is on its way; none on a connection that is kept for later.
    arrival: Option<usize>,
    watched: EpollFlags,
}

pub(crate) fn run(
    port: u16,
    arrivals: &[Arrival],
    path: &'static str,
    connections: Connections,
) -> Result<Vec<Outcome>> {
    let timer = TimerFd::new(
        timerfd::ClockId::CLOCK_MONOTONIC,
        TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
    )
    .context("creating a timer")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
    epoll
        .add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))
        .context("watching the timer")?;
    let mut generator = Generator {
        to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        arrivals,
        path,
        epoll,
        room: room(),
        connections,
        flights: Vec::new(),
        idle: VecDeque::new(),
        waiting: VecDeque::new(),
        under_way: 0,
        outcomes: vec![Outcome::default(); arrivals.len()],
        start: now()? + 10_000_000,
    };
    let most = match connections {
        Connections::Own => arrivals.len(),
        Connections::Kept(most) => most,
    };
    generator.flights.resize_with(most, || None);
    generator.idle.extend(0..most);
    generator.run(&timer)?;
    Ok(generator.outcomes)
}

struct Generator<'a> {
    to: SocketAddrV4,
    arrivals: &'a [Arrival],
    path: &'static str,
    epoll: Epoll,
    room: Room,
    connections: Connections,
    flights: Vec<Option<Flight>>,
    /// Flights that may be used, in this order.
    idle: VecDeque<usize>,
    /// Those that are due, and wait for one.
    waiting: VecDeque<usize>,
    /// All that are due and have no answer yet.
    under_way: usize,
    outcomes: Vec<Outcome>,
    start: u64,
}

impl Generator<'_> {
    fn run(&mut self, timer: &TimerFd) -> Result<()> {
        let mut next = 0;
        let last_due = self.arrivals.last().map_or(0, |a| self.start + a.at);
        let mut armed = false;
        let mut events = [EpollEvent::empty(); 64];
        while next < self.arrivals.len() || self.under_way > 0 {
            while let Some(arrival) = self.arrivals.get(next) {
                if now()? < self.start + arrival.at {
                    break;
                }
                self.is_due(next)?;
                next += 1;
                armed = false;
            }
            if let Some(arrival) = self.arrivals.get(next).filter(|_| !armed) {
                let due = TimeSpec::from_duration(std::time::Duration::from_nanos(
                    self.start + arrival.at,
                ));
                timer
                    .set(
                        Expiration::OneShot(due),
                        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                    )
                    .context("setting the timer")?;
                armed = true;
            }
            let n = match self.epoll.wait(&mut events, EpollTimeout::from(100u8)) {
                Ok(n) => n,
                Err(nix::Error::EINTR) => 0,
                Err(errno) => return Err(errno).context("waiting for responses"),
            };
            for event in &events[..n] {
                match event.data() {
                    // Setting it again, for the next arrival, clears it.
                    TIMER => armed = false,
                    index => self.ready(index as usize)?,
                }
            }
            if self.under_way > MOST_IN_FLIGHT {
                bail!("more than {MOST_IN_FLIGHT} requests wait for an answer");
            }
            if now()? > last_due + DRAIN {
                // What is still in flight has no latency: an error.
                break;
            }
        }
        Ok(())
    }

    fn is_due(&mut self, arrival: usize) -> Result<()> {
        let outcome = &mut self.outcomes[arrival];
        outcome.late = now()?.saturating_sub(self.start + self.arrivals[arrival].at);
        outcome.alone = self.under_way == 0;
        self.under_way += 1;
        self.waiting.push_back(arrival);
        self.depart()
    }

    /// Sends what waits, as far as there are connections.
    fn depart(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            let Some(flight) = self.idle.pop_front() else {
                return Ok(());
            };
            if let Some(arrival) = self.waiting.pop_front() {
                self.send(flight, arrival)?;
            }
        }
        Ok(())
    }

    /// Sends a request, over the connection that is there or a new one.
    fn send(&mut self, index: usize, arrival: usize) -> Result<()> {
        let from = match self.connections {
            Connections::Own => Some(self.arrivals[arrival].client),
            Connections::Kept(_) => None,
        };
        let (mut connection, watched) = match self.flights[index].take() {
            Some(kept) => (kept.connection, Some(kept.watched)),
            None => match Connection::open(self.to, from, Close::Reset) {
                Ok(connection) => (connection, None),
                Err(_) => {
                    self.land(index);
                    return Ok(());
                }
            },
        };
        let wanted = match connection.send(request(self.path, self.arrivals[arrival]).as_bytes()) {
            Ok(Sent::All) => EpollFlags::EPOLLIN,
            Ok(Sent::NotYet) => EpollFlags::EPOLLOUT,
            Err(_) => {
                self.land(index);
                return Ok(());
            }
        };
        let mut event = EpollEvent::new(wanted, index as u64);
        match watched {
            None => self.epoll.add(&connection, event),
            Some(watched) if watched != wanted => self.epoll.modify(&connection, &mut event),
            Some(_) => Ok(()),
        }
        .context("watching a connection")?;
        self.flights[index] = Some(Flight {
            connection,
            arrival: Some(arrival),
            watched: wanted,
        });
        Ok(())
    }

    fn ready(&mut self, index: usize) -> Result<()> {
        let Some(flight) = &mut self.flights[index] else {
            return Ok(());
        };
        let Some(arrival) = flight.arrival else {
            // The server has closed what it was not asked over; the next request opens another.
            self.flights[index] = None;
            return Ok(());
        };
        if flight.watched == EpollFlags::EPOLLOUT {
            return self.send(index, arrival);
        }
        match flight.connection.receive(&mut self.room, &BODY) {
            Ok(Progress::Incomplete) => return Ok(()),
            Ok(Progress::Complete) => {
                flight.arrival = None;
                let due = self.start + self.arrivals[arrival].at;
                self.outcomes[arrival].latency = Some(now()?.saturating_sub(due));
                if self.connections == Connections::Own {
                    self.flights[index] = None;
                }
            }
            Ok(Progress::Ended | Progress::Wrong) | Err(_) => self.flights[index] = None,
        }
        self.land(index);
        self.depart()
    }

    /// A request is over, answered or not, and its connection may have the next one.
    fn land(&mut self, index: usize) {
        self.under_way -= 1;
        if self.connections != Connections::Own {
            self.idle.push_back(index);
        }
    }
}

fn request(path: &str, arrival: Arrival) -> String {
    format!(
        "GET {path}?ms={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        arrival.service_ms
    )
}

fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}
