//! Requests that wait for a member, first come first served.

use std::collections::{BTreeMap, HashMap};

use super::{Arrival, Ticket};
use crate::Nanos;

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) arrival: Arrival,
    /// Its time in the queue counts from then.
    pub(super) since: Nanos,
}

impl Waiting {
    /// Whether it has waited for longer than this.
    pub(super) fn is_late(&self, now: Nanos, queue_timeout: Nanos) -> bool {
        now >= self.since.saturating_add(queue_timeout)
    }
}

/// Where a request stands in the queue: those with smaller numbers are served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(i64);

/// Requests in the order in which they are served. Any of them can leave at the same small cost:
/// all clients of a long queue may give up at once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<Place, Waiting>,
    places: HashMap<Ticket, Place>,
    /// The places that were given first and last, those of requests that have left among them: what
    /// is staged keeps its place.
    given: (i64, i64),
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first one, or the first behind this place.
    pub(super) fn after(&self, place: Option<Place>) -> Option<(Place, Waiting)> {
        let next = match place {
            Some(Place(place)) => self.entries.range(Place(place + 1)..).next(),
            None => self.entries.first_key_value(),
        };
        next.map(|(place, waiting)| (*place, *waiting))
    }

    /// One that has just come.
    pub(super) fn push_last(&mut self, arrival: Arrival, since: Nanos) {
        self.given.1 += 1;
        self.insert(Place(self.given.1), Waiting { arrival, since });
    }

    /// One that came back from a member, which came before all that wait.
    pub(super) fn push_first(&mut self, arrival: Arrival, since: Nanos) {
        self.given.0 -= 1;
        self.insert(Place(self.given.0), Waiting { arrival, since });
    }

    /// Puts one where it stood before.
    pub(super) fn insert(&mut self, place: Place, waiting: Waiting) {
        self.places.insert(waiting.arrival.ticket, place);
        self.entries.insert(place, waiting);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Arrival> {
        let arrival = self.entries.remove(&place)?.arrival;
        self.places.remove(&arrival.ticket);
        Some(arrival)
    }

    /// Takes out a request whose client has given up.
    pub(super) fn cancel(&mut self, ticket: Ticket) {
        if let Some(place) = self.places.remove(&ticket) {
            self.entries.remove(&place);
        }
    }

    /// Takes out one that has waited longer than this.
    pub(super) fn overdue(&mut self, now: Nanos, queue_timeout: Nanos) -> Option<Arrival> {
        // One that came back stands before others that have waited longer.
        let mut entries = self.entries.iter();
        let (place, _) = entries.find(|(_, waiting)| waiting.is_late(now, queue_timeout))?;
        let place = *place;
        self.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    fn arrival(ticket: u64) -> Arrival {
        Arrival {
            ticket: Ticket(ticket),
            client: Client::unknown(ticket),
            wants: None,
            failed: None,
        }
    }

    fn order(queue: &Queue) -> Vec<u64> {
        let mut order = Vec::new();
        let mut last = None;
        while let Some((place, waiting)) = queue.after(last) {
            order.push(waiting.arrival.ticket.0);
            last = Some(place);
        }
        order
    }

    #[test]
    fn whoever_leaves_the_others_keep_their_order() {
        let mut queue = Queue::default();
        (0..5).for_each(|ticket| queue.push_last(arrival(ticket), ticket));
        queue.push_first(arrival(9), 9);
        assert_eq!(order(&queue), [9, 0, 1, 2, 3, 4]);
        for gone in [2, 9, 4, 2] {
            queue.cancel(Ticket(gone));
        }
        assert_eq!(order(&queue), [0, 1, 3]);
        queue.push_last(arrival(5), 5);
        queue.push_first(arrival(2), 2);
        assert_eq!(order(&queue), [2, 0, 1, 3, 5]);
        assert_eq!(queue.overdue(10, 10).map(|it| it.ticket), Some(Ticket(0)));
        assert!(queue.overdue(10, 10).is_none());
        while let Some((place, _)) = queue.after(None) {
            queue.remove(place);
        }
        assert!(queue.is_empty() && queue.places.is_empty());
    }
}
