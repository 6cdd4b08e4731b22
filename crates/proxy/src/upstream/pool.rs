//! The connections of one worker: those that are idle, to be used again, and those that lie in its
//! channel.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;

use super::connection::{Ends, Origin, UpstreamConnection, number_of};
use crate::slab::{Key, Slab};

/// How many idle connections a worker may have.
const MOST_IDLE: usize = 1024;

/// How many of them may be for one client connection alone.
const MOST_BOUND: usize = 16;

/// What the proxy keeps of one worker.
#[derive(Debug)]
pub(crate) struct UpstreamPool {
    pub(crate) listener: u64,
    /// Those that are empty stay until [`Self::tidy`]: most clients come again before that.
    idle: HashMap<Ends, Vec<Key>>,
    /// Idle connections that are bound, by the client connection that each is for.
    bound: HashMap<Key, Vec<(u64, Key)>>,
    idle_count: usize,
    /// Connections that lie in its channel, oldest first, as far as is known.
    pub(crate) untaken: VecDeque<Key>,
    /// The connection that it was last sent something over.
    pub(crate) last: Option<Key>,
}

impl UpstreamPool {
    pub(crate) fn new(listener: u64) -> Self {
        Self {
            listener,
            idle: HashMap::new(),
            bound: HashMap::new(),
            idle_count: 0,
            untaken: VecDeque::new(),
            last: None,
        }
    }

    /// The idle connection for this client that was used last, one that is bound to it first.
    pub(crate) fn take(&mut self, ends: Ends, origin: Origin) -> Option<Key> {
        let key = self
            .take_bound(origin)
            .or_else(|| self.idle.get_mut(&ends)?.pop())?;
        self.idle_count -= 1;
        Some(key)
    }

    fn take_bound(&mut self, origin: Origin) -> Option<Key> {
        if self.bound.is_empty() {
            return None;
        }
        let named = origin.named?;
        let connections = self.bound.get_mut(&origin.connection)?;
        let at = connections.iter().rposition(|(other, _)| *other == named)?;
        Some(connections.remove(at).1)
    }

    /// Forgets clients that have no idle connection. To be called now and then.
    pub(crate) fn tidy(&mut self) {
        self.idle.retain(|_, idle| !idle.is_empty());
        self.bound.retain(|_, bound| !bound.is_empty());
    }

    /// Keeps a connection for later; `false` if there are enough, or nothing may be sent over it again.
    pub(crate) fn keep(&mut self, connection: &UpstreamConnection, key: Key) -> bool {
        if self.idle_count >= MOST_IDLE {
            return false;
        }
        match connection.bound {
            None => {
                let idle = self.idle.entry(connection.ends).or_default();
                if connection.was_staged && !idle.is_empty() {
                    return false;
                }
                idle.push(key);
            }
            Some(Origin {
                connection,
                named: Some(named),
            }) => {
                let connections = self.bound.entry(connection).or_default();
                if connections.len() >= MOST_BOUND {
                    return false;
                }
                connections.push((named, key));
            }
            Some(Origin { named: None, .. }) => return false,
        }
        self.idle_count += 1;
        true
    }

    /// Forgets an idle connection.
    pub(crate) fn forget(&mut self, connection: &UpstreamConnection, key: Key) {
        let removed = match connection.bound {
            None => self.idle.get_mut(&connection.ends).and_then(|idle| {
                let at = idle.iter().position(|other| *other == key)?;
                Some(idle.remove(at))
            }),
            Some(origin) => self.bound.get_mut(&origin.connection).and_then(|bound| {
                let at = bound.iter().position(|(_, other)| *other == key)?;
                Some(bound.remove(at).1)
            }),
        };
        self.idle_count -= usize::from(removed.is_some());
    }

    /// Forgets the idle connections that are for this client connection alone.
    pub(crate) fn forget_bound(&mut self, connection: Key) -> Vec<Key> {
        let connections = self.bound.remove(&connection).unwrap_or_default();
        self.idle_count -= connections.len();
        connections.into_iter().map(|(_, key)| key).collect()
    }

    /// All idle connections.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Key> + '_ {
        let bound = self.bound.values().flatten().map(|(_, key)| *key);
        self.idle.values().flatten().copied().chain(bound)
    }

    /// Which of the connections in its channel a descriptor that came back is the worker's end of.
    pub(crate) fn find_untaken(
        &self,
        end: &OwnedFd,
        connections: &Slab<UpstreamConnection>,
    ) -> Option<(usize, Key)> {
        let number = number_of(end)?;
        let known = |key: &Key| connections.get(*key).is_some_and(|it| it.number == number);
        let at = self.untaken.iter().position(known)?;
        Some((at, *self.untaken.get(at)?))
    }
}
