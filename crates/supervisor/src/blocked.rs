//! Workers whose event loops stand still, as the dispatcher tells of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Supervisor;
use super::slot::Process;
use telemetry::events::Event;

/// Which workers of a process are blocked.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    /// Since when each of them is, at each listener.
    members: BTreeMap<u64, Duration>,
    /// The process that was the first of them, and since when at least one is.
    first: Option<(i32, Duration)>,
}

impl Blocked {
    /// For how long one of those that are blocked has been.
    pub(super) fn lasts(&self, now: Duration) -> Option<Duration> {
        let since = self.members.values().min()?;
        Some(now.saturating_sub(*since))
    }

    /// For how long at least one has been.
    pub(super) fn counts(&self, now: Duration) -> Duration {
        self.first
            .map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since))
    }

    /// One is blocked; whether it is the first one.
    fn begin(&mut self, member: u64, pid: i32, since: Duration) -> bool {
        self.members.entry(member).or_insert(since);
        let is_first = self.first.is_none();
        self.first.get_or_insert((pid, since));
        is_first
    }

    /// One is blocked no more: the first one's process, if this was the last one.
    fn end(&mut self, member: u64) -> Option<(i32, Duration)> {
        self.members.remove(&member)?;
        self.first.take_if(|_| self.members.is_empty())
    }
}

impl Supervisor {
    /// A worker's loop has stood still for so long.
    pub(super) fn is_blocked(&mut self, member: u64, (pid, number): (i32, u32), lasts: Duration) {
        let since = self.now().saturating_sub(lasts);
        let process = self
            .run_of(number, pid)
            .and_then(|run| self.slot(number)?.process(run));
        // One that listens at several addresses is told of once.
        if process.is_some_and(|process| process.blocked.begin(member, pid, since)) {
            self.event(Event::Blocked {
                instance: number,
                pid,
                lasts: millis(lasts),
            });
        }
    }

    /// A worker's loop does not stand still any more, for it has turned, or its listener is closed.
    pub(super) fn is_blocked_no_more(&mut self, member: u64, turned: bool) {
        let ended = self.slots.iter_mut().find_map(|slot| {
            let mut processes = slot.processes.iter_mut();
            let ended = processes.find_map(|process| process.blocked.end(member));
            Some((slot.number, ended?))
        });
        let Some((instance, (pid, since))) = ended else {
            return;
        };
        let lasted = self.now().saturating_sub(since);
        self.tally.blocked(instance, lasted);
        if turned {
            self.event(Event::Unblocked {
                instance,
                pid,
                lasted: millis(lasted),
            });
        }
    }

    /// A process has ended, and was blocked until then if it was.
    pub(super) fn count_blocked(&mut self, number: u32, ended: &Process) {
        let lasted = ended.blocked.counts(self.now());
        self.tally.blocked(number, lasted);
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// However many workers of a process are blocked, and whichever comes back first, it is told of
    /// once, and each second counts once.
    #[test]
    fn several_workers_are_blocked_as_one() {
        for first in [1, 2] {
            let mut blocked = Blocked::default();
            assert_eq!(blocked.lasts(s(9)), None);
            assert!(blocked.begin(1, 7, s(10)));
            assert!(!blocked.begin(2, 8, s(13)));
            // Told again, it is the same one.
            assert!(!blocked.begin(1, 7, s(12)));
            assert_eq!(blocked.lasts(s(15)), Some(s(5)));
            assert_eq!(blocked.end(3), None);
            assert_eq!(blocked.end(first), None);
            let since = if first == 1 { 13 } else { 10 };
            assert_eq!(blocked.lasts(s(20)), Some(s(20 - since)));
            assert_eq!(blocked.counts(s(20)), s(10));
            assert_eq!(blocked.end(3 - first), Some((7, s(10))));
            assert_eq!(blocked.lasts(s(20)), None);
            assert_eq!(blocked.counts(s(20)), s(0));
        }
    }
}
