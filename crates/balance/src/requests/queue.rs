//! Requests that wait for a member, first come first served.

use std::collections::VecDeque;

use super::{Arrival, Ticket};
use crate::Nanos;

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) arrival: Arrival,
    /// Its patience counts from then.
    pub(super) since: Nanos,
}

/// Requests in the order in which they are served.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Waiting>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one at this place; the first one waits at 0.
    pub(super) fn at(&self, place: usize) -> Option<Waiting> {
        self.entries.get(place).copied()
    }

    /// One that has just come.
    pub(super) fn push_last(&mut self, arrival: Arrival, since: Nanos) {
        self.entries.push_back(Waiting { arrival, since });
    }

    /// One that came back from a member, which came before all that wait.
    pub(super) fn push_first(&mut self, arrival: Arrival, since: Nanos) {
        self.entries.push_front(Waiting { arrival, since });
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.entries.remove(place);
    }

    pub(super) fn cancel(&mut self, ticket: Ticket) {
        self.entries
            .retain(|waiting| waiting.arrival.ticket != ticket);
    }

    /// Takes out one that has waited longer than this.
    pub(super) fn overdue(&mut self, now: Nanos, patience: Nanos) -> Option<Arrival> {
        // One that came back stands before others that have waited longer.
        let is_overdue = |waiting: &Waiting| now >= waiting.since.saturating_add(patience);
        let place = self.entries.iter().position(is_overdue)?;
        self.entries.remove(place).map(|waiting| waiting.arrival)
    }
}
