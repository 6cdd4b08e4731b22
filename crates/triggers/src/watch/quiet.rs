//! Many changes are one: it is waited until nothing has changed for a while.

use std::path::PathBuf;
use std::time::Duration;

/// So long, at most, changes that do not end put a restart off; or ten times the delay.
const LONGEST: Duration = Duration::from_secs(5);

/// What has changed since the last restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first path.
    pub path: PathBuf,
    /// How many changes came after it.
    pub others: u64,
}

/// Gathers changes. Times are since any fixed moment.
#[derive(Debug)]
pub(super) struct Quiet {
    delay: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    first: Duration,
    last: Duration,
}

impl Quiet {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            delay,
            waiting: None,
        }
    }

    /// Something has changed.
    pub(super) fn changed(&mut self, path: PathBuf, now: Duration) {
        match &mut self.waiting {
            Some(waiting) => {
                waiting.change.others += 1;
                waiting.last = now;
            }
            None => {
                self.waiting = Some(Waiting {
                    change: Change { path, others: 0 },
                    first: now,
                    last: now,
                });
            }
        }
    }

    /// When the change is to be told.
    pub(super) fn due(&self) -> Option<Duration> {
        let waiting = self.waiting.as_ref()?;
        let quiet = waiting.last.saturating_add(self.delay);
        let longest = self.delay.saturating_mul(10).max(LONGEST);
        Some(quiet.min(waiting.first.saturating_add(longest)))
    }

    /// The change, if it is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<Change> {
        self.due().filter(|due| *due <= now)?;
        self.waiting.take().map(|waiting| waiting.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(200);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn changes_that_come_together_are_one() {
        let mut quiet = Quiet::new(DELAY);
        assert_eq!(quiet.due(), None);
        for (at, path) in [(0, "a"), (100, "b"), (250, "a")] {
            quiet.changed(path.into(), ms(at));
            assert_eq!(quiet.take(ms(at)), None);
        }
        assert_eq!(quiet.due(), Some(ms(450)));
        let path = "a".into();
        assert_eq!(quiet.take(ms(450)), Some(Change { path, others: 2 }));
        assert_eq!(quiet.take(ms(1000)), None);
    }

    #[test]
    fn changes_without_end_are_told_too() {
        let mut quiet = Quiet::new(DELAY);
        let told = (0..100).find(|nth| {
            quiet.changed("a".into(), ms(nth * 100));
            quiet.take(ms(nth * 100)).is_some()
        });
        assert_eq!(told, Some(50));
    }

    #[test]
    fn without_delay_it_is_told_at_once() {
        let mut quiet = Quiet::new(Duration::ZERO);
        quiet.changed("a".into(), ms(7));
        assert!(quiet.take(ms(7)).is_some());
    }
}
