//! `library`: what the preloaded library costs a worker for each request on a kept-alive connection.
//!
//! Instructions are counted one by one, so counts are exact, and known for the library's own code; the
//! machine's load does not matter. Where perf is installed, its samples tell the library's share of the
//! worker's CPU time, the kernel's included. Requests per second and CPU time are compared between a server with
//! the library and the same one without, which take turns.

mod report;
mod samples;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::load::clients::Clients;
use crate::load::closed::{Close, Mode, Settings};
use crate::scratch::Scratch;
use crate::stepping::{Count, Stepped};
use crate::{goal, machine, tools, tree};
use samples::Samples;
use target::{Case, Client, Server, Target};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Requests whose instructions are counted, for each server; one takes seconds, and in most of Bun's the
    /// runtime does other things, too
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    requests: u32,
    /// Requests before these, so that the runtimes have compiled their code
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    warm_up: u32,
    /// Measurements of requests per second, with the library and without
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each
    #[arg(long, default_value_t = 1.0, value_parser = super::seconds)]
    seconds: f64,
    /// Clients in these measurements, each with one request in flight
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Only these servers, separated by commas
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Server>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

const CASES: [Case; 6] = [
    case(Server::Node, true),
    case(Server::Bun, true),
    case(Server::Light, true),
    case(Server::Node, false),
    case(Server::Bun, false),
    case(Server::Light, false),
];
/// Before each measurement of requests per second.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long perf takes samples.
const SAMPLED: Duration = Duration::from_secs(10);
/// Requests at full speed between two that are counted.
const BETWEEN: u32 = 1000;

const fn case(server: Server, http: bool) -> Case {
    Case { server, http }
}

/// The counts of each request, and the measurements of each round.
struct Series {
    case: Case,
    bare: Vec<Count>,
    with: Vec<Count>,
    /// Empty where HTTP is not spoken.
    rounds: Vec<[Rate; 2]>,
    /// The library's share of the worker's CPU time, if perf is there to tell.
    time: Option<f64>,
}

/// One measurement.
#[derive(Clone, Copy)]
struct Rate {
    requests_per_second: f64,
    /// Of the server alone, in microseconds.
    cpu_each: f64,
    errors: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let programs = [
        ("bun", tools::find("bun")?),
        ("maitred", tools::maitred(arguments.maitred.as_deref())?),
        ("node", tools::find("node")?),
    ];
    let versions = tools::versions(&programs);
    let scratch = Scratch::new()?;
    let mut series = Vec::new();
    let only = &arguments.only;
    for case in CASES
        .into_iter()
        .filter(|case| only.is_empty() || only.contains(&case.server))
    {
        let one = measure(arguments, case, &scratch);
        series.push(one.with_context(|| format!("measuring {}", case.title()))?);
    }
    report::print(&series);
    let goals = report::goals(&series);
    goal::print(&goals);
    let value = json!({
        "benchmark": "library",
        "machine": machine,
        "versions": versions,
        "settings": {
            "requests": arguments.requests,
            "warm_up": arguments.warm_up,
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "connections": arguments.connections,
        },
        "cases": report::to_json(&series),
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &value)
}

fn measure(arguments: &Arguments, case: Case, scratch: &Scratch) -> Result<Series> {
    eprintln!("{}: counting", case.title());
    let bare = Target::bare(case, scratch).context("starting it without the library")?;
    let with = Target::with_library(case, arguments.maitred.as_deref(), scratch)
        .context("starting it with the library")?;
    let mut series = Series {
        case,
        bare: step(arguments, case, &bare, false)?,
        with: step(arguments, case, &with, true)?,
        rounds: Vec::new(),
        time: None,
    };
    if !case.http {
        return Ok(series);
    }
    for round in 0..arguments.rounds {
        let mut rates = [None; 2];
        for n in super::arguments::order(round, 2) {
            let seconds = Duration::from_secs_f64(arguments.seconds);
            rates[n] = Some(rate(arguments, seconds, case, [&bare, &with][n])?);
        }
        if let [Some(bare), Some(with)] = rates {
            eprintln!(
                "{}, round {}: {:.3} of the rate without",
                case.title(),
                round + 1,
                with.requests_per_second / bare.requests_per_second
            );
            series.rounds.push([bare, with]);
        }
    }
    if let Ok(perf) = tools::find("perf") {
        let samples = Samples::start(&perf, with.worker, scratch)?;
        rate(arguments, SAMPLED, case, &with)?;
        series.time = samples.finish()?;
    }
    Ok(series)
}

fn step(
    arguments: &Arguments,
    case: Case,
    target: &Target,
    with_library: bool,
) -> Result<Vec<Count>> {
    let mut client = Client::connect(case, target.port)?;
    client.ask(arguments.warm_up)?;
    let mut counts = Vec::new();
    for _ in 0..arguments.requests {
        // Timers come due while a request is stepped; they are served here.
        client.ask(BETWEEN)?;
        let mut stepped = Stepped::hold(target.worker)?;
        if stepped.has_library() != with_library {
            bail!("the library is not where it should be");
        }
        client.send()?;
        counts.push(stepped.count(|| client.is_answered())?);
    }
    Ok(counts)
}

fn rate(arguments: &Arguments, length: Duration, case: Case, target: &Target) -> Result<Rate> {
    let settings = Settings {
        port: target.port,
        path: "/",
        body: case.body(),
        connections: arguments.connections.into(),
        mode: Mode::KeepAlive,
        close: Close::Reset,
    };
    let mut clients = Clients::new(&settings, 1)?;
    let warm_up = clients.run(WARM_UP)?;
    let before = tree::cpu_time(&[target.worker]);
    let tally = clients.run(length)?;
    let used = tree::cpu_time(&[target.worker]) - before;
    let rest = clients.drain()?;
    if tally.requests == 0 {
        bail!("nothing was answered, and {} requests failed", tally.errors);
    }
    Ok(Rate {
        requests_per_second: tally.requests as f64 / tally.elapsed.as_secs_f64(),
        cpu_each: used.as_secs_f64() * 1e6 / tally.requests as f64,
        errors: warm_up.errors + tally.errors + rest.errors,
    })
}

impl Series {
    fn ratios(&self, of: impl Fn(&Rate) -> f64) -> Vec<f64> {
        self.rounds
            .iter()
            .map(|[bare, with]| of(with) / of(bare))
            .collect()
    }
}
