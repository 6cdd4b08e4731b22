//! How long loops stand still.

use crate::Nanos;
use crate::times::OVERDUE;

/// How long loops stand still over a piece of work, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    mean: Option<Nanos>,
}

/// The mean is that of about the last 32 runs, each weighing a 32nd. If runs are exponentially distributed, its
/// standard deviation is an eighth of it: 1 / sqrt(2 * 32 - 1).
pub(crate) const FOLLOWS: Nanos = 32;

impl Runs {
    /// A loop has stood still for so long. What was over within a moment was no work.
    pub(crate) fn record(&mut self, run: Nanos) {
        if run >= OVERDUE {
            let mean = self.mean.unwrap_or(run);
            self.mean = Some(mean - mean / FOLLOWS + run / FOLLOWS);
        }
    }

    /// A loop that stands still for longer than this does so for longer than usual.
    pub(crate) fn usual(&self) -> Nanos {
        OVERDUE + self.mean.unwrap_or(0)
    }
}
