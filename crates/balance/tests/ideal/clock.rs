//! Simulated time, the events that it brings, and how long each arrival took.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use balance::Nanos;

use super::Arrival;

/// Time passes from one event to the next.
pub(super) struct Clock<E> {
    pub(super) now: Nanos,
    events: BinaryHeap<Reverse<(Nanos, u64, E)>>,
    /// Events at one moment keep their order.
    count: u64,
}

impl<E: Ord> Clock<E> {
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
        }
    }

    /// An event happens after this time.
    pub(super) fn after(&mut self, delay: Nanos, event: E) {
        self.count += 1;
        let entry = (self.now + delay, self.count, event);
        self.events.push(Reverse(entry));
    }

    /// The next event, at which time has arrived.
    pub(super) fn next(&mut self) -> Option<E> {
        let Reverse((now, _, event)) = self.events.pop()?;
        self.now = now;
        Some(event)
    }

    /// A balancer's deadline: it looks at it when something happens, or when it is due.
    pub(super) fn wake_by(&mut self, deadline: Option<Nanos>, tick: E) {
        let next = self.events.peek();
        if let Some(at) = deadline
            && next.is_none_or(|Reverse((next, ..))| *next > at)
        {
            self.after(at.saturating_sub(self.now), tick);
        }
    }
}

/// The latency of each arrival.
pub(super) struct Latencies {
    arrivals: Vec<Arrival>,
    taken: Vec<Option<Nanos>>,
}

impl Latencies {
    pub(super) fn of(arrivals: &[Arrival]) -> Self {
        Self {
            arrivals: arrivals.to_vec(),
            taken: vec![None; arrivals.len()],
        }
    }

    pub(super) fn work(&self, number: usize) -> Nanos {
        self.arrivals[number].work
    }

    /// A worker has done it.
    pub(super) fn done(&mut self, number: usize, now: Nanos) {
        let before = self.taken[number].replace(now - self.arrivals[number].at);
        assert_eq!(before, None, "{number} was served twice");
    }

    /// All of them, less the way to a worker that is free.
    pub(super) fn less(self, way: Nanos) -> Vec<f64> {
        let taken = self.taken.into_iter();
        taken
            .map(|taken| taken.expect("an arrival was lost") as f64 - way as f64)
            .collect()
    }
}
