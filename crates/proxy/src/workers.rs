//! The workers, as the proxy sees them, and shows them to the balancer.

use std::os::fd::OwnedFd;

use balance::{Look, Loops, MemberId, Nanos};

use crate::ids::IdMap;
use crate::slab::Slab;
use crate::upstream::pool::{Desk, Pair};

/// A loop that waits has seen what it was sent after this.
const HEEDED: Nanos = 2_000_000;

/// What the proxy can see and do of the workers.
pub trait Workers {
    /// Looks at the worker's loop.
    fn look(&mut self, member: MemberId) -> Look;
    /// How many processes accept from its channel.
    fn acceptors(&mut self, _: MemberId) -> usize {
        1
    }
    /// Puts a probe into its channel; `false` if it cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;
    /// Whether [`Proxy::turned`] shall be called when it takes something.
    fn watch(&mut self, member: MemberId, on: bool);
    /// Sends a connection down its channel; `peer` is the `sockaddr` of its client.
    ///
    /// # Errors
    /// Gives the connection back if the channel takes no more.
    fn hand(&mut self, member: MemberId, end: OwnedFd, peer: &[u8]) -> Result<(), OwnedFd>;
    /// How many connections lie in its channel.
    fn untaken(&mut self, member: MemberId) -> usize;
    /// Whether it has no descriptor left to take one.
    fn is_full(&mut self, member: MemberId) -> bool;
    /// Takes the oldest of them back.
    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd>;
}

/// The workers' loops, as the balancer wants to see them.
pub(crate) struct View<'a, W> {
    pub(crate) workers: &'a mut W,
    pub(crate) now: Nanos,
    pub(crate) desks: &'a IdMap<MemberId, Desk>,
    pub(crate) pairs: &'a Slab<Pair>,
}

impl<W: Workers> Loops for View<'_, W> {
    fn look(&mut self, member: MemberId) -> Look {
        self.workers.look(member)
    }

    fn unread(&mut self, member: MemberId) -> bool {
        let last = self.desks.get(&member).and_then(|desk| desk.last);
        let last = last.and_then(|key| self.pairs.get(key));
        // A loop that has waited so long has seen it, and does not want to read on: a body, which
        // it takes when it likes.
        last.is_some_and(|pair| {
            self.now < pair.asked_at + HEEDED && (!pair.is_asked || pair.link.is_unread())
        })
    }

    fn acceptors(&mut self, member: MemberId) -> usize {
        self.workers.acceptors(member)
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.workers.probe(member)
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        self.workers.watch(member, on);
    }
}
