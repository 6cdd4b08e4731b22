//! The central queue: connections that wait for a member, first come first served.

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
