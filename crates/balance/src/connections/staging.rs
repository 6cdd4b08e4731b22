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
    /// work first: it is the likeliest to be short.
    pub(crate) fn stage(&mut self, now: Nanos, channels: &mut C) {
        if self.settings.policy != ConnectionPolicy::NextAvailable {
            return;
        }
        let queue_timeout = self.settings.queue_timeout;
        let is_in_time = |oldest: Nanos| now < oldest.saturating_add(queue_timeout);
        loop {
            let waits = self.waiting.oldest().is_some_and(is_in_time);
            if !waits && self.staged_behind_long_work(now).is_none() {
                return;
            }
            let Some(at) = self.place_to_stage(now, channels) else {
                return;
            };
            let has_better = self.exchange(now, at, channels);
            if !(waits || has_better) || !self.serve_one(now, at, Basis::Staged, channels) {
                return;
            }
        }
    }

    /// Takes back the oldest connection that lies behind a longer piece of work than most, if it came before what waits
    /// in the queue: it is to be staged at this place, behind other work.
    fn exchange(&mut self, now: Nanos, at: usize, channels: &mut C) -> bool {
        let is_long = |member: &Member| member.stood(now) > self.memory.runs.most();
        if self.members.get(at).is_none_or(is_long) {
            return false;
        }
        let first = self.waiting.first().map_or(u64::MAX, |first| first.ticket);
        let oldest = self.staged_behind_long_work(now);
        let Some((_, from)) = oldest.filter(|(ticket, _)| *ticket < first) else {
            return false;
        };
        let Some(member) = self.members.get_mut(from) else {
            return false;
        };
        let taken = member.take_back(now, channels);
        let has_any = !taken.is_empty();
        for waiting in taken {
            self.waiting.insert(waiting);
        }
        has_any
    }

    /// The oldest connection that lies staged behind a longer piece of work than most, and where.
    fn staged_behind_long_work(&self, now: Nanos) -> Option<(u64, usize)> {
        let most = self.memory.runs.most();
        let members = self.members.iter().enumerate();
        members
            .filter(|(_, member)| member.stood(now) > most)
            .filter_map(|(at, member)| Some((member.oldest_staged()?.ticket, at)))
            .min()
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
        let first = self.waiting.first().map_or(u64::MAX, |first| first.ticket);
        let members = self.members.iter().enumerate();
        let oldest = members
            .filter(|(at, _)| *at != not_at)
            .filter_map(|(at, member)| Some((member.oldest_staged()?.ticket, at)))
            .min();
        let Some((_, at)) = oldest.filter(|(ticket, _)| *ticket < first) else {
            return;
        };
        if let Some(member) = self.members.get_mut(at) {
            for waiting in member.take_back(now, channels) {
                self.waiting.insert(waiting);
            }
            member.probe(now, channels);
        }
    }
}
