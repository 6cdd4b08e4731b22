//! How a process stands after its health checks. Without I/O and clock: times are since any fixed
//! moment.

use std::time::Duration;

/// While a command waits for its health a process is checked so often, or more often: until its first
/// check has passed, and while it is on trial.
const AWAITED: Duration = Duration::from_millis(500);

/// Each time that a replacement was in vain the next one takes twice as many failures, so often: up to 32
/// times as many, which is a quarter of an hour with the default settings.
const LONGEST_PATIENCE: u32 = 5;

/// What follows from a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Follows {
    /// It is the first one that has passed.
    pub(crate) first: bool,
    /// From now on it is unhealthy, or healthy again.
    pub(crate) changed: bool,
    /// So many have failed in a row that it is to be replaced.
    pub(crate) replace: bool,
}

/// The health of a process.
#[derive(Debug)]
pub(crate) struct Health {
    rules: config::Health,
    started: Duration,
    /// When the next check is due.
    due: Option<Duration>,
    /// One is under way.
    is_checked: bool,
    /// Whether one has ever passed.
    passed: bool,
    is_unhealthy: bool,
    /// How many have failed, or passed, in a row.
    failed: u32,
    well: u32,
    /// How often it was to be replaced, and is still here.
    in_vain: u32,
    /// What the last one has found, where it has failed.
    reason: Option<String>,
    /// It would be up, but for the first check that passes; and whether it listens, as was found.
    pub(crate) awaited: Option<bool>,
}

impl Health {
    /// Of a process that starts now; its first check is due at a time at the latest.
    pub(crate) fn new(rules: config::Health, now: Duration, first: Option<Duration>) -> Self {
        Self {
            rules,
            started: now,
            due: first,
            is_checked: false,
            passed: false,
            is_unhealthy: false,
            failed: 0,
            well: 0,
            in_vain: 0,
            reason: None,
            awaited: None,
        }
    }

    pub(crate) fn rules(&self) -> &config::Health {
        &self.rules
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Whether a check has ever passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed
    }

    /// Whether it is healthy, as far as is known.
    pub(crate) fn is_well(&self) -> bool {
        self.passed && !self.is_unhealthy
    }

    /// Why it is unhealthy, if it is.
    pub(crate) fn unhealthy(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.is_unhealthy)
    }

    /// What the last check has found, where it has failed.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// It would be up now, `listening` or not, if a check had passed: that one is due at once.
    pub(crate) fn awaits(&mut self, listening: bool, now: Duration) {
        let is_new = self.awaited.replace(listening).is_none();
        if is_new && !self.is_checked {
            self.due = Some(now);
        }
    }

    /// It is on trial: its next check is due soon.
    pub(crate) fn is_on_trial(&mut self, now: Duration) {
        if let Some(due) = &mut self.due {
            *due = (*due).min(now + AWAITED);
        }
    }

    /// A check begins.
    pub(crate) fn begins(&mut self) {
        self.due = None;
        self.is_checked = true;
    }

    /// It ends, and no check follows.
    pub(crate) fn ends(&mut self) {
        self.due = None;
        self.awaited = None;
    }

    /// A check has passed, or failed for a reason.
    pub(crate) fn hears(&mut self, verdict: Result<(), String>, now: Duration) -> Follows {
        let mut follows = Follows::default();
        self.is_checked = false;
        match verdict {
            Ok(()) => {
                self.failed = 0;
                self.in_vain = 0;
                self.well = self.well.saturating_add(1);
                follows.first = !std::mem::replace(&mut self.passed, true);
                if !self.is_unhealthy || self.well >= self.rules.successes {
                    self.reason = None;
                    follows.changed = std::mem::take(&mut self.is_unhealthy);
                }
            }
            Err(reason) => {
                self.well = 0;
                self.reason = Some(reason);
                if self.passed || now >= self.started + self.rules.grace {
                    self.failed += 1;
                    follows.changed = !std::mem::replace(&mut self.is_unhealthy, true);
                    let patience = 1_u32 << self.in_vain.min(LONGEST_PATIENCE);
                    follows.replace = self.failed >= self.rules.failures.saturating_mul(patience);
                }
                if follows.replace {
                    // Its successor is not healthy either if there is a next time.
                    self.failed = 0;
                    self.in_vain = self.in_vain.saturating_add(1);
                }
            }
        }
        let fails_trial = self.passed && self.awaited.is_some();
        let is_awaited = !self.is_well() && (fails_trial || !self.is_unhealthy);
        let interval = match is_awaited {
            true => self.rules.interval.min(AWAITED),
            false => self.rules.interval,
        };
        self.due = Some(now + interval);
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn health(failures: u32, successes: u32) -> Health {
        let rules = config::Health {
            check: config::Check::Tcp { port: None },
            interval: s(10),
            timeout: s(5),
            failures,
            successes,
            grace: s(30),
        };
        Health::new(rules, s(0), None)
    }

    /// What follows from checks, one each interval, of which `+` passes and `-` fails: `1` for the
    /// first that passes, `!` where it becomes unhealthy, `r` where it is replaced for that, `h` where
    /// it is healthy again.
    fn told(health: &mut Health, from: u64, checks: &str) -> String {
        let mut told = String::new();
        for (nth, check) in (0..).zip(checks.chars()) {
            let verdict = match check {
                '+' => Ok(()),
                _ => Err("it does not answer".to_owned()),
            };
            let follows = health.hears(verdict, s(from + 10 * nth));
            told.push(match (follows.first, follows.changed, follows.replace) {
                (false, false, false) => '.',
                (true, false, false) => '1',
                (false, true, false) if check == '+' => 'h',
                (false, true, false) => '!',
                (false, true, true) => 'R',
                (false, false, true) => 'r',
                (true, true, _) => 'H',
                (true, false, true) => '?',
            });
        }
        told
    }

    #[test]
    fn checks_have_their_consequences() {
        for (failures, successes, checks, expected) in [
            (3, 1, "+++", "1.."),
            (3, 1, "+-+-+", "1!h!h"),
            (3, 1, "+--+--+", "1!.h!.h"),
            // It is replaced, and again where that did not help.
            (3, 1, "+----------", "1!.r.....r."),
            (1, 1, "+----------------", "1R.r...r.......r."),
            (1, 1, "+---+---", "1R.rhR.r"),
            (3, 2, "+-++", "1!.h"),
            // One that passes ends the row of those that fail.
            (3, 2, "+-+-++", "1!...h"),
            (3, 2, "+--+---", "1!....r"),
        ] {
            assert_eq!(
                told(&mut health(failures, successes), 0, checks),
                expected,
                "{checks}"
            );
        }
    }

    /// Until the first check has passed, those do not count that fail within the grace.
    #[test]
    fn a_start_has_its_grace() {
        assert_eq!(told(&mut health(2, 1), 0, "---+-"), "...1!");
        assert_eq!(told(&mut health(2, 1), 0, "-----+"), "...!rH");
        let mut late = health(2, 1);
        assert_eq!(told(&mut late, 0, "----"), "...!");
        assert_eq!(late.unhealthy(), Some("it does not answer"));
        assert_eq!(told(&mut late, 40, "+"), "H");
        assert_eq!(late.unhealthy(), None);
    }

    #[test]
    fn a_start_is_checked_more_often() {
        let mut health = health(3, 1);
        assert_eq!(health.due(), None);
        health.awaits(true, s(1));
        assert_eq!(health.due(), Some(s(1)));
        health.begins();
        assert_eq!(health.due(), None);
        health.awaits(true, s(2));
        assert_eq!(health.due(), None);
        health.hears(Err(String::new()), s(2));
        assert_eq!(health.due(), Some(s(2) + AWAITED));
        health.hears(Ok(()), s(3));
        assert_eq!(health.due(), Some(s(13)));
    }

    #[test]
    fn one_on_trial_is_checked_more_often() {
        let mut health = health(3, 1);
        health.hears(Ok(()), s(1));
        health.is_on_trial(s(1));
        assert_eq!(health.due(), Some(s(1) + AWAITED));
        health.is_on_trial(s(2));
        assert_eq!(health.due(), Some(s(1) + AWAITED));
        // While it is unhealthy, a command waits for it.
        health.hears(Err(String::new()), s(2));
        health.awaits(true, s(2));
        assert_eq!(health.due(), Some(s(2)));
        health.hears(Err(String::new()), s(3));
        assert_eq!(health.due(), Some(s(3) + AWAITED));
        health.hears(Ok(()), s(4));
        assert_eq!(health.due(), Some(s(14)));
    }
}
