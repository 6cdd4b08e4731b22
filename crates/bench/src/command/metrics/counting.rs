//! What counting takes for one connection or one request: the very functions and types that maitred counts with,
//! called as it calls them.
//!
//! For each connection, with `per: connection`:
//! - `accepted += 1` of its listener, in `accept` of the dispatcher
//! - `ConnectionFigures::sent`, in `Member::give` of the balancer (which needs the half of it)
//! - `Waits::record`, in `serve_one` or `sync` of the balancer: only of a connection that had to wait
//!
//! For each request, with `per: request`:
//! - `RequestCounters::came`, in `Record::new` of the proxy
//! - `answered_at` of its record, in `forward::response`: the time that the turn of the loop began at
//! - `RequestCounters::left_worker` and `RequestCounters::ended`, in `outcome::account`; `ended` has the histogram
//! - `Waits::record`, in `RequestBalancer` and its `staging`: only of a request that had to wait
//!
//! No clock is read for a figure: connections and requests bear the time of their turn, by which timeouts go.
//!
//! Not in it is `dispatcher::counts`, which asks the kernel whose connections have ended: the balancer goes by
//! that. With `balance: round_robin` and `ip_hash` it does not, and the questions are for reloads, which must know
//! whose a connection is, and for `maitred_worker_connections_open`.
//!
//! Here all are counted as if they had waited. Each is timed twice: over and over on the same counters,
//! which are in the first cache then, and on many in turn, which are not. At full load the kernel's work for
//! a connection or a request lies between two calls, so the second is what maitred has.

use std::hint::black_box;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use balance::{ConnectionFigures, Nanos, Waits};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::time::{ClockId, clock_gettime};
use telemetry::counters::{Ended, RequestCounters};
use telemetry::ids::{Instance, Place};

use super::Level;
use crate::child::Program;
use crate::contender::free_port;
use crate::scratch::Scratch;
use crate::stats::median;
use crate::stepping::Stepped;

/// Calls that are timed together, and how often.
const CALLS: u64 = 1 << 20;
const TIMES: usize = 15;
/// Counters in turn, in an order that no cache foresees: with at least 1 kB each they do not fit into the first
/// cache, and fit into the second.
const MANY: usize = 256;
/// Workers of the counted requests.
const WORKERS: u32 = 4;
/// Calls whose instructions are counted together.
const STEPPED: u32 = 200;
/// For a process to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one connection or request takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counting {
    /// Nanoseconds with the counters in the first cache.
    pub(super) warm: f64,
    /// Nanoseconds with them outside of it.
    pub(super) cold: f64,
    /// Instructions.
    pub(super) instructions: f64,
}

#[derive(clap::Args)]
pub(crate) struct CountArguments {
    #[arg(long, value_enum)]
    level: Level,
    /// How often it counts when a client connects
    #[arg(long)]
    calls: u32,
}

/// Counters of one listener.
trait Counters: Default {
    /// Counts one, which has waited for so long. How many have been counted.
    fn count(&mut self, number: u64, waited: Nanos) -> u64;
}

#[derive(Default)]
struct Connections {
    accepted: u64,
    member: ConnectionFigures,
    waits: Waits,
}

#[derive(Default)]
struct Requests {
    counters: RequestCounters,
    waits: Waits,
    answered_at: Option<Nanos>,
}

impl Counters for Connections {
    fn count(&mut self, _: u64, waited: Nanos) -> u64 {
        self.accepted += 1;
        black_box(&mut *self).member.sent();
        black_box(&mut *self).waits.record(waited);
        self.accepted
    }
}

impl Counters for Requests {
    fn count(&mut self, number: u64, waited: Nanos) -> u64 {
        self.counters.came();
        black_box(&mut *self).waits.record(waited);
        black_box(&mut *self).answered_at = Some(waited);
        let at = black_box(&mut *self);
        let place = Place {
            instance: Instance((number % u64::from(WORKERS)) as u32),
            ordinal: 0,
        };
        at.counters.left_worker(place, false);
        let since = black_box(0);
        let first_byte = at.answered_at.map(|at| at.saturating_sub(since));
        at.counters
            .ended(Ended::Answered, black_box(Some(200)), first_byte);
        self.counters.total()
    }
}

impl Counting {
    pub(super) fn measure(level: Level, scratch: &Scratch) -> Result<Self> {
        eprintln!("{}: counting", level.title());
        let instructions = |calls| step(level, calls, scratch);
        let one = (instructions(STEPPED)? - instructions(0)?) / f64::from(STEPPED);
        Ok(Self {
            warm: time_of(level, 1),
            cold: time_of(level, MANY),
            instructions: one,
        })
    }
}

fn time_of(level: Level, counters: usize) -> f64 {
    match level {
        Level::Connection => time::<Connections>(counters),
        Level::Request => time::<Requests>(counters),
    }
}

/// Nanoseconds of this thread's CPU time for one call, with so many counters in turn; a power of two.
fn time<C: Counters>(counters: usize) -> f64 {
    let mut all: Vec<Room<C>> = (0..counters).map(|_| Room::default()).collect();
    let times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let with = turns(&mut all, |counters, n| counters.count(n, wait(n)));
            with - turns(&mut all, |counters, n| {
                black_box(counters);
                black_box(wait(n))
            })
        })
        .collect();
    median(&times)
}

/// Counters, with what lies around them in a listener.
#[derive(Default)]
struct Room<C> {
    counters: C,
    _around: [[u64; 32]; 2],
}

/// Which counters come next depends on what the last ones have counted, so that a processor does not
/// look ahead at them.
fn turns<C: Counters>(all: &mut [Room<C>], mut call: impl FnMut(&mut C, u64) -> u64) -> f64 {
    let mask = all.len() - 1;
    let mut at = 0;
    let before = cpu_time();
    for n in 0..CALLS {
        let Some(room) = all.get_mut(at & mask) else {
            continue;
        };
        // Not one of the machine's numbers is known to the compiler to be zero here.
        let nothing = call(&mut room.counters, n) >> 63;
        at = at.wrapping_mul(5).wrapping_add(1 + nothing as usize);
    }
    let used = cpu_time().saturating_sub(before);
    used.as_secs_f64() * 1e9 / CALLS as f64
}

/// From below a microsecond to 16 ms, so that all steps of the histogram have their turn.
fn wait(number: u64) -> Nanos {
    500 << (number % 16)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The instructions of a process that a client connects to, and that counts so often then.
fn step(level: Level, calls: u32, scratch: &Scratch) -> Result<f64> {
    let port = free_port()?;
    let mut child = Program::new(&std::env::current_exe().context("finding this program")?)?
        .args(["count", "--level", level.name()])
        .args(["--calls", &calls.to_string()])
        .env("PORT", port.to_string())
        .start(scratch.path().join(format!("count-{port}.log")))?;
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    child.wait_until(PATIENCE, |_| connect().is_ok())?;
    let mut stepped = Stepped::hold(child.pid())?;
    let _client = connect().context("connecting to the process that counts")?;
    let mut waits = 0;
    let count = stepped.count(|| {
        waits += 1;
        Ok(waits > 1)
    })?;
    Ok(count.instructions as f64)
}

/// Counts each time that a client connects; what is stepped.
pub(crate) fn count(arguments: &CountArguments) -> Result<()> {
    match arguments.level {
        Level::Connection => serve::<Connections>(arguments.calls),
        Level::Request => serve::<Requests>(arguments.calls),
    }
}

fn serve<C: Counters>(calls: u32) -> Result<()> {
    let port: u16 = std::env::var("PORT")
        .context("reading PORT")?
        .parse()
        .context("reading PORT")?;
    let mut counters = C::default();
    // All workers are known by now.
    for n in 0..u64::from(STEPPED) {
        counters.count(n, wait(n));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("listening")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
    epoll
        .add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))
        .context("watching the listener")?;
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(_) => drop(listener.accept().context("accepting")?),
            Err(nix::Error::EINTR) => continue,
            Err(errno) => return Err(errno).context("waiting"),
        }
        for n in 0..u64::from(calls) {
            black_box(&mut counters).count(n, wait(n));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_counts_one_of_all() {
        let mut connections = Connections::default();
        let mut requests = Requests::default();
        for n in 0..100 {
            assert_eq!(connections.count(n, wait(n)), n + 1);
            assert_eq!(requests.count(n, wait(n)), n + 1);
        }
        assert_eq!(connections.member.dispatched, 100);
        assert_eq!(connections.waits.count, 100);
        let figures = requests.counters.figures(0, 0);
        assert_eq!((figures.total, figures.answered), (100, 100));
        assert_eq!((figures.first_byte.count, figures.responses[1]), (100, 100));
        let workers = requests.counters.workers();
        assert_eq!(workers.len(), WORKERS as usize);
        assert_eq!(workers.values().map(|it| it.total).sum::<u64>(), 100);
    }

    #[test]
    fn every_counter_has_its_turn() {
        let mut all: Vec<Room<Connections>> = (0..MANY).map(|_| Room::default()).collect();
        turns(&mut all, |counters, n| counters.count(n, wait(n)));
        let each = CALLS / MANY as u64;
        assert!(all.iter().all(|it| it.counters.accepted == each));
    }
}
