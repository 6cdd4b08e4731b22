//! Interrupt moderation, as network cards do it: when very many connections arrive, the
//! dispatcher takes them in small lots.
//!
//! Woken for each one, it would take the processor away from a worker each time, and on a busy
//! machine that costs more than the dispatching itself. A short pause after each lot lets the
//! next gather in the backlog.

use std::time::Duration;

use balance::Nanos;

/// From so many connections in a millisecond on there are pauses.
const MANY: u32 = 6;

/// The pause: short beside the time that a connection waits for a processor on a machine so busy.
const PAUSE: Duration = Duration::from_micros(150);

const MILLISECOND: Nanos = 1_000_000;

/// Counts what arrives.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    since: Nanos,
    arrived: u32,
    many: bool,
}

impl Moderation {
    /// A connection has arrived.
    pub(crate) fn count(&mut self) {
        self.arrived = self.arrived.saturating_add(1);
    }

    /// How long to pause now, if at all.
    pub(crate) fn pause(&mut self, now: Nanos) -> Option<Duration> {
        let passed = now.saturating_sub(self.since);
        if passed >= MILLISECOND {
            let in_one = u64::from(self.arrived).saturating_mul(MILLISECOND) / passed;
            self.many = in_one >= u64::from(MANY);
            self.arrived = 0;
            self.since = now;
        }
        self.many.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(gap: Nanos) -> usize {
        let mut moderation = Moderation::default();
        (1..=1000)
            .filter(|number| {
                moderation.count();
                moderation.pause(number * gap).is_some()
            })
            .count()
    }

    #[test]
    fn only_a_flood_is_moderated() {
        assert_eq!(pauses(MILLISECOND), 0);
        assert_eq!(pauses(MILLISECOND / 4), 0);
        assert!(pauses(MILLISECOND / 20) > 900);
    }

    #[test]
    fn after_a_flood_there_are_no_pauses() {
        let mut moderation = Moderation::default();
        for _ in 0..100 {
            moderation.count();
        }
        assert!(moderation.pause(MILLISECOND).is_some());
        assert!(moderation.pause(2 * MILLISECOND).is_none());
    }
}
