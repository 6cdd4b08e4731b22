//! `requests`: requests over connections that are kept alive, each placed by itself: maitred beside
//! nginx and HAProxy. Throughput, 99th percentile, and the CPU time of the proxy for 10,000
//! requests, with 4 and with 64 clients.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::contender::{HELLO, Kind};
use crate::goal::{self, Goal};
use crate::load::closed::{Close, ClosedLoop, Mode, Settings};
use crate::scratch::Scratch;
use crate::stats::{median, percentile, range, sorted};
use crate::table::{Table, figure};
use crate::{machine, tools, tree};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Workers behind each contender
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Numbers of clients, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "4,64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// Length of one measurement
    #[arg(long, default_value_t = 3.0, value_parser = super::seconds)]
    seconds: f64,
    /// Measurements of each case; the contenders take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Only these contenders, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

const WARM_UP: Duration = Duration::from_millis(700);

/// One contender with so many clients.
struct Case {
    kind: Kind,
    clients: u16,
    /// Requests a second, one for each round.
    rates: Vec<f64>,
    /// Microseconds, one for each round.
    p99: Vec<f64>,
    /// Seconds of the proxy's CPU time for 10,000 requests, one for each round.
    cpu: Vec<f64>,
    errors: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let all = vec![
        Kind::Nginx,
        Kind::Haproxy,
        Kind::Requests("least_conn"),
        Kind::Requests("next_available"),
    ];
    let kinds = super::choose(all, &arguments.only)?;
    let machine = machine::describe();
    let versions = tools::versions(&super::programs(&kinds, arguments.maitred.as_deref())?);
    let mut cases: Vec<Case> = kinds
        .iter()
        .flat_map(|kind| {
            arguments.clients.iter().map(|clients| Case {
                kind: kind.clone(),
                clients: *clients,
                rates: Vec::new(),
                p99: Vec::new(),
                cpu: Vec::new(),
                errors: 0,
            })
        })
        .collect();
    let scratch = Scratch::new()?;
    for round in 1..=arguments.rounds {
        for case in &mut cases {
            measure(arguments, case, &scratch)
                .with_context(|| format!("measuring {}", case.kind.name()))?;
            eprintln!(
                "round {round}, {}, {} clients: {:.0} requests/s",
                case.kind.name(),
                case.clients,
                case.rates.last().copied().unwrap_or(0.0)
            );
        }
    }
    print(&cases);
    let goals = goals(&cases);
    goal::print(&goals);
    let value = json!({
        "benchmark": "requests",
        "machine": machine,
        "versions": versions,
        "settings": {
            "workers": arguments.workers,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
        },
        "cases": cases.iter().map(Case::to_json).collect::<Vec<_>>(),
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &value)
}

fn measure(arguments: &Arguments, case: &mut Case, scratch: &Scratch) -> Result<()> {
    let running = case.kind.start(
        HELLO,
        arguments.workers.into(),
        arguments.maitred.as_deref(),
        scratch,
    )?;
    let balancer = running.balancer();
    let mut client = ClosedLoop::new(Settings {
        port: running.port,
        path: "/",
        body: HELLO.body,
        connections: case.clients.into(),
        mode: Mode::KeepAlive,
        close: Close::Reset,
    })?;
    client.run(WARM_UP)?;
    let before = tree::cpu_time(&balancer);
    let tally = client.run(Duration::from_secs_f64(arguments.seconds))?;
    let used = tree::cpu_time(&balancer) - before;
    let requests = tally.requests.max(1) as f64;
    case.rates.push(requests / tally.elapsed.as_secs_f64());
    case.p99.push(percentile(&sorted(client.latencies()), 99.0));
    case.cpu.push(used.as_secs_f64() * 10_000.0 / requests);
    case.errors += tally.errors + client.drain()?.errors;
    Ok(())
}

impl Case {
    fn to_json(&self) -> Value {
        json!({
            "contender": self.kind.name(),
            "clients": self.clients,
            "requests_per_second_rounds": self.rates,
            "p99_microseconds_rounds": self.p99,
            "cpu_seconds_per_10000_rounds": self.cpu,
            "errors": self.errors,
        })
    }
}

fn print(cases: &[Case]) {
    println!("\nRequests over connections that are kept alive, medians of the rounds");
    let mut table = Table::new([
        "contender",
        "clients",
        "requests/s",
        "range",
        "p99 µs",
        "CPU s for 10,000",
        "errors",
    ]);
    for case in cases {
        let (low, high) = range(&case.rates);
        table.row([
            case.kind.title(),
            case.clients.to_string(),
            figure(Some(median(&case.rates)), 0),
            format!("{}–{}", figure(Some(low), 0), figure(Some(high), 0)),
            figure(Some(median(&case.p99)), 0),
            figure(Some(median(&case.cpu)), 3),
            case.errors.to_string(),
        ]);
    }
    table.print();
}

fn goals(cases: &[Case]) -> Vec<Goal> {
    let find = |kind: &Kind, clients| {
        cases
            .iter()
            .find(|case| case.kind == *kind && case.clients == clients)
    };
    let ours = Kind::Requests("least_conn");
    let mut goals = Vec::new();
    for clients in [4, 64] {
        let (Some(ours), Some(nginx)) = (find(&ours, clients), find(&Kind::Nginx, clients)) else {
            continue;
        };
        let ratios = |ours: &[f64], theirs: &[f64]| {
            let ratios: Vec<_> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
            Some(median(&ratios))
        };
        goals.push(Goal::at_least(
            format!("throughput ÷ nginx, {clients} clients"),
            1.3,
            ratios(&ours.rates, &nginx.rates),
        ));
        goals.push(Goal::at_most(
            format!("CPU time ÷ nginx, {clients} clients"),
            0.7,
            ratios(&ours.cpu, &nginx.cpu),
        ));
    }
    goals
}
