//! 200 apps with 1,000 instances in all, of a program that does nothing.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::side::Side;
use super::{Arguments, memory_json, start_apps, workers};
use crate::goal::Goal;
use crate::memory::Memory;
use crate::scratch::Scratch;
use crate::stats::median;
use crate::table::{Table, figure};
use crate::{tools, tree};

const APPS: usize = 200;
const INSTANCES: usize = 5;
/// Of pm2, whose `ls` is the measure.
const FEW_APPS: usize = 10;
/// All have started by then, and have nothing left to do.
const SETTLED: Duration = Duration::from_secs(5);
/// Share of one core that counts as near nothing, of all processes together.
const NEAR_NOTHING: f64 = 0.02;

pub(super) fn measure(
    arguments: &Arguments,
    [ours, pm2]: &[Side; 2],
    scratch: &Scratch,
) -> Result<(Value, Vec<Goal>)> {
    let sleep = tools::find("sleep")?;
    let entry = |instances: usize| {
        let sleep = sleep.clone();
        move |n: usize| {
            Ok(json!({
                "name": format!("app-{n}"), "script": sleep, "args": "1000000",
                "interpreter": "none", "instances": instances, "exec_mode": "fork",
            }))
        }
    };
    eprintln!("pm2 with {FEW_APPS} apps");
    start_apps(pm2, scratch, FEW_APPS, entry(1))?;
    let pm2_ls = listed(pm2, arguments.rounds)?;
    pm2.kill()?;

    eprintln!("maitred with {APPS} apps");
    start_apps(ours, scratch, APPS, entry(INSTANCES))?;
    std::thread::sleep(SETTLED);
    let workers = workers(ours, APPS * INSTANCES)?;
    let our_ls = listed(ours, arguments.rounds)?;
    let managers = ours.managers(&workers)?;
    let before = tree::cpu_time(&managers);
    std::thread::sleep(Duration::from_secs_f64(arguments.seconds));
    let cpu = (tree::cpu_time(&managers) - before).as_secs_f64() / arguments.seconds;
    let memory = Memory::of(&managers)?.times(1.0 / APPS as f64);
    ours.kill()?;

    let mut table = Table::new(["", "measured"]);
    table.row(["ls, ms".to_owned(), figure(Some(our_ls * 1e3), 0)]);
    table.row([
        format!("pm2's ls with {FEW_APPS} apps, ms"),
        figure(Some(pm2_ls * 1e3), 0),
    ]);
    table.row([
        "idle CPU of all, % of a core".to_owned(),
        figure(Some(cpu * 100.0), 2),
    ]);
    table.row([
        "guard and supervisor, MB PSS".to_owned(),
        figure(Some(memory.pss), 2),
    ]);
    println!("\n{APPS} apps of {INSTANCES} instances");
    table.print();
    let figures = json!({
        "apps": APPS, "instances_of_each": INSTANCES, "processes": managers.len(),
        "ls_seconds": our_ls, "pm2_ls_seconds_with_10_apps": pm2_ls,
        "idle_cpu_share": cpu, "each_app": memory_json(memory),
    });
    let goals = vec![
        Goal::at_most(
            format!("ls of {APPS} apps ÷ pm2's of {FEW_APPS}"),
            1.0,
            Some(our_ls / pm2_ls),
        ),
        Goal::at_most("idle CPU, share of a core", NEAR_NOTHING, Some(cpu)),
        Goal::at_most(
            "MB (PSS) of guard and supervisor of each app",
            1.5,
            Some(memory.pss),
        ),
    ];
    Ok((figures, goals))
}

/// Seconds until `ls` is back, the median.
fn listed(side: &Side, rounds: u32) -> Result<f64> {
    let times = (0..rounds)
        .map(|_| Ok(side.run(["ls"])?.as_secs_f64()))
        .collect::<Result<Vec<_>>>()?;
    Ok(median(&times))
}
