//! Which clients go on next, and at which listeners a waiting request may be placed.

use std::collections::{BTreeSet, VecDeque};

use balance::Nanos;

use crate::downstream::http2::waker::Wakers;
use crate::slab::Key;

/// The clients and listeners where something can be done now.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Clients that have used their share of this turn, and those that had used it in the last.
    deferred: Vec<Key>,
    due: VecDeque<Key>,
    /// Clients that wait for a moment.
    paused: BTreeSet<(Nanos, Key)>,
    /// Clients that may go on.
    clients: VecDeque<Key>,
    /// Listeners where a request that waits may be placed.
    listeners: Vec<u64>,
    /// Listeners all of whose clients may go on.
    woken: Vec<u64>,
    pub(crate) wakers: Wakers,
}

impl Ready {
    /// Clients that used their share of the last turn are due in this one.
    pub(crate) fn begin_turn(&mut self) {
        self.due.extend(self.deferred.drain(..));
    }

    /// The client goes on in the next turn.
    pub(crate) fn defer(&mut self, client: Key) {
        self.deferred.push(client);
    }

    /// The next client that used its share of the last turn.
    pub(crate) fn next_due(&mut self) -> Option<Key> {
        self.due.pop_front()
    }

    /// The client goes on at this moment.
    pub(crate) fn pause(&mut self, client: Key, until: Nanos) {
        self.paused.insert((until, client));
    }

    /// When the next client that was paused goes on.
    pub(crate) fn resumes_at(&self) -> Option<Nanos> {
        self.paused.first().map(|(until, _)| *until)
    }

    /// The next client that has been paused for long enough.
    pub(crate) fn next_resumed(&mut self, now: Nanos) -> Option<Key> {
        self.resumes_at().filter(|until| *until <= now)?;
        self.paused.pop_first().map(|(_, client)| client)
    }

    /// The client may go on.
    pub(crate) fn wake(&mut self, client: Key) {
        self.clients.push_back(client);
    }

    /// The next client that may go on.
    pub(crate) fn next_client(&mut self) -> Option<Key> {
        if self.clients.is_empty() {
            self.clients.extend(self.wakers.take());
        }
        self.clients.pop_front()
    }

    /// A request that waits at this listener may be placed.
    pub(crate) fn place_at(&mut self, listener: u64) {
        self.listeners.push(listener);
    }

    /// The next listener where a request that waits may be placed.
    pub(crate) fn next_listener(&mut self) -> Option<u64> {
        self.listeners.pop()
    }

    /// All clients of this listener may go on.
    pub(crate) fn wake_all_at(&mut self, listener: u64) {
        self.woken.push(listener);
    }

    /// The next listener all of whose clients may go on.
    pub(crate) fn next_woken(&mut self) -> Option<u64> {
        self.woken.pop()
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_empty(&self) -> bool {
        let clients = self.deferred.len() + self.due.len() + self.clients.len();
        let listeners = self.listeners.len() + self.woken.len();
        clients + listeners == 0 && self.wakers.is_quiet()
    }
}
