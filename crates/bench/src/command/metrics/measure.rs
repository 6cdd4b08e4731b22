//! CPU time for each connection or request with the endpoint and without, in turn, and for one scrape.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::counting::Counting;
use super::scrape::{Scraper, scrape};
use super::{Arguments, Level, Series};
use crate::command::arguments::{order, threads};
use crate::command::worker;
use crate::contender::{self, Running, free_port};
use crate::load::clients::Clients;
use crate::load::closed::{Body, Close, Mode, Settings};
use crate::scratch::Scratch;
use crate::tree;

const WARM_UP: Duration = Duration::from_millis(300);
/// Scrapes whose CPU time is measured, and the time between two: each finds its caches as cold as after other
/// work.
const SCRAPES: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(10);

/// One measurement.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// CPU time for each connection or request, in microseconds.
    pub(super) cpu_each: f64,
    /// CPU time for each second.
    pub(super) cores: f64,
    /// Connections or requests a second.
    pub(super) rate: f64,
    pub(super) scrapes: u32,
    pub(super) errors: u64,
}

/// A maitred, and the port of its endpoint.
struct Target {
    running: Running,
    endpoint: Option<u16>,
}

pub(super) fn measure(arguments: &Arguments, level: Level, scratch: &Scratch) -> Result<Series> {
    let endpoint = free_port()?;
    let targets = [None, Some(endpoint)].map(|endpoint| start(arguments, level, endpoint, scratch));
    let [without, with] = targets;
    let targets = [without?, with?];
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let mut round = [None; 2];
        for n in order(number, 2) {
            round[n] = Some(load(arguments, level, &targets[n])?);
        }
        if let [Some(without), Some(with)] = round {
            eprintln!(
                "{}, round {}: {:.3} µs without, {:.3} µs with {} scrapes",
                level.title(),
                number + 1,
                without.cpu_each,
                with.cpu_each,
                with.scrapes
            );
            rounds.push([without, with]);
        }
    }
    let balancer = targets[1].running.balancer();
    let mut size = scrape(endpoint)?;
    let before = tree::cpu_time(&balancer);
    for _ in 0..SCRAPES {
        size = scrape(endpoint)?;
        std::thread::sleep(BETWEEN);
    }
    let used = tree::cpu_time(&balancer) - before;
    Ok(Series {
        level,
        rounds,
        scrape: used.as_secs_f64() * 1e6 / f64::from(SCRAPES),
        size,
        counting: Counting::measure(level, scratch).context("measuring what counts")?,
    })
}

fn start(
    arguments: &Arguments,
    level: Level,
    endpoint: Option<u16>,
    scratch: &Scratch,
) -> Result<Target> {
    let own = std::env::current_exe().context("finding this program")?;
    let mut options = vec![own.into_os_string(), "--per".into(), level.name().into()];
    if let Some(port) = endpoint {
        options.extend(["--metrics".into(), format!("127.0.0.1:{port}").into()]);
    }
    if let Some(policy) = &arguments.balance {
        options.extend(["--balance".into(), policy.into()]);
    }
    let workers = arguments.workers.into();
    let maitred = arguments.maitred.as_deref();
    let running = contender::run_maitred(&options, &["worker"], workers, maitred, scratch)
        .context("starting maitred")?;
    Ok(Target { running, endpoint })
}

fn load(arguments: &Arguments, level: Level, target: &Target) -> Result<Round> {
    let settings = Settings {
        port: target.running.port,
        path: "/",
        body: Body::text(worker::BODY),
        connections: arguments.clients.into(),
        mode: match level {
            Level::Connection => Mode::NewConnections,
            Level::Request => Mode::KeepAlive,
        },
        close: Close::Reset,
    };
    let balancer = target.running.balancer();
    let mut clients = Clients::new(&settings, threads(arguments.threads))?;
    let warm_up = clients.run(WARM_UP)?;
    let every = Duration::from_secs_f64(arguments.every);
    let before = tree::cpu_time(&balancer);
    let scraper = target.endpoint.map(|port| Scraper::start(port, every));
    let tally = clients.run(Duration::from_secs_f64(arguments.seconds))?;
    let scrapes = scraper.map_or(Ok(0), Scraper::finish)?;
    let used = (tree::cpu_time(&balancer) - before).as_secs_f64();
    let rest = clients.drain()?;
    if target.endpoint.is_some() && scrapes == 0 {
        bail!("there was no scrape: measure for longer than half of the time between two");
    }
    if tally.requests == 0 {
        bail!("nothing was answered, and {} requests failed", tally.errors);
    }
    Ok(Round {
        cpu_each: used * 1e6 / tally.requests as f64,
        cores: used / tally.elapsed.as_secs_f64(),
        rate: tally.requests as f64 / tally.elapsed.as_secs_f64(),
        scrapes,
        errors: warm_up.errors + tally.errors + rest.errors,
    })
}
