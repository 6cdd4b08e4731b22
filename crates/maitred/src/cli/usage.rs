//! What processes use, from `/proc` and their CPU clocks: read when somebody asks, never by a timer.
//!
//! The processor time of a process that has just started is divided by its age; so a command that
//! starts something need not wait to show it. Of others two looks are taken, for what they have done
//! for hours tells nothing of now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use home::control::InstanceView;
use home::now_ms;
use process::usage;

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

/// No time between two looks counts as shorter.
const SHORTEST: Duration = Duration::from_millis(1);

/// For a process that is not older, its whole life counts, in milliseconds.
const YOUNG: u64 = 2000;

/// What the processes of instances use.
pub(super) fn of<'a>(instances: impl Iterator<Item = &'a InstanceView>) -> HashMap<i32, Usage> {
    let now = now_ms();
    let mut usages = HashMap::new();
    let mut old = Vec::new();
    for (pid, since) in instances.filter_map(|view| Some((view.pid?, view.since?))) {
        match now.saturating_sub(since) {
            age if age <= YOUNG => usages.extend(lifelong(pid, age)),
            _ => old.push(pid),
        }
    }
    if !old.is_empty() {
        usages.extend(sampled(&old));
    }
    usages
}

/// Looks at processes again and again: what they have used since the last look.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: HashMap<(i32, u64), (Instant, u64)>,
}

impl Meter {
    /// What the processes of instances use.
    pub(super) fn look<'a>(
        &mut self,
        instances: impl Iterator<Item = &'a InstanceView>,
    ) -> HashMap<i32, Usage> {
        let (mut usages, mut looks, mut new) = (HashMap::new(), HashMap::new(), Vec::new());
        for view in instances {
            let (Some(pid), Some(since)) = (view.pid, view.since) else {
                continue;
            };
            // A number that is given again is another process.
            let key = (pid, since);
            let Some(used) = nanoseconds(pid) else {
                continue;
            };
            let now = Instant::now();
            looks.insert(key, (now, used));
            match self.last.get(&key) {
                Some((before, earlier)) => {
                    let used = used.saturating_sub(*earlier);
                    usages.extend(Usage::new(pid, used, now - *before).map(|it| (pid, it)));
                }
                None => new.push(view),
            }
        }
        self.last = looks;
        if !new.is_empty() {
            usages.extend(of(new.into_iter()));
        }
        usages
    }
}

/// What a process has used since it was started, so many milliseconds ago.
fn lifelong(pid: i32, age: u64) -> Option<(i32, Usage)> {
    let elapsed = Duration::from_millis(age.max(1));
    Some((pid, Usage::new(pid, nanoseconds(pid)?, elapsed)?))
}

/// Looks at processes, twice with a short time in between.
fn sampled(pids: &[i32]) -> HashMap<i32, Usage> {
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
            let used = last.saturating_sub(*first);
            Some((*pid, Usage::new(*pid, used, *ended - *began)?))
        })
        .collect()
}

impl Usage {
    /// That of a process that has computed for so many nanoseconds of a time.
    fn new(pid: i32, used: u64, elapsed: Duration) -> Option<Self> {
        let share = used as f64 / (elapsed.max(SHORTEST).as_secs_f64() * 1e9);
        Some(Self {
            memory: usage::memory(pid)?,
            cpu: (share * 1000.0).round() / 10.0,
        })
    }
}

/// Nanoseconds of processor time so far.
fn nanoseconds(pid: i32) -> Option<u64> {
    usage::cpu_time(pid)?.as_nanos().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(nanoseconds(own).is_some_and(|time| time > 0));
        let usages = [
            sampled(&[own, i32::MAX]),
            lifelong(own, 10).into_iter().collect(),
        ];
        for usage in usages {
            assert_eq!(usage.len(), 1);
            assert!(usage[&own].memory > 100_000);
        }
        assert_eq!(lifelong(i32::MAX, 10), None);
    }

    #[test]
    fn the_share_is_that_of_one_processor() {
        let own = i32::try_from(std::process::id()).unwrap();
        let cpu = |used, elapsed| {
            Usage::new(own, used, Duration::from_millis(elapsed))
                .unwrap()
                .cpu
        };
        assert_eq!(cpu(0, 10), 0.0);
        assert_eq!(cpu(50_000_000, 100), 50.0);
        assert_eq!(cpu(200_000_000, 100), 200.0);
    }
}
