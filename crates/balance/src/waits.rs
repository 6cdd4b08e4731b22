//! How long connections or requests waited.

use crate::Nanos;

/// The number of steps of the histogram. The last one begins at 17 s, and includes the 30 s of the default
/// `queue_timeout`; longer waits count there too.
const STEPS: usize = 26;

/// How long connections waited from their arrival to their dispatch: only those that no member
/// could have at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many waited.
    pub count: u64,
    /// Their sum, in nanoseconds.
    pub total: Nanos,
    /// The longest, in nanoseconds.
    pub longest: Nanos,
    /// A histogram: step `n` counts those that waited less than `2^n` microseconds, and not less
    /// than half of that.
    pub steps: [u64; STEPS],
}

impl Waits {
    /// Counts one wait, in nanoseconds.
    pub fn record(&mut self, waited: Nanos) {
        self.count += 1;
        self.total = self.total.saturating_add(waited);
        self.longest = self.longest.max(waited);
        let micros = waited / 1000;
        let step = (u64::BITS - micros.leading_zeros()) as usize;
        if let Some(step) = self.steps.get_mut(step.min(STEPS - 1)) {
            *step += 1;
        }
    }

    /// The mean, in nanoseconds.
    pub fn mean(&self) -> Nanos {
        self.total.checked_div(self.count).unwrap_or(0)
    }

    /// A time that this share (0 to 1) of those who waited did not exceed, in nanoseconds: the
    /// upper end of a step, so at most twice the true one.
    pub fn quantile(&self, share: f64) -> Nanos {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (step, count) in self.steps.iter().enumerate() {
            passed += count;
            if passed >= wanted && passed > 0 && step + 1 < STEPS {
                return self.longest.min(1000 << step);
            }
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_sorted_into_steps() {
        let mut waits = Waits::default();
        for micros in [0, 1, 2, 3, 100, 100, 100, 100, 5000, 40_000_000] {
            waits.record(micros * 1000);
        }
        assert_eq!(waits.steps[..3], [1, 1, 2]);
        assert_eq!(waits.steps[7], 4);
        assert_eq!(waits.steps[STEPS - 1], 1);
        assert_eq!(waits.steps.iter().sum::<u64>(), waits.count);
        assert_eq!(waits.quantile(0.5), 128_000);
        assert_eq!(waits.quantile(1.0), waits.longest);
        assert_eq!(waits.longest, 40_000_000_000);
        assert_eq!(Waits::default().quantile(0.5), 0);
        assert_eq!(Waits::default().mean(), 0);
    }
}
