//! `manager`: what managing apps costs, beside pm2: memory of everything that the manager adds,
//! for several numbers of idle instances, and the time of the commands that are typed most.
//!
//! Memory is that of the manager's own processes (PSS and RSS), and what its workers have more in
//! anonymous memory than as many that were started by hand: shares of program files wander with
//! whatever else runs on the machine. The
//! managers take turns, each in a home folder of its own, with nothing else of it running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::goal::{self, Goal};
use crate::scratch::Scratch;
use crate::stats::median;
use crate::table::{Table, figure};
use crate::{machine, tools};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of idle instances, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1,4,10,50", value_parser = clap::value_parser!(u16).range(1..=200))]
    instances: Vec<u16>,
    /// Measurements of each command
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

/// How many apps `ls` shows.
const APPS: usize = 10;
/// What has been started may still be busy with its start for so long.
const SETTLE: Duration = Duration::from_secs(3);
/// The app: it listens, and does nothing.
const IDLE: &str = "require('http').createServer((_, a) => a.end('.')).listen(process.env.PORT);\n";

/// A process manager with a home folder of its own.
struct Manager {
    name: &'static str,
    program: PathBuf,
    home: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// Kilobytes.
#[derive(Clone, Copy, Default)]
struct Memory {
    pss: f64,
    rss: f64,
    anonymous: f64,
}

impl Manager {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", tools::search_path())
            .env("MAITRED_HOME", &self.home)
            .env("PM2_HOME", &self.home)
            .env("PORT", self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn does(&self, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let status = self.command(arguments).status();
        let status = status.with_context(|| format!("running {}", self.program.display()))?;
        if !status.success() {
            bail!("{} {} failed ({status})", self.name, arguments.join(" "));
        }
        Ok(begun.elapsed())
    }

    /// What its own processes have, and what its workers have. All of them have its home in their
    /// environment.
    fn memory(&self) -> (Memory, Memory) {
        let found = processes_with(&format!("MAITRED_HOME={}", self.home.display()));
        let (own, workers): (Vec<_>, Vec<_>) = found.into_iter().partition(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.starts_with("maitred") || line.starts_with("PM2 ")
        });
        let sum = |pids: Vec<i32>| pids.into_iter().map(memory_of).sum();
        (sum(own), sum(workers))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.does(&["kill"]);
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum + one)
    }
}

impl std::ops::Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pss: self.pss + other.pss,
            rss: self.rss + other.rss,
            anonymous: self.anonymous + other.anonymous,
        }
    }
}

/// Workers without a manager.
struct Bare(Vec<Child>);

impl Bare {
    fn start(count: u16, folder: &Path) -> Result<Self> {
        let mut bare = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("node");
            command.arg("idle.js").current_dir(folder).env("PORT", "0");
            let child = command.stdout(Stdio::null()).spawn();
            bare.0.push(child.context("starting node")?);
        }
        Ok(bare)
    }

    fn memory(&self) -> Memory {
        let pids = self
            .0
            .iter()
            .filter_map(|child| i32::try_from(child.id()).ok());
        pids.map(memory_of).sum()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let programs = vec![
        ("maitred", tools::maitred(arguments.maitred.as_deref())?),
        ("pm2", tools::find("pm2")?),
    ];
    let scratch = Scratch::new()?;
    scratch.write("idle.js", IDLE)?;
    let manager = |name: &'static str, program: &Path, port: u16| Manager {
        name,
        program: program.to_owned(),
        home: scratch.path().join(name),
        folder: scratch.path().to_owned(),
        port,
    };
    let mut memory: BTreeMap<(u16, &str), Memory> = BTreeMap::new();
    for &count in &arguments.instances {
        let bare = Bare::start(count, scratch.path())?;
        std::thread::sleep(SETTLE);
        let alone = bare.memory();
        drop(bare);
        for ((name, program), port) in programs.iter().zip([17_831, 17_832]) {
            let manager = manager(name, program, port);
            manager.does(&["start", "idle.js", "-i", &count.to_string()])?;
            std::thread::sleep(SETTLE);
            let (own, workers) = manager.memory();
            let more = workers.anonymous - alone.anonymous;
            let added = Memory {
                pss: own.pss + more,
                rss: own.rss + more,
                anonymous: own.anonymous + more,
            };
            memory.insert((count, name), added);
        }
    }
    let mut times: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    let mut each_more = BTreeMap::new();
    for _ in 0..arguments.rounds {
        for ((name, program), port) in programs.iter().zip([17_831, 17_832]) {
            let manager = manager(name, program, port);
            let mut note = |what, time: Duration| {
                let figures = times.entry((what, *name)).or_default();
                figures.push(time.as_secs_f64() * 1000.0);
            };
            note(
                "first start",
                manager.does(&["start", "idle.js", "-n", "app0"])?,
            );
            let (one, _) = manager.memory();
            for number in 1..APPS {
                let name = format!("app{number}");
                let mut command = manager.command(&["start", "idle.js", "-n", &name]);
                command.env("PORT", "0");
                command.status().context("starting apps")?;
            }
            note("ls of 10 apps", manager.does(&["ls"])?);
            note("restart", manager.does(&["restart", "app0"])?);
            let more = (manager.memory().0.pss - one.pss) / (APPS - 1) as f64;
            each_more.insert(*name, more);
        }
    }
    report(arguments, &machine, &programs, &memory, &times, &each_more)
}

fn report(
    arguments: &Arguments,
    machine: &Value,
    programs: &[(&'static str, PathBuf)],
    memory: &BTreeMap<(u16, &str), Memory>,
    times: &BTreeMap<(&str, &str), Vec<f64>>,
    each_more: &BTreeMap<&str, f64>,
) -> Result<()> {
    let mut table = Table::new([
        "memory added, MB",
        "maitred",
        "pm2",
        "maitred RSS",
        "pm2 RSS",
    ]);
    let megabytes = |count, name, of: fn(&Memory) -> f64| {
        memory.get(&(count, name)).map(|memory| of(memory) / 1024.0)
    };
    for &count in &arguments.instances {
        table.row([
            format!("{count} instances"),
            figure(megabytes(count, "maitred", |it| it.pss), 1),
            figure(megabytes(count, "pm2", |it| it.pss), 1),
            figure(megabytes(count, "maitred", |it| it.rss), 1),
            figure(megabytes(count, "pm2", |it| it.rss), 1),
        ]);
    }
    table.print();
    println!();
    let mut table = Table::new(["time, ms (median)", "maitred", "pm2", "times faster"]);
    let time = |what, name| times.get(&(what, name)).map(|times| median(times));
    let mut goals = Vec::new();
    for what in ["first start", "ls of 10 apps", "restart"] {
        let (ours, theirs) = (time(what, "maitred"), time(what, "pm2"));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| theirs / ours);
        table.row([
            what.to_owned(),
            figure(ours, 0),
            figure(theirs, 0),
            figure(ratio, 1),
        ]);
        goals.push(Goal::at_least(
            format!("{what}: times faster than pm2"),
            5.0,
            ratio,
        ));
    }
    table.print();
    let of_four = megabytes(4, "maitred", |it| it.pss);
    goals.push(Goal::below(
        "MB that maitred adds to 4 instances",
        8.0,
        of_four,
    ));
    println!();
    goal::print(&goals);
    let memory: Vec<_> = memory
        .iter()
        .map(|((count, name), it)| {
            json!({"instances": count, "manager": name, "pss_kb": it.pss, "rss_kb": it.rss})
        })
        .collect();
    let times: Vec<_> = times
        .iter()
        .map(|((what, name), ms)| json!({"what": what, "manager": name, "ms": ms}))
        .collect();
    let figures = json!({
        "machine": machine,
        "versions": tools::versions(programs),
        "memory_added": memory,
        "pss_kb_of_each_more_app": each_more,
        "times": times,
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &figures)
}

fn processes_with(entry: &str) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(process.path().join("environ")).ok()?;
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|it| it == entry.as_bytes()).then_some(pid)
        })
        .collect()
}

/// From `/proc/<pid>/smaps_rollup`, in kilobytes; nothing for a process that has ended.
fn memory_of(pid: i32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0.0)
    };
    Memory {
        pss: field("Pss:"),
        rss: field("Rss:"),
        anonymous: field("Pss_Anon:"),
    }
}
