//! `requests`: requests over connections that are kept alive, each placed by
//! itself: maitred beside nginx and HAProxy, these with one thread and with two,
//! before the same workers.
//!
//! Small and large answers are asked for by a closed loop, which shows what each
//! contender can do at most, and the CPU time of the proxy for it. Mixed
//! blocking work comes in an open loop, and shows what each makes of the workers
//! that it has: see [`mixed`].
//!
//! All contenders run all the time, and idle while another is measured; a ratio
//! compares within one round.

mod closed;
mod mixed;
mod report;

use anyhow::{Context, Result};
use serde_json::json;

use super::arguments::{Common, order};
use crate::contender::{Kind, REQUESTS, Running};
use crate::scratch::Scratch;
use crate::{goal, machine, tools};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// What is asked for, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "small,large,mixed"
    )]
    loads: Vec<Load>,
    /// Numbers of connections that are kept alive, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "4,64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// Length of one measurement of small or large answers
    #[arg(long, default_value_t = 3.0, value_parser = super::seconds)]
    seconds: f64,
    /// Length of the arrivals of mixed work in each round
    #[arg(long, default_value_t = 10.0, value_parser = super::seconds)]
    mixed_seconds: f64,
    /// Length of the arrivals at 3 % load that tell the floor, once
    #[arg(long, default_value_t = 10.0, value_parser = super::seconds)]
    floor_seconds: f64,
    /// Mixed work in per cent of what the workers can do
    #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u8).range(1..=99))]
    load: u8,
    /// Fixes the arrivals of the first round; each has others
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Load {
    /// Answers of 13 bytes
    Small,
    /// Answers of 1 MB
    Large,
    /// 90 % of 5 ms and 10 % of 100 ms of blocking work
    Mixed,
}

/// One measurement. Times in microseconds.
struct Sample {
    /// Answers a second.
    rate: f64,
    p50: f64,
    p99: f64,
    /// Seconds of the proxy's CPU time for 10,000 requests.
    cpu: f64,
    errors: u64,
    /// Of mixed work: the mean less the floor, divided by the ideal one. None where the generator
    /// itself was late.
    to_ideal: Option<f64>,
}

/// One contender under one load with so many clients.
struct Case {
    kind: Kind,
    load: Load,
    clients: u16,
    /// One for each round.
    samples: Vec<Sample>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let all = vec![
        Kind::Nginx(1),
        Kind::Nginx(2),
        Kind::Haproxy(1),
        Kind::Haproxy(2),
        Kind::Requests("least_conn"),
        Kind::Requests("next_available"),
    ];
    let common = &arguments.common;
    let kinds = super::choose(all, &common.only)?;
    let machine = machine::describe();
    let versions = tools::versions(&super::programs(&kinds, common.maitred())?);
    let scratch = Scratch::new()?;
    let contenders = kinds
        .into_iter()
        .map(|kind| {
            eprintln!("starting {}", kind.name());
            let running =
                kind.start(REQUESTS, common.workers.into(), common.maitred(), &scratch)?;
            closed::warm_up(arguments, &running)?;
            Ok((kind, running))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut cases = Vec::new();
    for &load in &arguments.loads {
        for &clients in &arguments.clients {
            cases.extend(measure(arguments, load, clients, &contenders)?);
        }
    }
    report::print(&cases);
    let goals = report::goals(&cases);
    goal::print(&goals);
    let value = json!({
        "benchmark": "requests",
        "machine": machine,
        "versions": versions,
        "settings": {
            "workers": common.workers,
            "rounds": common.rounds,
            "seconds": arguments.seconds,
            "generator_threads": common.threads(),
            "mixed_seconds": arguments.mixed_seconds,
            "mixed_load_per_cent": arguments.load,
            "floor_seconds": arguments.floor_seconds,
            "seed": arguments.seed,
        },
        "cases": cases.iter().map(report::to_json).collect::<Vec<_>>(),
        "goals": goal::to_json(&goals),
    });
    super::write_json(common.out(), &value)
}

/// All rounds of one load.
fn measure(
    arguments: &Arguments,
    load: Load,
    clients: u16,
    contenders: &[(Kind, Running)],
) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = contenders
        .iter()
        .map(|(kind, _)| Case {
            kind: kind.clone(),
            load,
            clients,
            samples: Vec::new(),
        })
        .collect();
    let mut floors = Vec::new();
    if load == Load::Mixed {
        for (kind, running) in contenders {
            eprintln!("{}, {clients} clients: the floor", kind.name());
            floors.push(mixed::floor(arguments, clients, running)?);
        }
    }
    for round in 0..arguments.common.rounds {
        for n in order(round, contenders.len()) {
            let (kind, running) = &contenders[n];
            let sample = match load {
                Load::Small | Load::Large => closed::sample(arguments, load, clients, running),
                Load::Mixed => mixed::sample(arguments, round, clients, running, floors[n]),
            };
            let sample = sample.with_context(|| format!("measuring {}", kind.name()))?;
            eprintln!(
                "round {}, {load:?}, {}, {clients} clients: {:.0} requests/s",
                round + 1,
                kind.name(),
                sample.rate
            );
            cases[n].samples.push(sample);
        }
    }
    Ok(cases)
}
