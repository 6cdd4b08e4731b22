//! Waiting for what no event tells of.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing may take longer, on any machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks.
const PACE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(PACE);
    }
}

/// The same until something is so.
pub(crate) fn until_it_is(what: &str, mut is: impl FnMut() -> bool) {
    until(what, || is().then_some(()));
}
