//! What the requests benchmark prints and writes.

use serde_json::{Value, json};

use super::{Case, Load, Sample};
use crate::contender::Kind;
use crate::goal::Goal;
use crate::stats::{median, range};
use crate::table::{Table, figure};

/// Whom the others are compared to.
const RIVAL: Kind = Kind::Nginx(1);

impl Case {
    fn all(&self, of: fn(&Sample) -> Option<f64>) -> Vec<f64> {
        self.samples.iter().filter_map(of).collect()
    }

    fn median(&self, of: fn(&Sample) -> Option<f64>) -> Option<f64> {
        Some(median(&self.all(of))).filter(|value| value.is_finite())
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }

    /// A figure divided by nginx's, round by round.
    fn to_rival(&self, cases: &[Case], of: fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let rival = cases.iter().find(|case| {
            case.kind == RIVAL && case.load == self.load && case.clients == self.clients
        });
        let Some(rival) = rival else {
            return Vec::new();
        };
        let pairs = self.samples.iter().zip(&rival.samples);
        pairs
            .filter_map(|(ours, theirs)| Some(of(ours)? / of(theirs)?))
            .collect()
    }
}

fn rate(sample: &Sample) -> Option<f64> {
    Some(sample.rate)
}

fn cpu(sample: &Sample) -> Option<f64> {
    Some(sample.cpu)
}

pub(super) fn print(cases: &[Case]) {
    for group in cases.chunk_by(|a, b| (a.load, a.clients) == (b.load, b.clients)) {
        let Some(first) = group.first() else { continue };
        match first.load {
            Load::Mixed => print_mixed(first.clients, group),
            Load::Small | Load::Large => print_closed(first, group),
        }
    }
    println!(
        "\nMedians of the rounds; ratios to nginx within each round, with their range.\n\
         CPU: seconds of the proxy's time for 10,000 requests."
    );
}

fn print_closed(first: &Case, group: &[Case]) {
    let what = match first.load {
        Load::Large => "Answers of 1 MB",
        Load::Small | Load::Mixed => "Small answers",
    };
    println!("\n{what}, {} clients that stay connected", first.clients);
    let mut table = Table::new([
        "", "req/s", "÷ nginx", "range", "p50 µs", "p99 µs", "CPU", "÷ nginx", "range", "errors",
    ]);
    for case in group {
        let rates = case.to_rival(group, rate);
        let costs = case.to_rival(group, cpu);
        table.row([
            case.kind.title(),
            figure(case.median(rate), 0),
            figure(Some(median(&rates)), 3),
            from_to(&rates),
            figure(case.median(|sample| Some(sample.p50)), 0),
            figure(case.median(|sample| Some(sample.p99)), 0),
            figure(case.median(cpu), 3),
            figure(Some(median(&costs)), 3),
            from_to(&costs),
            case.errors().to_string(),
        ]);
    }
    table.print();
}

fn print_mixed(clients: u16, group: &[Case]) {
    println!("\nMixed blocking work over {clients} connections");
    let mut table = Table::new([
        "",
        "mean ÷ ideal",
        "range",
        "p50 ms",
        "p99 ms",
        "CPU",
        "errors",
    ]);
    for case in group {
        let to_ideal = case.all(|sample| sample.to_ideal);
        table.row([
            case.kind.title(),
            figure(Some(median(&to_ideal)), 3),
            from_to(&to_ideal),
            figure(case.median(|sample| Some(sample.p50 / 1e3)), 1),
            figure(case.median(|sample| Some(sample.p99 / 1e3)), 1),
            figure(case.median(cpu), 3),
            case.errors().to_string(),
        ]);
    }
    table.print();
    let rounds: usize = group.iter().map(|case| case.samples.len()).sum();
    let sound: usize = group
        .iter()
        .map(|case| case.all(|sample| sample.to_ideal).len())
        .sum();
    if sound < rounds {
        println!(
            "{} of {rounds} measurements are left out, because the generator itself was late",
            rounds - sound
        );
    }
}

fn from_to(values: &[f64]) -> String {
    if values.is_empty() {
        return figure(None, 2);
    }
    let (low, high) = range(values);
    format!("{}–{}", figure(Some(low), 2), figure(Some(high), 2))
}

pub(super) fn goals(cases: &[Case]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for case in cases {
        let clients = case.clients;
        match (case.load, &case.kind) {
            (Load::Small | Load::Large, Kind::Requests("least_conn")) => {
                let what = if case.load == Load::Small {
                    "small answers"
                } else {
                    "1 MB"
                };
                let ratio =
                    |of| Some(median(&case.to_rival(cases, of))).filter(|ratio| ratio.is_finite());
                goals.push(Goal::at_least(
                    format!("{what}, {clients} clients: throughput ÷ nginx"),
                    1.3,
                    ratio(rate),
                ));
                goals.push(Goal::at_most(
                    format!("{what}, {clients} clients: CPU time ÷ nginx"),
                    0.7,
                    ratio(cpu),
                ));
            }
            (Load::Mixed, Kind::Requests("next_available")) => goals.push(Goal::at_most(
                format!("next_available, {clients} clients: (mean − floor) ÷ ideal"),
                1.08,
                case.median(|sample| sample.to_ideal),
            )),
            _ => {}
        }
    }
    let ours = |case: &&Case| matches!(case.kind, Kind::Requests(_));
    if cases.iter().any(|case| ours(&case)) {
        let errors: u64 = cases.iter().filter(ours).map(Case::errors).sum();
        goals.push(Goal::at_most("errors of maitred", 0.0, Some(errors as f64)));
    }
    goals
}

pub(super) fn to_json(case: &Case) -> Value {
    let rounds: Vec<Value> = case
        .samples
        .iter()
        .map(|sample| {
            json!({
                "requests_per_second": sample.rate,
                "p50_microseconds": sample.p50,
                "p99_microseconds": sample.p99,
                "cpu_seconds_per_10000": sample.cpu,
                "mean_less_floor_to_ideal": sample.to_ideal,
                "errors": sample.errors,
            })
        })
        .collect();
    json!({
        "contender": case.kind.name(),
        "load": format!("{:?}", case.load).to_lowercase(),
        "clients": case.clients,
        "requests_per_second": case.median(rate),
        "p50_microseconds": case.median(|sample| Some(sample.p50)),
        "p99_microseconds": case.median(|sample| Some(sample.p99)),
        "cpu_seconds_per_10000": case.median(cpu),
        "mean_less_floor_to_ideal": case.median(|sample| sample.to_ideal),
        "errors": case.errors(),
        "rounds": rounds,
    })
}
