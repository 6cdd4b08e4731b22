//! How long loops stand still.

use crate::Nanos;
use crate::times::OVERDUE;

/// How long loops stand still over a piece of work, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    mean: Option<Nanos>,
    longest: Nanos,
}

/// The mean is that of about the last 32 runs, each weighing a 32nd. If runs are exponentially distributed, its
/// standard deviation is an eighth of it: 1 / sqrt(2 * 32 - 1).
pub(crate) const FOLLOWS: Nanos = 32;

/// The longest run counts for a 256th less with each one after it. Where every tenth takes a hundred milliseconds, the
/// simulation of waiting times (`tests/ideal`) has a mean that is 0.006 of the ideal's longer with a 64th, and the same with
/// a 1,024th.
const FORGETS: Nanos = 256;

/// So much longer than the longest run is unusual, in parts of it: what was as long 56 runs before is still known, as
/// (255 / 256)^56 is four fifths. In the simulation a half and an eighth are as good, and without it the mean is 0.01
/// longer.
const UNUSUAL: Nanos = 4;

impl Runs {
    /// A loop has stood still for so long. What was over within a moment was no work.
    pub(crate) fn record(&mut self, run: Nanos) {
        if run >= OVERDUE {
            let mean = self.mean.unwrap_or(run);
            self.mean = Some(mean - mean / FOLLOWS + run / FOLLOWS);
            self.longest = run.max(self.longest - self.longest / FORGETS);
        }
    }

    /// A loop that stands still for longer than this does a longer piece of work than most.
    pub(crate) fn most(&self) -> Nanos {
        OVERDUE + self.mean.unwrap_or(0)
    }

    /// A loop that stands still for longer than this does so for longer than usual.
    pub(crate) fn usual(&self) -> Nanos {
        OVERDUE + self.longest + self.longest / UNUSUAL
    }
}
