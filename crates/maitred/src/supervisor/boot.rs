//! Whether a process that tells nothing of itself has finished its start.
//!
//! Where no sockets are shared it is not seen whether a program listens. But one that has done
//! what it does at its start goes to sleep, and waits for events: when its first thread has not
//! run for a while, it is taken for up. Looked at only while somebody waits for that, and never
//! for longer than a second.

use std::fs;
use std::time::Duration;

/// So often it is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// Who sleeps for so long has finished.
const QUIET: Duration = Duration::from_millis(15);

/// What is known of a process that starts. Times are since any fixed moment.
#[derive(Debug)]
pub(super) struct Boot {
    /// When to look next.
    pub(super) check: Duration,
    /// What was seen, and since when that is so.
    seen: Option<(String, Duration)>,
}

impl Boot {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            check: now + EVERY,
            seen: None,
        }
    }

    /// Looks at the process; whether it has finished its start.
    pub(super) fn is_over(&mut self, pid: i32, now: Duration) -> bool {
        self.check = now + EVERY;
        self.saw(asleep(pid), now)
    }

    fn saw(&mut self, counters: Option<String>, now: Duration) -> bool {
        match (&self.seen, counters) {
            (Some((before, since)), Some(counters)) if *before == counters => now - *since >= QUIET,
            (_, counters) => {
                self.seen = counters.map(|counters| (counters, now));
                false
            }
        }
    }
}

/// How often the first thread of a process that sleeps has run until now, in the words of the
/// kernel; `None` if it runs or wants to.
fn asleep(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    if rest.split_whitespace().next() != Some("S") {
        return None;
    }
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_long_enough_has_finished() {
        let ms = Duration::from_millis;
        let mut boot = Boot::new(ms(0));
        let counters = |text: &str| Some(text.to_owned());
        assert!(!boot.saw(counters("1"), ms(5)));
        assert!(!boot.saw(counters("1"), ms(15)));
        assert!(!boot.saw(counters("2"), ms(20)));
        assert!(!boot.saw(None, ms(30)));
        assert!(!boot.saw(counters("2"), ms(35)));
        assert!(boot.saw(counters("2"), ms(50)));
    }
}
