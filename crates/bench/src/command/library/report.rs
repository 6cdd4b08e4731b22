//! The tables, the goals and the JSON of `library`.

use serde_json::{Map, Value, json};

use super::target::Server;
use super::{Rate, Series};
use crate::goal::Goal;
use crate::stats::{median, range};
use crate::stepping::Count;
use crate::table::{Table, figure};

pub(super) fn print(series: &[Series]) {
    println!("\nInstructions of a worker for a request on a kept-alive connection (the least)");
    let mut table = Table::new([
        "",
        "without",
        "with",
        "the library's own",
        "÷ all others, %",
        "system calls without",
        "with",
    ]);
    for one in series {
        table.row([
            one.case.title(),
            figure(Some(least(&one.bare, |count| count.instructions)), 0),
            figure(Some(least(&one.with, |count| count.instructions)), 0),
            figure(Some(least(&one.with, |count| count.library)), 0),
            figure(Some(share(one) * 100.0), 2),
            figure(Some(least(&one.bare, |count| count.system_calls)), 0),
            figure(Some(least(&one.with, |count| count.system_calls)), 0),
        ]);
    }
    table.print();
    println!(
        "User space alone, on the server's main thread, one request at a time. The library's own are those\n\
         executed in its code. With and without are two processes, whose runtimes have compiled their code\n\
         in their own ways: what differs there beside the library's own is theirs. The share is of a request\n\
         with which the runtime did nothing else; what the kernel executes for it is left out."
    );
    println!("\nWith the library ÷ without (medians of the rounds, and their range)");
    let mut table = Table::new([
        "",
        "requests/s",
        "range",
        "CPU for a request",
        "range",
        "CPU time in the library, %",
        "errors",
    ]);
    for one in series.iter().filter(|one| !one.rounds.is_empty()) {
        let rates = one.ratios(|rate| rate.requests_per_second);
        let cpu = one.ratios(|rate| rate.cpu_each);
        table.row([
            one.case.title(),
            figure(Some(median(&rates)), 3),
            spread(&rates),
            figure(Some(median(&cpu)), 3),
            spread(&cpu),
            figure(one.time.map(|share| share * 100.0), 2),
            errors(one).to_string(),
        ]);
    }
    table.print();
}

/// The request with which nothing else was done: what the others have more is a runtime's timers and
/// garbage collection, or the supervisor's question whether the loop runs.
fn least(counts: &[Count], of: impl Fn(&Count) -> u64) -> f64 {
    counts.iter().map(of).min().map_or(f64::NAN, |n| n as f64)
}

/// The library's own instructions by all others.
fn share(one: &Series) -> f64 {
    let others = least(&one.with, |count| count.instructions - count.library);
    least(&one.with, |count| count.library) / others
}

fn spread(values: &[f64]) -> String {
    let (low, high) = range(values);
    format!("{}–{}", figure(Some(low), 3), figure(Some(high), 3))
}

fn errors(one: &Series) -> u64 {
    one.rounds.iter().flatten().map(|rate| rate.errors).sum()
}

pub(super) fn goals(series: &[Series]) -> Vec<Goal> {
    let of = |server: Server| {
        series
            .iter()
            .find(|one| one.case.server == server && one.case.http)
    };
    let mut goals = Vec::new();
    for server in [Server::Node, Server::Bun] {
        let title = server.title();
        goals.push(Goal::at_most(
            format!("the library's instructions ÷ all others, {title}"),
            0.02,
            of(server).map(share),
        ));
        goals.push(Goal::at_least(
            format!("kept-alive requests/s with the library ÷ without, {title}"),
            0.98,
            of(server)
                .map(|one| median(&one.ratios(|rate| rate.requests_per_second)))
                .filter(|ratio| ratio.is_finite()),
        ));
    }
    goals
}

pub(super) fn to_json(series: &[Series]) -> Value {
    let cases: Map<String, Value> = series
        .iter()
        .map(|one| {
            let value = json!({
                "library_share_of_instructions": share(one),
                "library_share_of_cpu_time": one.time,
                "without": counts_json(&one.bare),
                "with": counts_json(&one.with),
                "rate_ratio_rounds": one.ratios(|rate| rate.requests_per_second),
                "cpu_ratio_rounds": one.ratios(|rate| rate.cpu_each),
                "rounds": one.rounds.iter().map(|round| round.map(rate_json)).collect::<Vec<_>>(),
                "errors": errors(one),
            });
            (one.case.name(), value)
        })
        .collect();
    cases.into()
}

fn counts_json(counts: &[Count]) -> Value {
    let all = |of: fn(&Count) -> u64| counts.iter().map(of).collect::<Vec<_>>();
    json!({
        "instructions": all(|count| count.instructions),
        "library": all(|count| count.library),
        "system_calls": all(|count| count.system_calls),
    })
}

fn rate_json(rate: Rate) -> Value {
    json!({
        "requests_per_second": rate.requests_per_second,
        "cpu_microseconds_per_request": rate.cpu_each,
    })
}
