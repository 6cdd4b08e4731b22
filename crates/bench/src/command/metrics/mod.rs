//! `metrics`: what the metrics cost maitred's own processes (guard and supervisor, the dispatcher's
//! thread among them) while they are at full load: light workers, and more clients than they need.
//!
//! - The endpoint: CPU time for a connection or a request with a scrape each second, by that of another
//!   maitred without the endpoint; the two take turns. One scrape's CPU time is measured by itself, too: its
//!   share is far below what two processes differ by.
//! - The counting, which cannot be switched off: `counting.rs` lists what counts, and times the very same
//!   functions. Each is a few instructions that the compiler puts into the function that calls it, so samples of
//!   a profiler cannot tell them from the rest in a program without symbols, as it is shipped.

mod counting;
mod measure;
mod report;
mod scrape;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use crate::scratch::Scratch;
use crate::{goal, machine, tools};
use counting::Counting;
use measure::Round;

pub(crate) use counting::{CountArguments, count};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measurements with the endpoint and without, in turn
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of one measurement
    #[arg(long, default_value_t = 2.0, value_parser = super::seconds)]
    seconds: f64,
    /// Time between two scrapes
    #[arg(long, default_value_t = 1.0, value_parser = super::seconds)]
    every: f64,
    /// The policy [default: maitred's own]
    #[arg(long)]
    balance: Option<String>,
    /// Workers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Clients, each with one request in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// Threads of the load generator [default: one for each core, at most 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Only these levels, separated by commas
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Level>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

/// What is balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    /// New connections, which pass whole.
    Connection,
    /// Requests over kept-alive connections.
    Request,
}

const LEVELS: [Level; 2] = [Level::Connection, Level::Request];

/// What was measured of a level.
struct Series {
    level: Level,
    /// Without the endpoint, and with a scrape each second.
    rounds: Vec<[Round; 2]>,
    /// CPU time of one scrape without load, in microseconds.
    scrape: f64,
    /// How much one scrape answered, in bytes.
    size: usize,
    counting: Counting,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Request => "request",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Connection => "per connection",
            Self::Request => "per request",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let versions = tools::versions(&[("maitred", tools::maitred(arguments.maitred.as_deref())?)]);
    let scratch = Scratch::new()?;
    let mut series = Vec::new();
    for level in LEVELS {
        if !arguments.only.is_empty() && !arguments.only.contains(&level) {
            continue;
        }
        let one = measure::measure(arguments, level, &scratch);
        series.push(one.with_context(|| format!("measuring {}", level.title()))?);
    }
    report::print(arguments, &series);
    let goals = report::goals(arguments, &series);
    goal::print(&goals);
    let value = json!({
        "benchmark": "metrics",
        "machine": machine,
        "versions": versions,
        "settings": {
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "seconds_between_scrapes": arguments.every,
            "balance": arguments.balance,
            "workers": arguments.workers,
            "clients": arguments.clients,
            "generator_threads": super::arguments::threads(arguments.threads),
        },
        "cases": report::to_json(arguments, &series),
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &value)
}
