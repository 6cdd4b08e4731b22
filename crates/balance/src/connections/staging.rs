//! Staging with recall: while all members are busy, one connection lies ready in the channel of each,
//! so that a worker that ends a piece of work finds its next one there, and does not idle until it
//! has been heard of. A member that frees while nothing waits gets what lies staged elsewhere.

use super::balancer::ConnectionBalancer;
use super::choose::free;
use super::member::{Basis, Member};
use super::{Channels, ConnectionPolicy};
use crate::Nanos;

impl<C: Channels> ConnectionBalancer<C> {
    /// Whether a connection lies staged behind a member's work.
    pub(crate) fn has_staged(&self) -> bool {
        self.settings.policy == ConnectionPolicy::NextAvailable
            && self.members.iter().any(Member::has_staged)
    }

    /// Stages what waits behind members that are busy, one connection behind each, the youngest
    /// work first: it is the likeliest to be short. What lies behind a longer piece of work than most is staged there
    /// instead, if it came before.
    pub(crate) fn stage(&mut self, now: Nanos, channels: &mut C) {
        if self.settings.policy != ConnectionPolicy::NextAvailable {
            return;
        }
        let queue_timeout = self.settings.queue_timeout;
        let is_in_time = |oldest: Nanos| now < oldest.saturating_add(queue_timeout);
        loop {
            let waits = self.waiting.oldest().is_some_and(is_in_time);
            let behind_long_work = self.staged_behind_long_work(now);
            if !waits && behind_long_work.is_none() {
                return;
            }
            let Some(at) = self.place_to_stage(now, channels) else {
                return;
            };
            let is_better = self
                .members
                .get(at)
                .is_some_and(|it| !self.is_long(now, it));
            let changes_place = behind_long_work
                .filter(|_| is_better)
                .is_some_and(|from| self.take_back(now, from, channels));
            if !(waits || changes_place) || !self.serve_one(now, at, Basis::Staged, channels) {
                return;
            }
        }
    }

    /// Where the oldest connection lies that is staged behind a longer piece of work than most, if it came before all
    /// that wait in the queue.
    fn staged_behind_long_work(&self, now: Nanos) -> Option<usize> {
        self.oldest_staged(|_, member| self.is_long(now, member))
    }

    /// Whether a member does a longer piece of work than most.
    fn is_long(&self, now: Nanos, member: &Member) -> bool {
        member.stood(now) > self.memory.runs.most()
    }

    /// Where the oldest connection lies that is staged at some of the members, if it came before all that wait in the
    /// queue.
    fn oldest_staged(&self, is_meant: impl Fn(usize, &Member) -> bool) -> Option<usize> {
        let first = self.waiting.first().map_or(u64::MAX, |first| first.ticket);
        let members = self.members.iter().enumerate();
        let (_, at) = members
            .filter(|(at, member)| is_meant(*at, member))
            .filter_map(|(at, member)| Some((member.oldest_staged()?.ticket, at)))
            .min()
            .filter(|(ticket, _)| *ticket < first)?;
        Some(at)
    }

    /// Takes back what lies untaken at the member of this place; whether there was anything.
    fn take_back(&mut self, now: Nanos, at: usize, channels: &mut C) -> bool {
        let member = self.members.get_mut(at);
        let taken = member.map_or_else(Vec::new, |it| it.take_back(now, channels));
        let has_any = !taken.is_empty();
        for waiting in taken {
            self.waiting.insert(waiting);
        }
        has_any
    }

    fn place_to_stage(&mut self, now: Nanos, channels: &mut C) -> Option<usize> {
        let mut youngest = None;
        for (at, member) in self.members.iter_mut().enumerate() {
            let may = member.sent.is_empty() && !member.blocked && member.has_room(now);
            if may && member.is_settled(now, channels) {
                youngest = youngest.max(Some((member.took_at, at)));
            }
        }
        youngest.map(|(_, at)| at)
    }

    /// Whether more wait than there are members: then what came together cannot all go to different
    /// ones, and throughput comes before the best place for each.
    pub(crate) fn is_pressed(&self) -> bool {
        self.waiting.len() > self.members.len()
    }

    /// Gives the member at this place the oldest connection and, if it is found free again and again
    /// while many wait, several: then it is the way to it that takes the time, as on a machine with
    /// too few processors.
    pub(crate) fn serve_several(
        &mut self,
        now: Nanos,
        at: usize,
        basis: Basis,
        channels: &mut C,
    ) -> bool {
        let pressed = self.is_pressed();
        let share = self.waiting.len() / self.members.len().max(1);
        if !self.serve_oldest(now, at, basis, channels) {
            return false;
        }
        let Some(member) = self.members.get_mut(at).filter(|_| basis == Basis::Free) else {
            return true;
        };
        let several = if pressed { member.found_waiting() } else { 1 };
        for _ in 1..several.min(share) {
            let has_room = self.members.get(at).is_some_and(|it| it.has_room(now));
            if !has_room || !self.serve_one(now, at, Basis::Ahead, channels) {
                break;
            }
        }
        true
    }

    /// Gives the member at this place the oldest connection that waits: in the queue or, if it is
    /// free, behind another member's work.
    pub(crate) fn serve_oldest(
        &mut self,
        now: Nanos,
        at: usize,
        basis: Basis,
        channels: &mut C,
    ) -> bool {
        if basis == Basis::Free {
            self.recall(now, at, channels);
        }
        self.serve_one(now, at, basis, channels)
    }

    /// While nothing waits in the queue, members that are free get what is staged elsewhere.
    pub(crate) fn recall_for_free(&mut self, now: Nanos, channels: &mut C) {
        while self.waiting.is_empty()
            && self.has_staged()
            && let Some((at, basis)) = free(now, &mut self.members, &mut self.memory, channels)
        {
            self.recall(now, at, channels);
            if !self.serve_one(now, at, basis, channels) {
                return;
            }
        }
    }

    /// Takes back the oldest connection that is staged at another member than this one, if it is
    /// older than what waits in the queue.
    fn recall(&mut self, now: Nanos, not_at: usize, channels: &mut C) {
        let Some(at) = self.oldest_staged(|at, _| at != not_at) else {
            return;
        };
        self.take_back(now, at, channels);
        if let Some(member) = self.members.get_mut(at) {
            member.probe(now, channels);
        }
    }
}
