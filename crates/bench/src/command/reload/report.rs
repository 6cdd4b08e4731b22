//! The table, the goals and the JSON of `reload`.

use serde_json::{Map, Value, json};

use super::Series;
use crate::goal::Goal;
use crate::load::strict::{CLIENTS, Client, LOSSES, Met, Phase};
use crate::stats::{median, range};
use crate::table::{Table, figure};

pub(super) fn print(series: &[Series]) {
    println!("\nReloads of two instances under clients that never retry");
    let mut table = Table::new([
        "",
        "reloads",
        "requests",
        "failed",
        "a reload",
        "closed",
        "a reload",
        "p99 ÷ quiet",
        "range",
        "slow a reload",
        "s each",
    ]);
    for one in series {
        let ratios = one.ratios();
        let (low, high) = range(&ratios);
        table.row([
            one.system.title().to_owned(),
            one.reloads.to_string(),
            one.count(Phase::Reload, |met| met.requests).to_string(),
            one.count(Phase::Reload, Met::failed).to_string(),
            figure(each(one, Met::failed), 2),
            one.count(Phase::Reload, |met| met.closed).to_string(),
            figure(each(one, |met| met.closed), 2),
            figure(Some(median(&ratios)), 2),
            format!("{}–{}", figure(Some(low), 2), figure(Some(high), 2)),
            figure(Some(one.slow / f64::from(one.reloads)), 1),
            figure(Some(median(&one.took)), 1),
        ]);
    }
    table.print();
    println!(
        "Failed: no whole expected answer. Closed: kept-alive connections that the server ended, idle or\n\
         after an answer. p99: during reloads, by the same system's just before; median and range of the\n\
         rounds. Slow: answers that took more than twice that quiet p99, less the share of such in the\n\
         quiet time."
    );
    for one in series {
        for line in losses(one) {
            println!("{line}");
        }
    }
}

fn each(one: &Series, of: impl Fn(&Met) -> u64) -> Option<f64> {
    (one.reloads > 0).then(|| one.count(Phase::Reload, of) as f64 / f64::from(one.reloads))
}

/// What failed, by kind of client and of loss, and what failed when nothing was reloaded.
fn losses(one: &Series) -> Vec<String> {
    let mut lines = Vec::new();
    for client in CLIENTS {
        let met = &one.met[client as usize][Phase::Reload as usize];
        let found: Vec<String> = LOSSES
            .iter()
            .zip(met.lost)
            .filter(|&(_, n)| n > 0)
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        if !found.is_empty() {
            let title = one.system.title();
            lines.push(format!(
                "{title}, {}: {}",
                client_name(client),
                found.join(", ")
            ));
        }
    }
    let failed = one.count_all(Met::failed) - one.count(Phase::Reload, Met::failed);
    let closed = one.count_all(|met| met.closed) - one.count(Phase::Reload, |met| met.closed);
    if failed + closed > 0 {
        let title = one.system.title();
        lines.push(format!(
            "{title}, before reloads: {failed} failed, {closed} closed"
        ));
    }
    lines
}

fn client_name(client: Client) -> &'static str {
    match client {
        Client::NewConnections => "new connections",
        Client::KeepAlive => "kept-alive",
        Client::Post => "POST with a body",
    }
}

pub(super) fn goals(series: &[Series]) -> Vec<Goal> {
    let ours = |of: fn(&Met) -> u64| {
        let mut ours = series.iter().filter(|one| one.system.is_maitred());
        let first = ours.next()?.count_all(of);
        Some((first + ours.map(|one| one.count_all(of)).sum::<u64>()) as f64)
    };
    vec![
        Goal::at_most("failed requests of maitred", 0.0, ours(Met::failed)),
        Goal::at_most(
            "connections that maitred closed",
            0.0,
            ours(|met| met.closed),
        ),
    ]
}

pub(super) fn to_json(series: &[Series]) -> Value {
    let systems: Map<String, Value> = series
        .iter()
        .map(|one| (one.system.name().to_owned(), series_json(one)))
        .collect();
    systems.into()
}

fn series_json(one: &Series) -> Value {
    let ratios = one.ratios();
    let clients: Map<String, Value> = CLIENTS
        .iter()
        .map(|&client| {
            let phases = &one.met[client as usize];
            let before = [Phase::WarmUp, Phase::Quiet].map(|phase| &phases[phase as usize]);
            let value = json!({
                "reloads": met_json(&phases[Phase::Reload as usize]),
                "before": before.map(met_json),
            });
            (client_name(client).to_owned(), value)
        })
        .collect();
    json!({
        "reloads": one.reloads,
        "requests": one.count(Phase::Reload, |met| met.requests),
        "failed": one.count(Phase::Reload, Met::failed),
        "failed_per_reload": each(one, Met::failed),
        "closed": one.count(Phase::Reload, |met| met.closed),
        "closed_per_reload": each(one, |met| met.closed),
        "p99_ratio": Some(median(&ratios)).filter(|ratio| ratio.is_finite()),
        "p99_ratio_rounds": ratios,
        "p99_milliseconds_quiet_and_reload_rounds": one.p99,
        "slow_per_reload": one.slow / f64::from(one.reloads),
        "seconds_per_reload": one.took,
        "clients": clients,
    })
}

fn met_json(met: &Met) -> Value {
    let lost: Map<String, Value> = LOSSES
        .iter()
        .zip(met.lost)
        .map(|(name, n)| ((*name).to_owned(), n.into()))
        .collect();
    json!({ "requests": met.requests, "failed": lost, "closed": met.closed })
}
