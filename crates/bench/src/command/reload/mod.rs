//! `reload`: what a reload loses: requests that fail, and kept-alive connections that the server ends,
//! while clients that never retry ask all the time; and how long requests take meanwhile, beside the
//! same system's quiet time just before.
//!
//! The systems take turns. In each round one is started, left in peace for a while, and reloaded some
//! times, one reload after the other.

mod report;
mod systems;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::arguments::order;
use crate::load::strict::{All, PHASES, Phase, StrictClients};
use crate::scratch::Scratch;
use crate::stats::{percentile, sorted};
use crate::{goal, machine, tools};
use systems::{Managers, SYSTEMS, System};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Reloads of maitred, shared by its ways to run: per connection and per request, Node and Bun
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    reloads: u32,
    /// Reloads of each peer
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    peer_reloads: u32,
    /// Parts in which the reloads are done; the systems take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of the quiet time in each round
    #[arg(long, default_value_t = 5.0, value_parser = super::seconds)]
    seconds: f64,
    /// Clients of each kind: with new connections, with kept-alive ones, with bodies
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    clients: u8,
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

/// So that the runtimes have compiled their code.
const WARM_UP: Duration = Duration::from_secs(2);
/// After a reload: what it has done to an idle connection shows when its client uses it again.
const AFTERWARDS: Duration = Duration::from_millis(300);
/// An answer that takes longer than this many quiet 99th percentiles is slow. Slow answers are counted, since a
/// long reload makes their share small.
const SLOW: f64 = 2.0;

/// What came of one system.
struct Series {
    system: System,
    reloads: u32,
    /// Seconds each.
    took: Vec<f64>,
    met: All,
    /// 99th percentiles of each round, in milliseconds: quiet, and during reloads.
    p99: Vec<(f64, f64)>,
    /// Answers that took more than [`SLOW`] quiet 99th percentiles during reloads, less those that
    /// would have without.
    slow: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let systems = choose(&arguments.only)?;
    let scratch = Scratch::new()?;
    let versions = versions(&systems, arguments)?;
    let managers = Managers::new(&systems, arguments.maitred.as_deref(), &scratch)?;
    let mut series: Vec<Series> = systems.iter().copied().map(Series::new).collect();
    for round in 0..arguments.rounds {
        for n in order(round, systems.len()) {
            let reloads = share(arguments, &systems, n, round);
            eprintln!(
                "round {}, {}: {reloads} reloads",
                round + 1,
                systems[n].title()
            );
            if reloads > 0 {
                measure(arguments, reloads, &managers, &scratch, &mut series[n])
                    .with_context(|| format!("measuring {}", systems[n].title()))?;
            }
        }
    }
    report::print(&series);
    let goals = report::goals(&series);
    goal::print(&goals);
    let value = json!({
        "benchmark": "reload",
        "machine": machine,
        "versions": versions,
        "settings": {
            "rounds": arguments.rounds,
            "quiet_seconds": arguments.seconds,
            "clients_of_each_kind": arguments.clients,
        },
        "systems": report::to_json(&series),
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &value)
}

fn choose(only: &[String]) -> Result<Vec<System>> {
    for name in only {
        if !SYSTEMS
            .iter()
            .any(|system| system.is_named(std::slice::from_ref(name)))
        {
            let names = SYSTEMS.map(System::name);
            bail!("--only knows no {name}, but {}", names.join(", "));
        }
    }
    let mut systems = SYSTEMS.to_vec();
    systems.retain(|system| system.is_named(only));
    Ok(systems)
}

fn versions(systems: &[System], arguments: &Arguments) -> Result<Value> {
    let mut programs = Vec::new();
    for system in systems {
        programs.extend(system.programs(arguments.maitred.as_deref())?);
    }
    programs.sort();
    programs.dedup();
    let mut versions = tools::versions(&programs);
    if systems.contains(&System::Pm2) {
        versions["pm2"] = super::manager::pm2_version()?.into();
    }
    Ok(versions)
}

/// How many reloads this system has in this round: all rounds together have what was asked for.
fn share(arguments: &Arguments, systems: &[System], n: usize, round: u32) -> u32 {
    let ours: Vec<usize> = (0..systems.len())
        .filter(|&n| systems[n].is_maitred())
        .collect();
    match ours.iter().position(|&place| place == n) {
        Some(place) => {
            let parts = ours.len() as u32 * arguments.rounds;
            (arguments.reloads + round * ours.len() as u32 + place as u32) / parts
        }
        None => (arguments.peer_reloads + round) / arguments.rounds,
    }
}

fn measure(
    arguments: &Arguments,
    reloads: u32,
    managers: &Managers,
    scratch: &Scratch,
    series: &mut Series,
) -> Result<()> {
    let mut running = series.system.start(managers, scratch)?;
    let clients = StrictClients::start(running.port(), arguments.clients);
    std::thread::sleep(WARM_UP);
    clients.enter(Phase::Quiet);
    std::thread::sleep(Duration::from_secs_f64(arguments.seconds));
    clients.enter(Phase::Reload);
    for _ in 0..reloads {
        series.took.push(running.reload()?.as_secs_f64());
        series.reloads += 1;
    }
    std::thread::sleep(AFTERWARDS);
    let met = clients.finish()?;
    running.stop()?;
    series.add(met)
}

impl Series {
    fn new(system: System) -> Self {
        Self {
            system,
            reloads: 0,
            took: Vec::new(),
            met: All::default(),
            p99: Vec::new(),
            slow: 0.0,
        }
    }

    fn add(&mut self, met: All) -> Result<()> {
        let [quiet, reload] = [Phase::Quiet, Phase::Reload].map(|phase| {
            let all = met.iter().flat_map(|kind| &kind[phase as usize].latencies);
            sorted(&all.copied().collect::<Vec<_>>())
        });
        if quiet.is_empty() || reload.is_empty() {
            bail!("nothing was answered");
        }
        let p99 = percentile(&quiet, 0.99);
        self.p99.push((p99, percentile(&reload, 0.99)));
        let slow = |all: &[f64]| all.iter().filter(|&&took| took > SLOW * p99).count() as f64;
        let expected = slow(&quiet) / quiet.len() as f64 * reload.len() as f64;
        self.slow += slow(&reload) - expected;
        for (sums, met) in self.met.iter_mut().zip(met) {
            for (sum, met) in sums.iter_mut().zip(met) {
                sum.add(met);
            }
        }
        Ok(())
    }

    /// A count over all kinds of clients, in one phase.
    fn count(&self, phase: Phase, of: impl Fn(&crate::load::strict::Met) -> u64) -> u64 {
        self.met.iter().map(|kind| of(&kind[phase as usize])).sum()
    }

    /// The same in all phases.
    fn count_all(&self, of: impl Fn(&crate::load::strict::Met) -> u64 + Copy) -> u64 {
        let phases: [Phase; PHASES] = [Phase::WarmUp, Phase::Quiet, Phase::Reload];
        phases.into_iter().map(|phase| self.count(phase, of)).sum()
    }

    /// During reloads to quiet, of each round.
    fn ratios(&self) -> Vec<f64> {
        self.p99
            .iter()
            .map(|(quiet, reload)| reload / quiet)
            .collect()
    }
}
