//! The loops of the workers, as the balancer wants to see them.

use balance::{Look, Loops, MemberId, Nanos};

use super::Upstream;
use crate::Workers;

/// A loop that waits has seen what it was sent after this.
const HEEDED: Nanos = 2_000_000;

/// The workers' loops, as the balancer wants to see them.
pub(crate) struct View<'a, W> {
    pub(crate) workers: &'a mut W,
    pub(crate) now: Nanos,
    pub(crate) upstream: &'a Upstream,
}

impl<W: Workers> Loops for View<'_, W> {
    fn look(&mut self, member: MemberId) -> Look {
        self.workers.look(member)
    }

    fn unread(&mut self, member: MemberId) -> bool {
        let pool = self.upstream.pools.get(&member);
        let last = pool.and_then(|pool| self.upstream.connections.get(pool.last?));
        // A loop that has waited so long has seen it, and does not want to read on: a body, which
        // it takes when it likes.
        last.is_some_and(|it| {
            self.now < it.asked_at + HEEDED && (!it.is_asked || it.link.is_unread())
        })
    }

    fn is_staged(&mut self, member: MemberId) -> bool {
        self.workers.untaken(member) > 0
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
