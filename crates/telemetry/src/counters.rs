//! Counting requests at one listener while they come and end. Every request passes through here, so nothing
//! here asks the clock, allocates for one that succeeds, or is shared with another thread.

use balance::{IdMap, Nanos, Waits};

use crate::figures::{RequestFigures, WorkerRequests};
use crate::ids::Place;

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its response was passed on whole.
    Answered,
    /// It was a tunnel, and that is over.
    Upgraded,
    /// Its client has gone before that.
    Aborted,
    /// It was refused, or its response was cut: the status for that.
    Failed(u16),
}

/// What was counted of the requests at a listener.
#[derive(Clone, Debug, Default)]
pub struct RequestCounters {
    counts: RequestFigures,
    /// How long clients waited for a response to begin.
    first_byte: Waits,
    /// What was counted of each worker, by its place: of what is over.
    workers: IdMap<Place, WorkerRequests>,
}

impl RequestCounters {
    /// A request has come.
    #[inline]
    pub fn came(&mut self) {
        self.counts.total += 1;
    }

    /// A request that has come is another proxy's from now on, which counts it.
    pub fn moved(&mut self) {
        self.counts.total = self.counts.total.saturating_sub(1);
    }

    /// A request goes to a second worker.
    pub fn retried(&mut self) {
        self.counts.retried += 1;
    }

    /// The worker at this place has one request less, and may have `failed` with it.
    #[inline]
    pub fn left_worker(&mut self, place: Place, failed: bool) {
        let counts = self.workers.entry(place).or_default();
        counts.total += 1;
        counts.failed += u64::from(failed);
    }

    /// A request is over. `status` is what its client was told, and `first_byte` how long the client waited for
    /// the response to begin, in nanoseconds, if it did.
    #[inline]
    pub fn ended(&mut self, ended: Ended, status: Option<u16>, first_byte: Option<Nanos>) {
        if let Some(waited) = first_byte {
            self.first_byte.record(waited);
        }
        let counts = &mut self.counts;
        let class = status.and_then(|status| usize::from(status / 100).checked_sub(1));
        if let Some(responses) = class.and_then(|class| counts.responses.get_mut(class)) {
            *responses += 1;
        }
        match ended {
            Ended::Answered => counts.answered += 1,
            Ended::Upgraded => counts.upgraded += 1,
            Ended::Aborted => counts.aborted += 1,
            Ended::Failed(status) => *counts.failed.entry(status).or_default() += 1,
        }
    }

    /// All requests that have come.
    #[inline]
    pub fn total(&self) -> u64 {
        self.counts.total
    }

    /// What was counted, with what is there now: requests that wait, and those with workers.
    pub fn figures(&self, waiting: usize, in_progress: usize) -> RequestFigures {
        RequestFigures {
            waiting,
            in_progress,
            first_byte: self.first_byte.into(),
            ..self.counts.clone()
        }
    }

    /// What was counted of each worker, by its place: of requests that are over.
    pub fn workers(&self) -> &IdMap<Place, WorkerRequests> {
        &self.workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_in_one_place() {
        let mut counters = RequestCounters::default();
        let ends = [
            (Ended::Answered, Some(200), Some(3000)),
            (Ended::Answered, Some(304), Some(1)),
            (Ended::Upgraded, Some(101), Some(0)),
            (Ended::Aborted, None, None),
            (Ended::Failed(502), Some(502), None),
            // Statuses without a class of their own.
            (Ended::Answered, Some(0), None),
            (Ended::Answered, Some(u16::MAX), None),
        ];
        for (n, (ended, status, first_byte)) in ends.into_iter().enumerate() {
            counters.came();
            counters.left_worker(
                Place::of_key(n as u64 % 2),
                matches!(ended, Ended::Failed(_)),
            );
            counters.ended(ended, status, first_byte);
        }
        counters.came();
        counters.moved();
        counters.retried();
        let figures = counters.figures(0, 0);
        assert_eq!(figures.total, ends.len() as u64);
        assert_eq!(counters.total(), figures.total);
        assert_eq!(
            (figures.answered, figures.upgraded, figures.aborted),
            (4, 1, 1)
        );
        assert_eq!(figures.failed, [(502, 1)].into());
        assert_eq!(figures.responses, [1, 1, 1, 0, 1]);
        assert_eq!((figures.first_byte.count, figures.retried), (3, 1));
        let [first, second] = [0, 1].map(|key| counters.workers()[&Place::of_key(key)]);
        assert_eq!((first.total, second.total), (4, 3));
        assert_eq!((first.failed, second.failed), (1, 0));
    }
}
