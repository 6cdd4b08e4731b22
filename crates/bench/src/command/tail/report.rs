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

pub(super) fn goals(loads: &[u8], rows: &[Row]) -> Vec<Goal> {
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let (maitred, nginx, ideal) = (find("maitred:next_available"), find("nginx"), find("ideal"));
    let mut goals = Vec::new();
    for (n, &load) in loads.iter().enumerate() {
        // What was starved of time neither meets nor misses a goal.
        let sound = |row: &&Row| !row.runs[n].is_spoiled();
        let (maitred, nginx) = (maitred.filter(sound), nginx.filter(sound));
        if load == 70 {
            let ratio = |of: &dyn Fn(&Row) -> f64| Some(of(maitred?) / of(ideal?));
            goals.push(Goal::at_most(
                "next_available at 70 %: (mean − floor) ÷ ideal",
                1.05,
                ratio(&|row| row.net_mean(n)),
            ));
            goals.push(Goal::at_most(
                "next_available at 70 %: p99 ÷ ideal",
                1.03,
                ratio(&|row| row.runs[n].percentile(0.99)),
            ));
        }
        let to_nginx = maitred
            .zip(nginx)
            .map(|(a, b)| a.net_mean(n) / b.net_mean(n));
        goals.push(Goal::below(
            format!("next_available at {load} %: mean ÷ nginx's, each less its floor"),
            1.0,
            to_nginx,
        ));
    }
    let errors = maitred.map(|row| row.runs.iter().map(|run| run.errors).sum::<usize>() as f64);
    goals.push(Goal::at_most("errors of next_available", 0.0, errors));
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
