//! The open loop: each request leaves on a connection of its own at the moment
//! it is due, whatever has come back so far, and its latency counts from that
//! moment. So a stall shows in every request that it delayed, also in those
//! that the generator itself sent late.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use super::response::Progress;
use super::socket::{Close, Connection, Sent};
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
/// More in flight than this means that the contender has stopped to answer.
const MOST_IN_FLIGHT: usize = 10_000;
const BODY: &[u8] = b"done";
/// The timer's mark among the events, where others have their arrival's index.
const TIMER: u64 = u64::MAX;

struct Flight {
    connection: Connection,
    connecting: bool,
}

pub(crate) fn run(port: u16, arrivals: &[Arrival]) -> Result<Vec<Outcome>> {
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
        epoll,
        flights: arrivals.iter().map(|_| None).collect(),
        in_flight: 0,
        outcomes: vec![Outcome::default(); arrivals.len()],
        start: now()? + 10_000_000,
    };
    generator.run(&timer)?;
    Ok(generator.outcomes)
}

struct Generator<'a> {
    to: SocketAddrV4,
    arrivals: &'a [Arrival],
    epoll: Epoll,
    flights: Vec<Option<Flight>>,
    in_flight: usize,
    outcomes: Vec<Outcome>,
    start: u64,
}

impl Generator<'_> {
    fn run(&mut self, timer: &TimerFd) -> Result<()> {
        let mut next = 0;
        let last_due = self.arrivals.last().map_or(0, |a| self.start + a.at);
        let mut armed = false;
        let mut events = [EpollEvent::empty(); 64];
        while next < self.arrivals.len() || self.in_flight > 0 {
            while let Some(arrival) = self.arrivals.get(next) {
                if now()? < self.start + arrival.at {
                    break;
                }
                self.depart(next)?;
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
            if self.in_flight > MOST_IN_FLIGHT {
                bail!("more than {MOST_IN_FLIGHT} requests wait for an answer");
            }
            if now()? > last_due + DRAIN {
                // What is still in flight has no latency: an error.
                break;
            }
        }
        Ok(())
    }

    fn depart(&mut self, index: usize) -> Result<()> {
        let arrival = self.arrivals[index];
        let outcome = &mut self.outcomes[index];
        outcome.late = now()?.saturating_sub(self.start + arrival.at);
        outcome.alone = self.in_flight == 0;
        let Ok(mut connection) = Connection::open(self.to, Some(arrival.client), Close::Reset)
        else {
            return Ok(());
        };
        let Ok(sent) = connection.send(request(arrival).as_bytes()) else {
            return Ok(());
        };
        let connecting = matches!(sent, Sent::NotYet);
        let flags = if connecting {
            EpollFlags::EPOLLOUT
        } else {
            EpollFlags::EPOLLIN
        };
        self.epoll
            .add(&connection, EpollEvent::new(flags, index as u64))
            .context("watching a connection")?;
        self.flights[index] = Some(Flight {
            connection,
            connecting,
        });
        self.in_flight += 1;
        Ok(())
    }

    fn ready(&mut self, index: usize) -> Result<()> {
        let Some(flight) = &mut self.flights[index] else {
            return Ok(());
        };
        if flight.connecting {
            match flight
                .connection
                .send(request(self.arrivals[index]).as_bytes())
            {
                Ok(Sent::NotYet) => {}
                Ok(Sent::All) => {
                    flight.connecting = false;
                    let mut event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
                    self.epoll
                        .modify(&flight.connection, &mut event)
                        .context("watching a connection")?;
                }
                Err(_) => self.land(index),
            }
            return Ok(());
        }
        match flight.connection.receive(BODY) {
            Ok(Progress::Incomplete) => {}
            Ok(Progress::Complete) => {
                let due = self.start + self.arrivals[index].at;
                self.outcomes[index].latency = Some(now()?.saturating_sub(due));
                self.land(index);
            }
            Ok(Progress::Ended | Progress::Wrong) | Err(_) => self.land(index),
        }
        Ok(())
    }

    fn land(&mut self, index: usize) {
        self.flights[index] = None;
        self.in_flight -= 1;
    }
}

fn request(arrival: Arrival) -> String {
    format!(
        "GET /?ms={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        arrival.service_ms
    )
}

fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}
