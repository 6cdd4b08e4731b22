//! What the figures were measured on.

use std::fs;

use serde_json::{Value, json};

pub(crate) fn describe() -> Value {
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "architecture": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "load_average_before": load_average(),
    })
}

/// The run queue's mean length over the last minute: above a few tenths before
/// the start, somebody else is using the machine.
pub(crate) fn load_average() -> Option<f64> {
    read("/proc/loadavg")?.split(' ').next()?.parse().ok()
}

/// The machine's time since its start, in ticks.
pub(crate) struct Idle {
    idle: u64,
    all: u64,
}

pub(crate) fn idle() -> Option<Idle> {
    let text = read("/proc/stat")?;
    let ticks: Vec<u64> = text
        .lines()
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guests are in user.
    Some(Idle {
        idle: ticks.get(3)? + ticks.get(4)?,
        all: ticks.iter().take(8).sum(),
    })
}

impl Idle {
    pub(crate) fn share_since(&self, before: &Self) -> f64 {
        (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64
    }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
