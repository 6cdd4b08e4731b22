//! `cost`: CPU time and system calls of maitred's own processes for each new
//! connection, with 4 and with 64 workers, and with open idle connections
//! piled up. Neither may cost more as numbers grow.
//!
//! With one request in flight each connection wakes the supervisor anew; with
//! 64 it works through several at a time. The workers are light servers built
//! into this program, so that 64 of them do not starve the machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::worker;
use crate::contender::{self, Running};
use crate::load::closed::{Body, Close, ClosedLoop, Mode, Settings};
use crate::scratch::Scratch;
use crate::stats::{median, range};
use crate::strace::{Counts, Strace};
use crate::table::{Table, figure};
use crate::{machine, tools, tree};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of workers, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "4,64", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Vec<u16>,
    /// Numbers of open idle connections, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "0,5000", value_parser = clap::value_parser!(u16).range(0..=15_000))]
    idle: Vec<u16>,
    /// Length of one measurement
    #[arg(long, default_value_t = 2.0, value_parser = super::seconds)]
    seconds: f64,
    /// Measurements of each case
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Only CPU time: do without strace
    #[arg(long)]
    no_strace: bool,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

const IN_FLIGHT: [usize; 2] = [1, 64];
const WARM_UP: Duration = Duration::from_millis(500);
/// Under strace everything is many times slower, but counts are exact soon.
const STRACED: Duration = Duration::from_secs(1);

struct Case {
    workers: u16,
    idle: u16,
    in_flight: usize,
    /// Microseconds a connection, one for each round.
    cpu: Vec<f64>,
    /// Connections a second, one for each round.
    rates: Vec<f64>,
    calls: Option<(Counts, u64)>,
    errors: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let mut programs = vec![("maitred", tools::maitred(arguments.maitred.as_deref())?)];
    if !arguments.no_strace {
        let strace =
            tools::find("strace").context("counting system calls (or give --no-strace)")?;
        programs.push(("strace", strace));
    }
    let versions = tools::versions(&programs);
    let scratch = Scratch::new()?;
    let mut cases = Vec::new();
    for &workers in &arguments.workers {
        eprintln!("starting {workers} workers");
        let running = start(arguments, workers, &scratch)?;
        let mut idle: Vec<TcpStream> = Vec::new();
        for &wanted in &arguments.idle {
            pile_up(&mut idle, wanted.into(), running.port)?;
            for in_flight in IN_FLIGHT {
                let case = measure(arguments, workers, wanted, in_flight, &running, &scratch)
                    .with_context(|| {
                        format!("measuring {workers} workers with {wanted} idle connections")
                    })?;
                cases.push(case);
            }
        }
    }
    print(&cases);
    let value = json!({
        "benchmark": "cost",
        "machine": machine,
        "versions": versions,
        "settings": { "seconds": arguments.seconds, "rounds": arguments.rounds },
        "cases": cases.iter().map(Case::to_json).collect::<Vec<_>>(),
    });
    super::write_json(arguments.out.as_deref(), &value)
}

fn start(arguments: &Arguments, workers: u16, scratch: &Scratch) -> Result<Running> {
    let own = std::env::current_exe().context("finding this program")?;
    contender::run_maitred(
        &[own.into_os_string()],
        &["worker"],
        workers.into(),
        arguments.maitred.as_deref(),
        scratch,
    )
    .with_context(|| format!("starting maitred with {workers} workers"))
}

/// Opens connections until so many are open. Each has had one answer, so it is
/// sure to stand at a worker.
fn pile_up(idle: &mut Vec<TcpStream>, wanted: usize, port: u16) -> Result<()> {
    while idle.len() < wanted {
        let open = || -> std::io::Result<TcpStream> {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            client.set_read_timeout(Some(Duration::from_secs(5)))?;
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            client.read_exact(&mut [0; 15])?;
            Ok(client)
        };
        idle.push(open().with_context(|| format!("opening idle connection {}", idle.len() + 1))?);
    }
    idle.truncate(wanted);
    Ok(())
}

fn measure(
    arguments: &Arguments,
    workers: u16,
    idle: u16,
    in_flight: usize,
    running: &Running,
    scratch: &Scratch,
) -> Result<Case> {
    let balancer = running.balancer();
    let mut case = Case {
        workers,
        idle,
        in_flight,
        cpu: Vec::new(),
        rates: Vec::new(),
        calls: None,
        errors: 0,
    };
    let mut client = ClosedLoop::new(Settings {
        port: running.port,
        path: "/",
        body: Body::text(worker::BODY),
        connections: in_flight,
        mode: Mode::NewConnections,
        close: Close::Reset,
    })?;
    client.run(WARM_UP)?;
    for _ in 0..arguments.rounds {
        let before = tree::cpu_time(&balancer);
        let tally = client.run(Duration::from_secs_f64(arguments.seconds))?;
        let used = tree::cpu_time(&balancer) - before;
        if tally.requests == 0 {
            bail!("nothing was answered");
        }
        case.cpu
            .push(used.as_secs_f64() * 1e6 / tally.requests as f64);
        case.rates
            .push(tally.requests as f64 / tally.elapsed.as_secs_f64());
        case.errors += tally.errors;
    }
    if !arguments.no_strace {
        let strace = Strace::attach(&balancer, scratch)?;
        let tally = client.run(STRACED)?;
        case.calls = Some((strace.finish()?, tally.requests.max(1)));
        case.errors += tally.errors;
    }
    case.errors += client.drain()?.errors;
    eprintln!(
        "{workers} workers, {idle} idle, {in_flight} in flight: {:.1} µs",
        median(&case.cpu)
    );
    Ok(case)
}

impl Case {
    fn calls_each(&self) -> Option<f64> {
        let (counts, connections) = self.calls.as_ref()?;
        Some(counts.values().sum::<u64>() as f64 / *connections as f64)
    }

    /// The calls made most, a connection.
    fn most(&self) -> String {
        let Some((counts, connections)) = &self.calls else {
            return String::new();
        };
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|&(_, &n)| std::cmp::Reverse(n));
        let most = counts
            .iter()
            .take(6)
            .map(|&(name, &n)| format!("{name} {:.2}", n as f64 / *connections as f64));
        most.collect::<Vec<_>>().join(", ")
    }

    fn to_json(&self) -> Value {
        json!({
            "workers": self.workers,
            "idle_connections": self.idle,
            "in_flight": self.in_flight,
            "cpu_microseconds_per_connection": median(&self.cpu),
            "cpu_microseconds_per_connection_rounds": self.cpu,
            "connections_per_second_rounds": self.rates,
            "system_calls_per_connection": self.calls_each(),
            "system_calls": self.calls.as_ref().map(|(counts, _)| counts),
            "straced_connections": self.calls.as_ref().map(|(_, connections)| connections),
            "errors": self.errors,
        })
    }
}

fn print(cases: &[Case]) {
    println!("\nmaitred's own processes (guard and supervisor), for each new connection");
    let mut table = Table::new([
        "workers",
        "idle",
        "in flight",
        "CPU µs",
        "range",
        "connections/s",
        "system calls",
        "errors",
    ]);
    for case in cases {
        let (low, high) = range(&case.cpu);
        table.row([
            case.workers.to_string(),
            case.idle.to_string(),
            case.in_flight.to_string(),
            figure(Some(median(&case.cpu)), 1),
            format!("{}–{}", figure(Some(low), 1), figure(Some(high), 1)),
            figure(Some(median(&case.rates)), 0),
            figure(case.calls_each(), 2),
            case.errors.to_string(),
        ]);
    }
    table.print();
    for case in cases.iter().filter(|case| case.calls.is_some()) {
        println!(
            "{} workers, {} idle, {} in flight: {}",
            case.workers,
            case.idle,
            case.in_flight,
            case.most()
        );
    }
}
