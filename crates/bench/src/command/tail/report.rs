//! What the tail benchmark prints, draws and writes.

use serde_json::{Map, Value, json};

use super::Row;
use crate::goal::Goal;
use crate::stats::{mean, percentile};
use crate::svg;
use crate::table::{Table, figure};

pub(super) fn print(load: u8, n: usize, rows: &[Row]) {
    let Some((ideal, _)) = rows.split_last() else {
        return;
    };
    println!("\n{load} % load (milliseconds)");
    let mut table = Table::new([
        "",
        "mean",
        "floor",
        "mean − floor",
        "÷ ideal",
        "p50",
        "p99",
        "÷ ideal",
        "p99.9",
        "max",
        "sent late p99",
        "errors",
    ]);
    for row in rows {
        let run = &row.runs[n];
        table.row([
            row.title.clone(),
            figure(Some(run.mean()), 2),
            figure(Some(row.floor.alone), 2),
            figure(Some(row.net_mean(n)), 2),
            figure(Some(row.net_mean(n) / ideal.net_mean(n)), 3),
            figure(Some(run.percentile(0.5)), 1),
            figure(Some(run.percentile(0.99)), 1),
            figure(
                Some(run.percentile(0.99) / ideal.runs[n].percentile(0.99)),
                3,
            ),
            figure(Some(run.percentile(0.999)), 1),
            figure(Some(run.percentile(1.0)), 1),
            figure(Some(percentile(&run.late, 0.99)), 2),
            run.errors.to_string(),
        ]);
    }
    table.print();
    for row in rows.iter().filter(|row| row.runs[n].is_spoiled()) {
        println!(
            "{}: spoiled, because the generator itself was late; measure again on a quiet machine",
            row.title
        );
    }
}

/// What next_available has to reach at a load, at both levels: the mean less the floor and p99, each ÷
/// the ideal's.
const BOUNDS: [(u8, f64, f64); 3] = [(50, 1.03, 1.03), (70, 1.03, 1.03), (90, 1.10, 1.06)];

type Measure<'a> = dyn Fn(&Row) -> f64 + 'a;

const LEVELS: [&str; 2] = ["maitred:next_available", "requests:next_available"];

pub(super) fn goals(loads: &[u8], rows: &[Row]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for level in LEVELS {
        // What was starved of time neither meets nor misses a goal.
        let find = |name: &str, n: usize| {
            let row = rows.iter().find(|row| row.name == name);
            row.filter(|row| !row.runs[n].is_spoiled())
        };
        for (n, &load) in loads.iter().enumerate() {
            let mean = |row: &Row| row.net_mean(n);
            let p99 = |row: &Row| row.runs[n].percentile(0.99);
            let measures: [(&str, &Measure); 2] = [("mean less the floor", &mean), ("p99", &p99)];
            let bounds = BOUNDS.iter().find(|(at, _, _)| *at == load);
            let bounds = bounds.map(|(_, mean, p99)| [*mean, *p99]);
            for (which, (what, of)) in measures.into_iter().enumerate() {
                let ratio = |other| Some(of(find(level, n)?) / of(find(other, n)?));
                if let Some(bounds) = bounds {
                    let what = format!("{level} at {load} %: {what} ÷ ideal");
                    goals.push(Goal::at_most(what, bounds[which], ratio("ideal")));
                }
                for peer in ["nginx", "haproxy"] {
                    let what = format!("{level} at {load} %: {what} ÷ {peer}");
                    goals.push(Goal::below(what, 1.0, ratio(peer)));
                }
            }
        }
        let row = rows.iter().find(|row| row.name == level);
        let errors = row.map(|row| row.runs.iter().map(|run| run.errors).sum::<usize>() as f64);
        goals.push(Goal::at_most(format!("errors of {level}"), 0.0, errors));
    }
    goals
}

/// Shares that lie evenly on the picture's axis: each nine more has as many.
fn shares() -> impl Iterator<Item = f64> {
    (0..=120).map(|n| 1.0 - 10f64.powf(-3.0 * f64::from(n) / 120.0))
}

pub(super) fn picture(loads: &[u8], rows: &[Row]) -> String {
    let panels: Vec<svg::Panel> = loads
        .iter()
        .enumerate()
        .map(|(n, load)| svg::Panel {
            title: format!("Latency by percentile, {load} % load"),
            series: rows
                .iter()
                .filter(|row| !row.runs[n].latencies.is_empty())
                .map(|row| svg::Series {
                    name: row.name.clone(),
                    title: row.title.clone(),
                    points: shares().map(|p| (p, row.runs[n].percentile(p))).collect(),
                })
                .collect(),
        })
        .collect();
    svg::draw(&panels)
}

pub(super) fn to_json(loads: &[u8], rows: &[Row]) -> Value {
    let contenders: Map<String, Value> = rows
        .iter()
        .map(|row| {
            let runs: Vec<Value> = row
                .runs
                .iter()
                .zip(loads)
                .enumerate()
                .map(|(n, (run, load))| {
                    json!({
                        "load_per_cent": load,
                        "answered": run.latencies.len(),
                        "errors": run.errors,
                        "mean_ms": run.mean(),
                        "mean_less_floor_ms": row.net_mean(n),
                        "p50_ms": run.percentile(0.5),
                        "p90_ms": run.percentile(0.9),
                        "p99_ms": run.percentile(0.99),
                        "p999_ms": run.percentile(0.999),
                        "max_ms": run.percentile(1.0),
                        "spoiled": run.is_spoiled(),
                        "sent_late_mean_ms": mean(&run.late),
                        "sent_late_p99_ms": percentile(&run.late, 0.99),
                        "sent_late_max_ms": percentile(&run.late, 1.0),
                        "distribution": shares().map(|p| [p, run.percentile(p)]).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let figures = json!({
                "floor_ms": row.floor.alone,
                "floor_of_all_at_3_per_cent_ms": row.floor.all,
                "loads": runs,
            });
            (row.name.clone(), figures)
        })
        .collect();
    contenders.into()
}
