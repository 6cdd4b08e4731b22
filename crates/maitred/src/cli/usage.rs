//! What processes use, from `/proc` and their CPU clocks: sampled when somebody asks, never by a timer.

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

/// The time between the two looks. The clocks count nanoseconds, so a short one will do.
const BETWEEN: Duration = Duration::from_millis(15);

/// Looks at processes, twice with a short time in between.
pub(super) fn of(pids: &[i32]) -> HashMap<i32, Usage> {
    if pids.is_empty() {
        return HashMap::new();
    }
    let look = || -> HashMap<i32, (Instant, u64)> {
        let look = |pid: &i32| Some((*pid, (Instant::now(), nanoseconds(*pid)?)));
        pids.iter().filter_map(look).collect()
    };
    let before = look();
    std::thread::sleep(BETWEEN);
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

/// Nanoseconds of processor time: one call for each process, however many threads it has.
fn nanoseconds(pid: i32) -> Option<u64> {
    let time = sys::cpu_time(rustix::process::Pid::from_raw(pid)?).ok()?;
    time.as_nanos().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = of(&[own, i32::MAX]);
        assert_eq!(usage.len(), 1);
        assert!(usage[&own].memory > 100_000);
        assert!(nanoseconds(own).is_some_and(|time| time > 0));
    }
}
