//! maitred and pm2 side by side, one after the other in each round.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::answers::{self, Who};
use super::side::Side;
use super::{Arguments, memory_json, start_apps, workers};
use crate::child::Program;
use crate::contender::free_port;
use crate::goal::Goal;
use crate::memory::Memory;
use crate::scratch::Scratch;
use crate::stats::median;
use crate::table::{Table, figure};
use crate::{tools, tree};

const IDLE: &str = include_str!("../../../apps/idle.cjs");
const WHO: &str = include_str!("../../../apps/who.cjs");
const CHATTER: &str = include_str!("../../../apps/chatter.cjs");

/// Apps, and instances of each.
const CASES: [(usize, usize); 7] = [(0, 0), (1, 1), (1, 4), (1, 10), (1, 50), (10, 1), (10, 5)];
/// What has just started still allocates; long enough for Node to be idle.
const SETTLED: Duration = Duration::from_secs(1);

const COMMANDS: [&str; 8] = [
    "first start of 4",
    "ls of 4",
    "restart of 4",
    "ls of 10 apps",
    "start, until one answers",
    "start, until all 4 have answered",
    "restart, until one answers",
    "restart, until all 4 have answered",
];

/// By command and round, in seconds.
type Times = [Vec<f64>; COMMANDS.len()];

struct Case {
    apps: usize,
    instances: usize,
    /// Of the manager's own processes.
    own: Memory,
    /// Added in each worker.
    each: Memory,
}

impl Case {
    fn all(&self) -> Memory {
        self.own + self.each.times((self.apps * self.instances) as f64)
    }
}

struct Figures {
    cases: Vec<Case>,
    times: Times,
    /// Share of one core.
    logging_cpu: f64,
}

pub(super) fn measure(
    arguments: &Arguments,
    sides: &[Side; 2],
    scratch: &Scratch,
) -> Result<(Value, Vec<Goal>)> {
    let script = scratch.write("idle.cjs", IDLE)?;
    let script = script.to_string_lossy().into_owned();
    let who = scratch.write("who.cjs", WHO)?;
    let who = who.to_string_lossy().into_owned();
    let mut figures = [(); 2].map(|()| Figures {
        cases: Vec::new(),
        times: [const { Vec::new() }; COMMANDS.len()],
        logging_cpu: f64::NAN,
    });
    for round in 0..arguments.rounds {
        eprintln!("commands, round {}", round + 1);
        for (side, figures) in sides.iter().zip(&mut figures) {
            time_commands(side, &script, &who, scratch, &mut figures.times)
                .with_context(|| format!("measuring the commands of {}", side.kind.name()))?;
        }
    }
    for (apps, instances) in CASES {
        eprintln!("memory, {apps} apps of {instances}");
        let plain = plain(&script, apps * instances, scratch)?;
        for (side, figures) in sides.iter().zip(&mut figures) {
            let case = weigh(side, &script, apps, instances, plain, scratch)
                .with_context(|| format!("measuring the memory of {}", side.kind.name()))?;
            figures.cases.push(case);
        }
    }
    let chatter = scratch.write("chatter.cjs", CHATTER)?;
    for (side, figures) in sides.iter().zip(&mut figures) {
        eprintln!("an app that writes 10 MB/s, {}", side.kind.name());
        side.run(["start".as_ref(), chatter.as_os_str()])?;
        let managers = side.managers(&workers(side, 1)?)?;
        std::thread::sleep(SETTLED);
        let before = tree::cpu_time(&managers);
        std::thread::sleep(Duration::from_secs_f64(arguments.seconds));
        let used = tree::cpu_time(&managers) - before;
        figures.logging_cpu = used.as_secs_f64() / arguments.seconds;
        side.kill()?;
    }
    print(&figures);
    let value = json!({ "maitred": figures[0].to_json(), "pm2": figures[1].to_json() });
    Ok((value, goals(&figures)))
}

fn time_commands(
    side: &Side,
    script: &str,
    who: &str,
    scratch: &Scratch,
    times: &mut Times,
) -> Result<()> {
    let [
        start,
        ls,
        restart,
        ls_of_ten,
        start_one,
        start_all,
        restart_one,
        restart_all,
    ] = times;
    let port = free_port()?.to_string();
    let took = side.run_with(["start", script, "-i", "4"], &[("PORT", &port)])?;
    start.push(took.as_secs_f64());
    ls.push(side.run(["ls"])?.as_secs_f64());
    restart.push(side.run(["restart", "idle"])?.as_secs_f64());
    side.run(["delete", "idle"])?;
    start_apps(side, scratch, 10, |n| entry(n, script, 1))?;
    ls_of_ten.push(side.run(["ls"])?.as_secs_f64());
    side.run(["delete", "all"])?;
    // So that the next start is the first again.
    side.kill()?;
    let port = free_port()?;
    let begun = answers::time(side, &["start", who, "-i", "4"], port, 4, &Who::new())?;
    start_one.push(begun.first.as_secs_f64());
    start_all.push(begun.all.as_secs_f64());
    let again = answers::time(side, &["restart", "who"], port, 4, &begun.who)?;
    restart_one.push(again.first.as_secs_f64());
    restart_all.push(again.all.as_secs_f64());
    side.run(["delete", "all"])?;
    side.kill()
}

fn entry(n: usize, script: &str, instances: usize) -> Result<Value> {
    Ok(json!({
        "name": format!("app-{n}"), "script": script, "instances": instances,
        "exec_mode": "cluster", "env": { "PORT": free_port()?.to_string() },
    }))
}

/// What one of so many plain processes of the script uses: they share pages
/// with each other, as the managers' workers do.
fn plain(script: &str, count: usize, scratch: &Scratch) -> Result<Memory> {
    if count == 0 {
        return Ok(Memory::default());
    }
    let node = tools::find("node")?;
    let children = (0..count)
        .map(|n| {
            Program::new(&node)?
                .args([script])
                .start(scratch.path().join(format!("plain-{n}.log")))
        })
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(SETTLED + Duration::from_millis(100) * count as u32);
    let pids: Vec<_> = children.iter().map(crate::child::Child::pid).collect();
    Ok(Memory::of(&pids)?.times(1.0 / count as f64))
}

fn weigh(
    side: &Side,
    script: &str,
    apps: usize,
    instances: usize,
    plain: Memory,
    scratch: &Scratch,
) -> Result<Case> {
    let count = apps * instances;
    if count > 0 {
        start_apps(side, scratch, apps, |n| entry(n, script, instances))?;
    } else {
        // pm2 starts its daemon; maitred has none.
        side.run(["ls"])?;
    }
    std::thread::sleep(SETTLED + Duration::from_millis(50) * count as u32);
    let workers = workers(side, count)?;
    let own = Memory::of(&side.managers(&workers)?)?;
    let each = match count {
        0 => Memory::default(),
        _ => Memory::of(&workers)?.times(1.0 / count as f64) - plain,
    };
    if count > 0 {
        side.run(["delete", "all"])?;
    }
    side.kill()?;
    Ok(Case {
        apps,
        instances,
        own,
        each,
    })
}

impl Figures {
    fn case(&self, apps: usize, instances: usize) -> Option<&Case> {
        self.cases
            .iter()
            .find(|case| (case.apps, case.instances) == (apps, instances))
    }

    fn to_json(&self) -> Value {
        let cases = self.cases.iter().map(|case| {
            json!({
                "apps": case.apps,
                "instances_of_each": case.instances,
                "manager": memory_json(case.own),
                "in_each_worker": memory_json(case.each),
                "together": memory_json(case.all()),
            })
        });
        let times = COMMANDS.iter().zip(&self.times);
        json!({
            "memory": cases.collect::<Vec<_>>(),
            "seconds": times.map(|(name, times)| json!({ "command": name, "rounds": times })).collect::<Vec<_>>(),
            "cpu_share_at_10_mb_per_second": self.logging_cpu,
        })
    }
}

fn print([ours, pm2]: &[Figures; 2]) {
    println!("\nMemory that the manager adds, MB, PSS (RSS)");
    let mut table = Table::new([
        "",
        "maitred",
        "in each worker",
        "together",
        "pm2",
        "in each worker",
        "together",
    ]);
    let shown = |memory: Memory| format!("{:.1} ({:.1})", memory.pss, memory.rss);
    for (ours, pm2) in ours.cases.iter().zip(&pm2.cases) {
        let mut row = vec![format!("{} × {}", ours.apps, ours.instances)];
        for case in [ours, pm2] {
            row.extend([case.own, case.each, case.all()].map(shown));
        }
        table.row(row);
    }
    table.print();
    println!(
        "\nCommands, ms (medians). pm2's are back when the processes are there, maitred's when they \
         listen."
    );
    let mut table = Table::new(["", "maitred", "pm2", "maitred ÷ pm2"]);
    for ((name, ours), pm2) in COMMANDS.iter().zip(&ours.times).zip(&pm2.times) {
        let (ours, pm2) = (median(ours), median(pm2));
        table.row([
            (*name).to_owned(),
            figure(Some(ours * 1e3), 0),
            figure(Some(pm2 * 1e3), 0),
            figure(Some(ours / pm2), 3),
        ]);
    }
    table.row([
        "CPU at 10 MB/s of output, % of a core".to_owned(),
        figure(Some(ours.logging_cpu * 100.0), 1),
        figure(Some(pm2.logging_cpu * 100.0), 1),
        figure(Some(ours.logging_cpu / pm2.logging_cpu), 3),
    ]);
    table.print();
}

fn goals([ours, pm2]: &[Figures; 2]) -> Vec<Goal> {
    let faster = |n: usize| {
        Some(median(pm2.times.get(n)?) / median(ours.times.get(n)?)).filter(|r| r.is_finite())
    };
    let four = ours.case(1, 4).map(|case| case.all().pss);
    let more = ours
        .case(1, 1)
        .zip(ours.case(10, 1))
        .map(|(one, ten)| (ten.own.pss - one.own.pss) / 9.0);
    vec![
        Goal::below("MB (PSS) for an app of 4 instances", 8.0, four),
        Goal::at_least("first start, times as fast as pm2's", 5.0, faster(0)),
        Goal::at_least("ls of 10 apps, times as fast as pm2's", 5.0, faster(3)),
        Goal::at_most("MB (PSS) for each supervisor more", 1.5, more),
    ]
}
