//! `throughput`: raw SO_REUSEPORT, Node's cluster, nginx and maitred side by
//! side, on new connections and on kept-alive ones.
//!
//! All contenders run all the time, and idle while another is measured. The
//! rounds are interleaved, every second one backwards, so that a machine that
//! drifts drifts through all of them alike; a ratio compares within one round.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::arguments::{Common, order};
use crate::contender::{HELLO, HELLO_BODY, Kind, Running};
use crate::goal::{self, Goal};
use crate::load::clients::Clients;
use crate::load::closed::{Close, Mode, Settings};
use crate::scratch::Scratch;
use crate::stats::{median, range};
use crate::table::{Table, figure};
use crate::{machine, tools, tree};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Length of one measurement
    #[arg(long, default_value_t = 5.0, value_parser = super::seconds)]
    seconds: f64,
    /// Clients, each with one request in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// How a client closes its connection
    #[arg(long, value_enum, default_value_t = Close::Reset)]
    close: Close,
}

/// Before the first measurement, so that the runtimes have compiled their code.
const FIRST_WARM_UP: Duration = Duration::from_secs(2);
/// Before each measurement.
const WARM_UP: Duration = Duration::from_millis(500);

const MODES: [(Mode, &str, &str); 2] = [
    (
        Mode::NewConnections,
        "new_connections",
        "New connection each request",
    ),
    (Mode::KeepAlive, "keep_alive", "Keep-alive"),
];

/// One measurement. CPU times in seconds per 10,000 requests.
#[derive(Clone, Copy)]
struct Sample {
    requests: u64,
    errors: u64,
    rate: f64,
    balancer_cpu: Option<f64>,
    total_cpu: f64,
    generator_cpu: f64,
    /// Share of the machine's time that nobody used.
    idle: Option<f64>,
    /// Share that went to programs that have no part in this.
    others: Option<f64>,
}

/// A contender's samples in one mode, one for each round.
struct Series {
    kind: Kind,
    samples: Vec<Sample>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let all = vec![
        Kind::Raw,
        Kind::NodeCluster,
        Kind::Nginx(1),
        Kind::Maitred(None),
    ];
    let kinds = super::choose(all, &arguments.common.only)?;
    let machine = machine::describe();
    let versions = tools::versions(&super::programs(&kinds, arguments.common.maitred())?);
    let scratch = Scratch::new()?;
    let contenders = start(arguments, &kinds, &scratch)?;

    let mut figures = Map::new();
    let mut medians = Vec::new();
    for (mode, name, title) in MODES {
        let series = measure(arguments, mode, &contenders)?;
        print(title, &series);
        figures.insert(name.to_owned(), to_json(&series));
        medians.push(series);
    }
    let goals = goals(&medians);
    goal::print(&goals);
    let value = json!({
        "benchmark": "throughput",
        "machine": machine,
        "versions": versions,
        "settings": {
            "seconds": arguments.seconds,
            "rounds": arguments.common.rounds,
            "connections": arguments.connections,
            "workers": arguments.common.workers,
            "generator_threads": arguments.common.threads(),
            "close": format!("{:?}", arguments.close).to_lowercase(),
        },
        "modes": figures,
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.common.out(), &value)
}

fn start(arguments: &Arguments, kinds: &[Kind], scratch: &Scratch) -> Result<Vec<(Kind, Running)>> {
    kinds
        .iter()
        .map(|kind| {
            eprintln!("starting {}", kind.name());
            let running = kind.start(
                HELLO,
                arguments.common.workers.into(),
                arguments.common.maitred(),
                scratch,
            )?;
            for (mode, ..) in MODES {
                client(arguments, mode, &running)?.run(FIRST_WARM_UP)?;
            }
            Ok((kind.clone(), running))
        })
        .collect()
}

fn measure(
    arguments: &Arguments,
    mode: Mode,
    contenders: &[(Kind, Running)],
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = contenders
        .iter()
        .map(|(kind, _)| Series {
            kind: kind.clone(),
            samples: Vec::new(),
        })
        .collect();
    for round in 0..arguments.common.rounds {
        for n in order(round, contenders.len()) {
            let (kind, running) = &contenders[n];
            let sample = sample(arguments, mode, running)
                .with_context(|| format!("measuring {}", kind.name()))?;
            eprintln!(
                "round {} {:?} {}: {:.0}/s",
                round + 1,
                mode,
                kind.name(),
                sample.rate
            );
            series[n].samples.push(sample);
        }
    }
    Ok(series)
}

fn sample(arguments: &Arguments, mode: Mode, running: &Running) -> Result<Sample> {
    let mut client = client(arguments, mode, running)?;
    let warm_up = client.run(WARM_UP)?;
    let (balancer, everything) = (running.balancer(), running.everything());
    let own = [nix::unistd::Pid::this()];
    let groups = [&balancer[..], &everything[..], &own[..]];
    let before = groups.map(tree::cpu_time);
    let idle_before = machine::idle();
    let tally = client.run(Duration::from_secs_f64(arguments.seconds))?;
    let after = groups.map(tree::cpu_time);
    let idle = idle_before
        .zip(machine::idle())
        .map(|(before, after)| after.share_since(&before));
    let rest = client.drain()?;
    if tally.requests == 0 {
        bail!("nothing was answered");
    }
    let cpu = |n: usize| (after[n] - before[n]).as_secs_f64() * 1e4 / tally.requests as f64;
    Ok(Sample {
        requests: tally.requests,
        errors: warm_up.errors + tally.errors + rest.errors,
        rate: tally.requests as f64 / tally.elapsed.as_secs_f64(),
        balancer_cpu: (!balancer.is_empty()).then(|| cpu(0)),
        total_cpu: cpu(1),
        generator_cpu: cpu(2),
        idle,
        others: idle.map(|idle| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
            let used = (after[1] - before[1]) + (after[2] - before[2]);
            (1.0 - idle - used.as_secs_f64() / tally.elapsed.as_secs_f64() / cores).max(0.0)
        }),
    })
}

fn client(arguments: &Arguments, mode: Mode, running: &Running) -> Result<Clients> {
    let settings = Settings {
        port: running.port,
        path: "/",
        body: HELLO_BODY,
        connections: arguments.connections.into(),
        mode,
        close: arguments.close,
    };
    Clients::new(&settings, arguments.common.threads())
}

impl Series {
    fn all(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        self.samples.iter().filter_map(of).collect()
    }

    fn median(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        Some(median(&self.all(of))).filter(|value| value.is_finite())
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }
}

/// The rate of one contender to another's, round by round.
fn ratios(series: &[Series], of: &Kind, to: &Kind) -> Vec<f64> {
    let find = |kind: &Kind| series.iter().find(|series| series.kind == *kind);
    match (find(of), find(to)) {
        (Some(of), Some(to)) => of
            .samples
            .iter()
            .zip(&to.samples)
            .map(|(of, to)| of.rate / to.rate)
            .collect(),
        _ => Vec::new(),
    }
}

fn print(title: &str, series: &[Series]) {
    println!("\n{title} (medians; ratio to raw within each round, with its range)");
    let mut table = Table::new([
        "",
        "req/s",
        "÷ raw",
        "range",
        "balancer CPU",
        "total CPU",
        "generator CPU",
        "idle",
        "others",
        "errors",
    ]);
    for one in series {
        let ratios = ratios(series, &one.kind, &Kind::Raw);
        let (low, high) = range(&ratios);
        table.row([
            one.kind.title(),
            figure(one.median(|s| Some(s.rate)), 0),
            figure(Some(median(&ratios)), 3),
            format!("{}–{}", figure(Some(low), 3), figure(Some(high), 3)),
            figure(one.median(|s| s.balancer_cpu), 3),
            figure(one.median(|s| Some(s.total_cpu)), 3),
            figure(one.median(|s| Some(s.generator_cpu)), 3),
            format!(
                "{} %",
                figure(one.median(|s| s.idle).map(|idle| idle * 100.0), 0)
            ),
            format!(
                "{} %",
                figure(one.median(|s| s.others).map(|others| others * 100.0), 0)
            ),
            one.errors().to_string(),
        ]);
    }
    table.print();
    println!(
        "CPU: seconds per 10,000 requests: of the balancing processes, of these and the workers
\
         together, and of the load generator. Idle: of the whole machine. Others: what\n\
         programs with no part in this took of it; above a few per cent, measure again."
    );
}

fn goals(modes: &[Vec<Series>]) -> Vec<Goal> {
    let maitred = Kind::Maitred(None);
    let ratio = |mode: usize, to: &Kind| {
        Some(median(&ratios(&modes[mode], &maitred, to))).filter(|ratio| ratio.is_finite())
    };
    let lost = modes
        .iter()
        .flatten()
        .find(|series| series.kind == maitred)
        .map(|_| {
            modes
                .iter()
                .flatten()
                .filter(|s| s.kind == maitred)
                .map(Series::errors)
                .sum::<u64>() as f64
        });
    vec![
        Goal::at_least("maitred ÷ raw, new connections", 0.97, ratio(0, &Kind::Raw)),
        Goal::at_least("maitred ÷ raw, keep-alive", 0.99, ratio(1, &Kind::Raw)),
        Goal::at_least(
            "maitred ÷ Node's cluster, new connections",
            2.5,
            ratio(0, &Kind::NodeCluster),
        ),
        Goal::at_most("errors of maitred", 0.0, lost),
    ]
}

fn to_json(series: &[Series]) -> Value {
    let contenders: Map<String, Value> = series
        .iter()
        .map(|one| {
            let ratios = ratios(series, &one.kind, &Kind::Raw);
            let (low, high) = range(&ratios);
            let rounds: Vec<Value> = one
                .samples
                .iter()
                .map(|s| {
                    json!({
                        "requests": s.requests,
                        "errors": s.errors,
                        "requests_per_second": s.rate,
                        "balancer_cpu_seconds_per_10000": s.balancer_cpu,
                        "total_cpu_seconds_per_10000": s.total_cpu,
                        "generator_cpu_seconds_per_10000": s.generator_cpu,
                        "idle_share_of_machine": s.idle,
                        "share_of_machine_for_others": s.others,
                    })
                })
                .collect();
            let figures = json!({
                "requests_per_second": one.median(|s| Some(s.rate)),
                "ratio_to_raw": Some(median(&ratios)).filter(|r| r.is_finite()),
                "ratio_to_raw_range": [low, high],
                "balancer_cpu_seconds_per_10000": one.median(|s| s.balancer_cpu),
                "total_cpu_seconds_per_10000": one.median(|s| Some(s.total_cpu)),
                "generator_cpu_seconds_per_10000": one.median(|s| Some(s.generator_cpu)),
                "idle_share_of_machine": one.median(|s| s.idle),
                "share_of_machine_for_others": one.median(|s| s.others),
                "errors": one.errors(),
                "rounds": rounds,
            });
            (one.kind.name(), figures)
        })
        .collect();
    contenders.into()
}
