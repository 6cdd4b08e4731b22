//! Workers whose event loops stand still, as the dispatcher tells of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Supervisor;
use super::instance::State;
use super::instances::Instances;
use super::slot::Process;
use balance::MemberId;
use telemetry::events::{Event, Trigger};
use telemetry::ids::Instance;

/// Which workers of a process are blocked.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    /// Since when each of them is, at each listener.
    members: BTreeMap<MemberId, Duration>,
    /// The process that was the first of them, and since when at least one is.
    first: Option<(i32, Duration)>,
    /// When the instance is to be replaced for it.
    replace_at: Option<Duration>,
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

    /// When the instance is to be replaced for it, if it is.
    pub(super) fn replace_at(&self) -> Option<Duration> {
        self.replace_at
    }

    /// Whether that is due; it will be again after so long, if it did not help.
    fn is_due(&mut self, now: Duration, again: Duration) -> bool {
        let due = self.replace_at.take_if(|at| *at <= now).is_some();
        if due && !again.is_zero() {
            self.replace_at = Some(now + again);
        }
        due
    }

    /// One is blocked; whether it is the first one.
    fn begin(&mut self, member: MemberId, pid: i32, since: Duration) -> bool {
        self.members.entry(member).or_insert(since);
        let is_first = self.first.is_none();
        self.first.get_or_insert((pid, since));
        is_first
    }

    /// One is blocked no more: the first one's process, if this was the last one.
    pub(super) fn end(&mut self, member: MemberId) -> Option<(i32, Duration)> {
        self.members.remove(&member)?;
        if self.members.is_empty() {
            self.replace_at = None;
        }
        self.first.take_if(|_| self.members.is_empty())
    }
}

impl Supervisor {
    /// A worker's loop has stood still for so long.
    pub(super) fn is_blocked(
        &mut self,
        member: MemberId,
        (pid, instance): (i32, Instance),
        lasts: Duration,
    ) {
        let since = self.now().saturating_sub(lasts);
        let limit = self.app.hang_timeout;
        let process = self
            .instances
            .run_of(instance, pid, &self.spawner)
            .and_then(|run| self.instances.process(instance, run));
        // One that listens at several addresses is told of once.
        let is_first = process.is_some_and(|process| {
            let is_first = process.blocked.begin(member, pid, since);
            if is_first && !limit.is_zero() {
                process.blocked.replace_at = Some(since + limit);
            }
            is_first
        });
        if is_first {
            self.event(Event::Blocked {
                instance,
                pid,
                lasts: millis(lasts),
            });
        }
    }

    /// A worker's loop does not stand still any more, for it has turned, or its listener is closed.
    pub(super) fn is_blocked_no_more(&mut self, member: MemberId, turned: bool) {
        let Some((instance, (pid, since))) = self.instances.unblocked(member) else {
            return;
        };
        let lasted = self.now().saturating_sub(since);
        self.reports.tally.blocked(instance, lasted);
        if turned {
            self.event(Event::Unblocked {
                instance,
                pid,
                lasted: millis(lasted),
            });
        }
    }

    /// Replaces instances that have been blocked for too long.
    pub(super) fn check_hangs(&mut self, now: Duration) {
        let limit = self.app.hang_timeout;
        for (instance, lasts) in self.instances.hung(limit, now) {
            let trigger = Trigger::Hang { instance, lasts };
            self.event(Event::Renewing { trigger });
            self.operations
                .renew_in_turn(vec![instance], false, self.clock.now());
        }
    }

    /// A process has ended, and was blocked until then if it was.
    pub(super) fn count_blocked(&mut self, instance: Instance, ended: &Process) {
        let lasted = ended.blocked.counts(self.now());
        self.reports.tally.blocked(instance, lasted);
    }
}

impl Instances {
    /// Those that are to be replaced for having been blocked too long, and for how many milliseconds they have.
    fn hung(&mut self, limit: Duration, now: Duration) -> Vec<(Instance, u64)> {
        let mut all = Vec::new();
        for slot in &mut self.slots {
            // One that is being replaced, or has been, is gone soon.
            let serves = match slot.lifecycle.state() {
                State::Running(run) => Some(run.id),
                _ => None,
            };
            let mut hung = None;
            for process in &mut slot.processes {
                if process.blocked.is_due(now, limit) && Some(process.run) == serves {
                    hung = Some(millis(process.blocked.counts(now)));
                }
            }
            all.extend(hung.map(|lasts| (slot.instance, lasts)));
        }
        all
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

    /// It is replaced once, and again where that did not help, as long as it is blocked.
    #[test]
    fn one_that_is_blocked_for_long_is_replaced() {
        let mut blocked = Blocked::default();
        assert!(!blocked.is_due(s(99), s(5)));
        blocked.begin(MemberId(1), 7, s(10));
        blocked.replace_at = Some(s(15));
        assert!(!blocked.is_due(s(14), s(5)));
        assert!(blocked.is_due(s(15), s(5)));
        assert_eq!(blocked.replace_at(), Some(s(20)));
        assert!(!blocked.is_due(s(19), s(5)));
        assert!(blocked.is_due(s(20), s(5)));
        blocked.end(MemberId(1));
        assert_eq!(blocked.replace_at(), None);
        // Another config switches it off.
        blocked.replace_at = Some(s(30));
        assert!(blocked.is_due(s(30), s(0)));
        assert_eq!(blocked.replace_at(), None);
    }

    /// However many workers of a process are blocked, and whichever comes back first, it is told of
    /// once, and each second counts once.
    #[test]
    fn several_workers_are_blocked_as_one() {
        for first in [MemberId(1), MemberId(2)] {
            let mut blocked = Blocked::default();
            assert_eq!(blocked.lasts(s(9)), None);
            assert!(blocked.begin(MemberId(1), 7, s(10)));
            assert!(!blocked.begin(MemberId(2), 8, s(13)));
            // Told again, it is the same one.
            assert!(!blocked.begin(MemberId(1), 7, s(12)));
            assert_eq!(blocked.lasts(s(15)), Some(s(5)));
            assert_eq!(blocked.end(MemberId(3)), None);
            assert_eq!(blocked.end(first), None);
            let since = if first == MemberId(1) { 13 } else { 10 };
            assert_eq!(blocked.lasts(s(20)), Some(s(20 - since)));
            assert_eq!(blocked.counts(s(20)), s(10));
            assert_eq!(blocked.end(MemberId(3 - first.0)), Some((7, s(10))));
            assert_eq!(blocked.lasts(s(20)), None);
            assert_eq!(blocked.counts(s(20)), s(0));
        }
    }
}
