//! How fast a member takes connections.

use crate::Nanos;
use crate::times::{MILLISECOND, STREAM};

/// What a member took, millisecond by millisecond. One that finds many at once takes them all in one
/// turn: only that it takes more in the next millisecond shows that it is done with them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// The present millisecond, counted from the start.
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

    /// Whether it took [`STREAM`] connections in each of two milliseconds: its turns are so short that a look at
    /// what it does would tell nothing.
    pub(crate) fn streams(&self, now: Nanos) -> bool {
        let [present, last, before] = self.at(now).taken;
        last >= STREAM && (present >= STREAM || before >= STREAM)
    }

    fn at(&self, now: Nanos) -> Self {
        let present = now / MILLISECOND;
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
    fn what_goes_on_for_two_milliseconds_is_a_stream() {
        let mut pace = Pace::default();
        for n in 0..12 {
            assert!(!pace.streams(n * MILLISECOND / 6), "{n}");
            pace.took(n * MILLISECOND / 6);
            if n >= 9 {
                break;
            }
        }
        assert!(pace.streams(10 * MILLISECOND / 6));
        assert!(pace.streams(2 * MILLISECOND));
        assert!(!pace.streams(3 * MILLISECOND));
    }

    #[test]
    fn many_at_once_are_no_stream() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.took(5 * MILLISECOND));
        for at in 0..10 {
            assert!(!pace.streams((5 + at) * MILLISECOND));
        }
    }
}
