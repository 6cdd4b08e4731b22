//! `slow`: what a thousand clients that send one byte a second, half of them of
//! a head and half of a body, do to others: the 99th percentile of a normal load
//! on kept-alive connections, with and without them, in turn.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::arguments::{Common, order};
use crate::contender::{HELLO, HELLO_BODY, Kind, Running};
use crate::goal::{self, Goal};
use crate::load::clients::Clients;
use crate::load::closed::{Close, Mode, Settings};
use crate::load::slow::SlowClients;
use crate::scratch::Scratch;
use crate::stats::{median, percentile, range, sorted};
use crate::table::{Table, figure};
use crate::{machine, tools};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Slow clients
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=4000))]
    slow: u16,
    /// Clients of the normal load, each with one request in flight
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Length of one measurement
    #[arg(long, default_value_t = 3.0, value_parser = super::seconds)]
    seconds: f64,
}

const WARM_UP: Duration = Duration::from_millis(700);

/// Requests a second, and the 99th percentile in microseconds.
#[derive(Clone, Copy)]
struct Sample {
    rate: f64,
    p99: f64,
}

struct Case {
    kind: Kind,
    /// One for each round, without and with the slow clients.
    samples: Vec<[Sample; 2]>,
    errors: u64,
    /// Slow clients that the contender ended.
    ended: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let all = vec![
        Kind::Nginx(1),
        Kind::Haproxy(1),
        Kind::Requests("least_conn"),
        Kind::Requests("next_available"),
    ];
    let common = &arguments.common;
    let kinds = super::choose(all, &common.only)?;
    let machine = machine::describe();
    let versions = tools::versions(&super::programs(&kinds, common.maitred())?);
    let scratch = Scratch::new()?;
    let mut contenders = Vec::new();
    for kind in kinds {
        eprintln!("starting {}", kind.name());
        let running = kind.start(HELLO, common.workers.into(), common.maitred(), &scratch)?;
        let case = Case {
            kind,
            samples: Vec::new(),
            errors: 0,
            ended: 0,
        };
        contenders.push((case, running));
    }
    for round in 0..common.rounds {
        for n in order(round, contenders.len()) {
            let (case, running) = &mut contenders[n];
            measure(arguments, case, running)
                .with_context(|| format!("measuring {}", case.kind.name()))?;
        }
    }
    let cases: Vec<Case> = contenders.into_iter().map(|(case, _)| case).collect();
    print(arguments, &cases);
    let goals: Vec<Goal> = cases
        .iter()
        .filter(|case| matches!(case.kind, Kind::Requests(_)))
        .map(|case| {
            Goal::at_most(
                format!("{}: p99 with slow clients ÷ without", case.kind.name()),
                1.1,
                Some(median(&case.ratios())),
            )
        })
        .collect();
    goal::print(&goals);
    let value = json!({
        "benchmark": "slow",
        "machine": machine,
        "versions": versions,
        "settings": {
            "workers": common.workers,
            "slow": arguments.slow,
            "clients": arguments.clients,
            "seconds": arguments.seconds,
            "rounds": common.rounds,
            "generator_threads": common.threads(),
        },
        "cases": cases.iter().map(Case::to_json).collect::<Vec<_>>(),
        "goals": goal::to_json(&goals),
    });
    super::write_json(common.out(), &value)
}

fn measure(arguments: &Arguments, case: &mut Case, running: &Running) -> Result<()> {
    let (without, errors) = sample(arguments, running)?;
    let slow = SlowClients::start(running.port, arguments.slow.into())?;
    let (with, more_errors) = sample(arguments, running)?;
    case.errors += errors + more_errors;
    case.ended += slow.ended();
    case.samples.push([without, with]);
    eprintln!(
        "{}: p99 {:.0} µs without, {:.0} µs with",
        case.kind.name(),
        without.p99,
        with.p99
    );
    Ok(())
}

fn sample(arguments: &Arguments, running: &Running) -> Result<(Sample, u64)> {
    let settings = Settings {
        port: running.port,
        path: "/",
        body: HELLO_BODY,
        connections: arguments.clients.into(),
        mode: Mode::KeepAlive,
        close: Close::Reset,
    };
    let mut client = Clients::new(&settings, arguments.common.threads())?;
    let warm_up = client.run(WARM_UP)?;
    let tally = client.run(Duration::from_secs_f64(arguments.seconds))?;
    if tally.requests == 0 {
        bail!("nothing was answered");
    }
    let sample = Sample {
        rate: tally.requests as f64 / tally.elapsed.as_secs_f64(),
        p99: percentile(&sorted(&client.latencies()), 0.99),
    };
    Ok((
        sample,
        warm_up.errors + tally.errors + client.drain()?.errors,
    ))
}

impl Case {
    /// The 99th percentile with slow clients to that without, round by round.
    fn ratios(&self) -> Vec<f64> {
        let ratio = |[without, with]: &[Sample; 2]| with.p99 / without.p99;
        self.samples.iter().map(ratio).collect()
    }

    fn median(&self, which: usize, of: fn(&Sample) -> f64) -> f64 {
        let all: Vec<f64> = self.samples.iter().map(|both| of(&both[which])).collect();
        median(&all)
    }

    fn to_json(&self) -> Value {
        let rounds: Vec<Value> = self
            .samples
            .iter()
            .map(|[without, with]| {
                json!({
                    "requests_per_second": [without.rate, with.rate],
                    "p99_microseconds": [without.p99, with.p99],
                })
            })
            .collect();
        json!({
            "contender": self.kind.name(),
            "p99_ratio": median(&self.ratios()),
            "errors": self.errors,
            "slow_clients_ended": self.ended,
            "rounds_without_and_with": rounds,
        })
    }
}

fn print(arguments: &Arguments, cases: &[Case]) {
    println!(
        "\n{} clients that stay connected, without and with {} slow ones (medians)",
        arguments.clients, arguments.slow
    );
    let mut table = Table::new([
        "",
        "req/s",
        "with",
        "p99 µs",
        "with",
        "ratio",
        "range",
        "errors",
        "slow ended",
    ]);
    for case in cases {
        let ratios = case.ratios();
        let (low, high) = range(&ratios);
        table.row([
            case.kind.title(),
            figure(Some(case.median(0, |sample| sample.rate)), 0),
            figure(Some(case.median(1, |sample| sample.rate)), 0),
            figure(Some(case.median(0, |sample| sample.p99)), 0),
            figure(Some(case.median(1, |sample| sample.p99)), 0),
            figure(Some(median(&ratios)), 3),
            format!("{}–{}", figure(Some(low), 2), figure(Some(high), 2)),
            case.errors.to_string(),
            case.ended.to_string(),
        ]);
    }
    table.print();
}
