//! Whether a process that tells nothing of itself has finished its start.
//!
//! One that has done what it does at its start goes to sleep, and waits for events: when its first
//! thread has not run for a while, nor those of its children, it is taken for up. Where sockets are
//! shared that while is longer, for there a program is expected to listen, and may wait for something
//! before it does. Looked at only while it starts, and never for longer than three seconds.

use std::fs;
use std::time::Duration;

use super::silence;

/// Who sleeps for so long has finished, where it is not seen whether it listens.
const QUIET: Duration = Duration::from_millis(15);

/// Where it could be seen.
const QUIET_ALTHOUGH_SEEN: Duration = Duration::from_millis(300);

/// What is known of a process that starts. Times are since any fixed moment.
#[derive(Debug)]
pub(super) struct Boot {
    /// When to look next.
    pub(super) check: Duration,
    quiet: Duration,
    /// What was seen, and since when that is so.
    seen: Option<(String, Duration)>,
}

impl Boot {
    /// A process that starts now; `seen` if it would be seen to listen.
    pub(super) fn new(now: Duration, seen: bool) -> Self {
        let quiet = if seen { QUIET_ALTHOUGH_SEEN } else { QUIET };
        Self {
            check: now + quiet / 3,
            quiet,
            seen: None,
        }
    }

    /// Looks at the process; whether it has finished its start. One that waits for an answer of ours
    /// has not.
    pub(super) fn is_over(&mut self, pid: i32, waits: bool, now: Duration) -> bool {
        self.check = now + self.quiet / 3;
        if waits {
            return self.saw(None, now);
        }
        let tree = silence::tree(pid);
        let all = tree.iter().map(|pid| asleep(pid.as_raw_nonzero().get()));
        self.saw(all.collect(), now)
    }

    fn saw(&mut self, counters: Option<String>, now: Duration) -> bool {
        match (&self.seen, counters) {
            (Some((before, since)), Some(counters)) if *before == counters => {
                now - *since >= self.quiet
            }
            (_, counters) => {
                self.seen = counters.map(|counters| (counters, now));
                false
            }
        }
    }
}

/// How often the first thread of a process that sleeps has run until now, in the words of the
/// kernel; `None` if one of its threads runs or wants to: on a busy machine the first one waits long for
/// what others have not come to do.
fn asleep(pid: i32) -> Option<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for thread in threads.flatten() {
        // One that is gone runs no more.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        if state.is_some_and(|state| !state.starts_with('S')) {
            return None;
        }
    }
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_long_enough_has_finished() {
        let ms = Duration::from_millis;
        let mut boot = Boot::new(ms(0), false);
        let counters = |text: &str| Some(text.to_owned());
        assert!(!boot.saw(counters("1"), ms(5)));
        assert!(!boot.saw(counters("1"), ms(15)));
        assert!(!boot.saw(counters("2"), ms(20)));
        assert!(!boot.saw(None, ms(30)));
        assert!(!boot.saw(counters("2"), ms(35)));
        assert!(boot.saw(counters("2"), ms(50)));
        let mut boot = Boot::new(ms(0), true);
        assert!(!boot.saw(counters("1"), ms(100)));
        assert!(!boot.saw(counters("1"), ms(399)));
        assert!(boot.saw(counters("1"), ms(400)));
    }
}
