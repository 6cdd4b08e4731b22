//! What processes use, from `/proc`: sampled when somebody asks, never by a timer.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Bytes of memory that are resident.
    pub(super) memory: u64,
    /// Percent of one processor.
    pub(super) cpu: f64,
}

/// Up to so many processes the exact counters of all their threads are read.
const FEW: usize = 64;

/// The time between the two looks: with exact counters, and with the kernel's ticks of 10 ms.
const EXACT: Duration = Duration::from_millis(15);
const COARSE: Duration = Duration::from_millis(150);

/// Looks at processes, twice with a short time in between.
pub(super) fn of(pids: &[i32]) -> HashMap<i32, Usage> {
    if pids.is_empty() {
        return HashMap::new();
    }
    let (counter, time): (fn(i32) -> Option<u64>, _) = if pids.len() <= FEW {
        (nanoseconds, EXACT)
    } else {
        (ticks, COARSE)
    };
    let look = || -> HashMap<i32, (Instant, u64)> {
        let look = |pid: &i32| Some((*pid, (Instant::now(), counter(*pid)?)));
        pids.iter().filter_map(look).collect()
    };
    let before = look();
    std::thread::sleep(time);
    let after = look();
    pids.iter()
        .filter_map(|pid| {
            let (began, first) = before.get(pid)?;
            let (ended, last) = after.get(pid)?;
            let elapsed = (*ended - *began).as_secs_f64() * 1e9;
            let used = last.saturating_sub(*first) as f64;
            Some((
                *pid,
                Usage {
                    memory: memory(*pid)?,
                    cpu: (used / elapsed * 1000.0).round() / 10.0,
                },
            ))
        })
        .collect()
}

/// Bytes in memory: the second number of `statm`, in pages.
fn memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages * page)
}

/// Nanoseconds of processor time of all threads that live: the first number of `schedstat`.
fn nanoseconds(pid: i32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let time = |thread: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(threads.flatten().filter_map(time).sum())
}

/// The same in the kernel's ticks: fields 14 and 15 of `stat`.
fn ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let second = rustix::param::clock_ticks_per_second();
    Some((user + system) * (1_000_000_000 / second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = of(&[own, -1]);
        assert_eq!(usage.len(), 1);
        assert!(usage[&own].memory > 100_000);
        assert!(nanoseconds(own).is_some_and(|time| time > 0));
        assert!(ticks(own).is_some());
    }
}
