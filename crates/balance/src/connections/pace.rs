//! How fast a member takes connections.

use crate::Nanos;
use crate::times::{MILLISECOND, SLICE, STREAM};

/// What a member takes is counted over this time. On a machine whose processors are all in use, a worker takes its
/// connections in its own time slice, and waits during that of another one.
const WINDOW: Nanos = 2 * SLICE;

/// From so many connections in a window on, a member takes a stream of them.
const MANY: u32 = STREAM * (WINDOW / MILLISECOND) as u32;

/// What a member took, window by window. One that finds many at once takes them all in one turn: only that it takes more
/// in the next window shows that it is done with them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// The present window, counted from the start.
    present: u64,
    /// What was taken in it, in the one before, and in the one before that.
    taken: [u32; 3],
}

impl Pace {
    /// One connection was taken.
    pub(crate) fn took(&mut self, now: Nanos) {
        *self = self.at(now);
        self.taken[0] = self.taken[0].saturating_add(1);
    }

    /// Whether it took [`STREAM`] connections in each millisecond of two windows: its turns are so short that a look
    /// at what it does would tell nothing.
    pub(crate) fn streams(&self, now: Nanos) -> bool {
        let [present, last, before] = self.at(now).taken;
        last >= MANY && (present >= MANY || before >= MANY)
    }

    fn at(&self, now: Nanos) -> Self {
        let present = now / WINDOW;
        let [first, second, third] = self.taken;
        let taken = match present.saturating_sub(self.present) {
            0 => [first, second, third],
            1 => [0, first, second],
            2 => [0, 0, first],
            _ => [0; 3],
        };
        Self { present, taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_for_two_windows_is_a_stream() {
        let each = WINDOW / u64::from(MANY);
        let mut pace = Pace::default();
        for n in 0..2 * MANY {
            assert!(!pace.streams(u64::from(n) * each), "{n}");
            pace.took(u64::from(n) * each);
        }
        assert!(pace.streams(2 * WINDOW - 1));
        assert!(pace.streams(2 * WINDOW));
        assert!(!pace.streams(3 * WINDOW));
    }

    /// One that takes many in its slice, and nothing while it waits for another's.
    #[test]
    fn a_stream_has_pauses() {
        let mut pace = Pace::default();
        for window in 0..4 {
            for n in 0..2 * u64::from(MANY) {
                pace.took(window * WINDOW + n * SLICE / u64::from(2 * MANY));
            }
            let is_known = window > 0;
            assert_eq!(pace.streams((window + 1) * WINDOW - 1), is_known);
        }
    }

    #[test]
    fn many_at_once_are_no_stream() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.took(WINDOW));
        for at in 2..20 {
            assert!(!pace.streams(at * WINDOW / 2));
        }
    }
}
