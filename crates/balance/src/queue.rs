//! The central queue, first come first served, and how long connections waited.

use std::collections::VecDeque;

use crate::{Client, Nanos};

/// A connection that waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// Its place among all that arrived.
    pub(crate) ticket: u64,
    pub(crate) arrived: Nanos,
    pub(crate) client: Client,
    pub(crate) connection: T,
}

/// Connections in the order in which they arrived.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    entries: VecDeque<Waiting<T>>,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the one that has waited longest arrived.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.entries.front().map(|waiting| waiting.arrived)
    }

    /// The one that has waited longest.
    pub(crate) fn first(&self) -> Option<&Waiting<T>> {
        self.entries.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting<T>> {
        self.entries.pop_front()
    }

    /// Puts a connection where its ticket belongs: a new one last, one that was taken back
    /// before all that came after it.
    pub(crate) fn insert(&mut self, waiting: Waiting<T>) {
        let at = match self.entries.back() {
            Some(last) if last.ticket > waiting.ticket => self
                .entries
                .partition_point(|other| other.ticket < waiting.ticket),
            _ => self.entries.len(),
        };
        self.entries.insert(at, waiting);
    }
}

/// The last step of the histogram: what waited longer counts there too.
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
    pub(crate) fn record(&mut self, waited: Nanos) {
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
