//! `tail`: latency under Poisson arrivals of mixed blocking work, beside an
//! ideal central queue that is simulated on the same arrivals.
//!
//! A real request costs more than its work: the connection, HTTP, a sleep that
//! ends late. This *floor* is measured in each run, at 3 % load, and taken off
//! the mean, so that what remains is the waiting. It is the mean excess over
//! the work of those requests that found nobody else in flight: the mean of
//! all would hold, for those that distribute blindly, waiting already (1 ms
//! for SO_REUSEPORT), which would then flatter them. Percentiles are as they
//! are.
//!
//! That floor is taken off each latency, but it also takes the worker's time: one
//! that accepts, reads, wakes late and answers is busy for longer than its work,
//! and near full load the queue is longer for it, under every balancer. So a second
//! ideal has workers that need what one raw worker was measured to need for each
//! piece of work: no balancer in front of them can do better than that.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::arrivals::{Arrival, poisson};
use crate::contender::{Kind, Running, WORK};
use crate::goal;
use crate::load::closed::{Close, ClosedLoop, Mode, Settings};
use crate::load::open::{self, Connections, Outcome};
use crate::scratch::Scratch;
use crate::stats::{mean, percentile, sorted};
use crate::{ideal, machine, tools};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Loads in per cent, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "50,70,90,95", value_parser = clap::value_parser!(u8).range(1..=99))]
    loads: Vec<u8>,
    /// Length of the arrivals at each load
    #[arg(long, default_value_t = 30.0, value_parser = crate::command::seconds)]
    seconds: f64,
    /// Length of the arrivals at 3 % load that tell the floor
    #[arg(long, default_value_t = 20.0, value_parser = crate::command::seconds)]
    floor_seconds: f64,
    /// Fixes arrivals, sizes and clients
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Contenders, separated by commas: raw, node-cluster, nginx, haproxy, maitred (all
    /// its policies), maitred:next_available, requests:next_available and so on
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Draw the latency distributions
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

const FLOOR_LOAD: f64 = 0.03;
const WARM_UP: Duration = Duration::from_secs(2);
/// How long one worker is measured by itself.
const OWN: Duration = Duration::from_secs(5);
const POLICIES: [&str; 4] = ["next_available", "round_robin", "least_conn", "ip_hash"];

/// A contender, or the ideal. Times in milliseconds.
struct Row {
    name: String,
    title: String,
    floor: Floor,
    /// One for each load.
    runs: Vec<Run>,
}

#[derive(Default)]
struct Floor {
    /// Of the requests that were alone: what is taken off.
    alone: f64,
    /// Of all at 3 % load.
    all: f64,
}

struct Run {
    /// Ascending.
    latencies: Vec<f64>,
    errors: usize,
    /// How late the generator sent, ascending.
    late: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::command::prepare()?;
    let kinds = kinds(arguments)?;
    let machine = machine::describe();
    let versions = tools::versions(&crate::command::programs(
        &kinds,
        arguments.maitred.as_deref(),
    )?);
    let scratch = Scratch::new()?;
    let workers = usize::from(arguments.workers);

    let loads: Vec<Vec<Arrival>> = arguments
        .loads
        .iter()
        .map(|&load| {
            poisson(
                arguments.seed,
                f64::from(load) / 100.0,
                workers,
                arguments.seconds,
            )
        })
        .collect();
    let floor = poisson(arguments.seed, FLOOR_LOAD, workers, arguments.floor_seconds);
    if floor.is_empty() || loads.iter().any(Vec::is_empty) {
        bail!("nobody arrives in so short a time; give more --seconds or --floor-seconds");
    }

    let mut rows = Vec::new();
    for kind in &kinds {
        let row = measure(arguments, kind, &floor, &loads, &scratch)
            .with_context(|| format!("measuring {}", kind.name()))?;
        rows.push(row);
    }
    let own = own_time(arguments, &scratch).context("measuring one worker by itself")?;
    rows.push(ideal(&loads, workers, own));
    rows.push(ideal(&loads, workers, 0));

    for (n, &load) in arguments.loads.iter().enumerate() {
        report::print(load, n, &rows);
    }
    let goals = report::goals(&arguments.loads, &rows);
    goal::print(&goals);
    if let Some(path) = &arguments.svg {
        std::fs::write(path, report::picture(&arguments.loads, &rows))
            .with_context(|| format!("writing {}", path.display()))?;
        println!("\nPicture: {}", path.display());
    }
    let value = json!({
        "benchmark": "tail",
        "machine": machine,
        "versions": versions,
        "settings": {
            "seconds": arguments.seconds,
            "floor_seconds": arguments.floor_seconds,
            "seed": arguments.seed,
            "workers": workers,
            "work": "90 % of 5 ms, 10 % of 100 ms, blocking",
        },
        "contenders": report::to_json(&arguments.loads, &rows),
        "goals": goal::to_json(&goals),
    });
    crate::command::write_json(arguments.out.as_deref(), &value)
}

/// Everybody who was asked for. A policy that this maitred does not have yet
/// is left out, audibly.
fn kinds(arguments: &Arguments) -> Result<Vec<Kind>> {
    let mut all = vec![
        Kind::Raw,
        Kind::NodeCluster,
        Kind::Nginx(1),
        Kind::Haproxy(1),
    ];
    all.extend(POLICIES.map(|policy| Kind::Maitred(Some(policy))));
    all.push(Kind::Requests("next_available"));
    let mut kinds = crate::command::choose(all, &arguments.only)?;
    if kinds.iter().any(|kind| matches!(kind, Kind::Maitred(_))) {
        let maitred = tools::maitred(arguments.maitred.as_deref())?;
        let help = std::process::Command::new(maitred)
            .args(["run", "--help"])
            .output()
            .context("asking maitred for its policies")?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        kinds.retain(|kind| match kind {
            Kind::Maitred(Some(policy)) if !help.contains(policy) => {
                println!(
                    "{} is left out: this maitred has no such policy",
                    kind.name()
                );
                false
            }
            _ => true,
        });
    }
    Ok(kinds)
}

fn measure(
    arguments: &Arguments,
    kind: &Kind,
    floor: &[Arrival],
    loads: &[Vec<Arrival>],
    scratch: &Scratch,
) -> Result<Row> {
    eprintln!("starting {}", kind.name());
    let running = kind.start(
        WORK,
        arguments.workers.into(),
        arguments.maitred.as_deref(),
        scratch,
    )?;
    warm_up(&running)?;
    let outcomes = open::run(running.port, floor, "/", Connections::Own)?;
    let floor = Floor {
        alone: mean(&excess(floor, &outcomes, |outcome| outcome.alone)),
        all: mean(&excess(floor, &outcomes, |_| true)),
    };
    let mut runs = Vec::new();
    for (arrivals, load) in loads.iter().zip(&arguments.loads) {
        eprintln!("{} at {load} %: {} requests", kind.name(), arrivals.len());
        let outcomes = open::run(running.port, arrivals, "/", Connections::Own)?;
        runs.push(Run::new(&outcomes));
    }
    Ok(Row {
        name: kind.name(),
        title: kind.title(),
        floor,
        runs,
    })
}

fn warm_up(running: &Running) -> Result<()> {
    let settings = Settings {
        port: running.port,
        path: "/?ms=0",
        body: open::BODY,
        connections: 32,
        mode: Mode::NewConnections,
        close: Close::Reset,
    };
    let mut client = ClosedLoop::new(settings)?;
    client.run(WARM_UP)?;
    client.drain()?;
    Ok(())
}

/// Latency less the work, of those that `which` picks.
fn excess(
    arrivals: &[Arrival],
    outcomes: &[Outcome],
    which: impl Fn(&Outcome) -> bool,
) -> Vec<f64> {
    arrivals
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| which(outcome))
        .filter_map(|(arrival, outcome)| Some(ms(outcome.latency?) - f64::from(arrival.service_ms)))
        .collect()
}

/// What one worker needs for each piece of work beside the work, in nanoseconds: it is never idle,
/// and clients connect to it directly.
fn own_time(arguments: &Arguments, scratch: &Scratch) -> Result<u64> {
    eprintln!("one worker by itself");
    let running = Kind::Raw.start(WORK, 1, arguments.maitred.as_deref(), scratch)?;
    warm_up(&running)?;
    let settings = Settings {
        port: running.port,
        path: "/?ms=5",
        body: open::BODY,
        connections: 4,
        mode: Mode::NewConnections,
        close: Close::Reset,
    };
    let mut client = ClosedLoop::new(settings)?;
    let tally = client.run(OWN)?;
    client.drain()?;
    let Some(each) = tally.elapsed.as_nanos().checked_div(tally.requests.into()) else {
        bail!("it answered nothing");
    };
    Ok(u64::try_from(each)?.saturating_sub(5_000_000))
}

/// The ideal, for workers that need `own` nanoseconds of their own for each piece of work.
fn ideal(loads: &[Vec<Arrival>], workers: usize, own: u64) -> Row {
    let runs = loads
        .iter()
        .map(|arrivals| {
            let latencies: Vec<f64> = ideal::central_queue_with(arrivals, workers, own)
                .into_iter()
                .map(ms)
                .collect();
            Run {
                latencies: sorted(&latencies),
                errors: 0,
                late: vec![0.0],
            }
        })
        .collect();
    let title = "ideal central queue (simulated)".to_owned();
    match own {
        0 => Row {
            name: "ideal".to_owned(),
            title,
            floor: Floor::default(),
            runs,
        },
        _ => Row {
            name: "ideal-own-time".to_owned(),
            title: format!("the same, {:.2} ms of each worker's own", ms(own)),
            floor: Floor {
                alone: ms(own),
                all: ms(own),
            },
            runs,
        },
    }
}

impl Run {
    fn new(outcomes: &[Outcome]) -> Self {
        let latencies: Vec<f64> = outcomes
            .iter()
            .filter_map(|outcome| outcome.latency)
            .map(ms)
            .collect();
        let late: Vec<f64> = outcomes.iter().map(|outcome| ms(outcome.late)).collect();
        Self {
            errors: outcomes.len() - latencies.len(),
            latencies: sorted(&latencies),
            late: sorted(&late),
        }
    }

    fn percentile(&self, p: f64) -> f64 {
        if self.latencies.is_empty() {
            f64::NAN
        } else {
            percentile(&self.latencies, p)
        }
    }

    fn mean(&self) -> f64 {
        mean(&self.latencies)
    }

    /// The generator did not keep up: something starved it, the contender or
    /// another program. Such figures say nothing about waiting in queues.
    fn is_spoiled(&self) -> bool {
        percentile(&self.late, 0.99) > open::LATE_MS
    }
}

impl Row {
    /// The mean latency less the floor.
    fn net_mean(&self, load: usize) -> f64 {
        self.runs[load].mean() - self.floor.alone
    }
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
