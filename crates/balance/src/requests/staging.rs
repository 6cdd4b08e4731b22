//! Staging with recall for requests: while all members are busy, one request lies ready before each,
//! unread. The rules are those for connections (`crate::connections`); here the end of a piece of work is
//! known exactly.

use super::RequestBalancer;
use super::member::{Member, Staged};
use super::queue::{Place, Waiting};
use super::{Loops, Next, RequestPolicy, Ticket};
use crate::{MemberId, Nanos};

impl RequestBalancer {
    /// The worker has taken what was staged for it; which request that is.
    pub fn taken(&mut self, now: Nanos, id: MemberId) -> Option<Ticket> {
        let staged = self.member(id)?.took(now)?;
        self.waits.record(now.saturating_sub(staged.waiting.since));
        Some(staged.waiting.arrival.ticket)
    }

    pub(super) fn has_staged(&self) -> bool {
        self.members.iter().any(|member| member.staged.is_some())
    }

    /// The member at which the oldest request is staged that stands before this place.
    pub(super) fn staged_before(&self, place: Option<Place>) -> Option<(MemberId, Waiting)> {
        let staged = |member: &Member| Some((member.staged?, member.id));
        let (oldest, id) = self
            .members
            .iter()
            .filter_map(staged)
            .min_by_key(|(staged, _)| staged.place)?;
        let is_before = place.is_none_or(|place| oldest.place < place);
        is_before.then_some((id, oldest.waiting))
    }

    /// A member whose loop stands still for longer than usual, with something staged before it, or that is
    /// passed over; or where that has waited for too long, and is given up in the queue.
    pub(super) fn stands_long(&mut self, now: Nanos) -> Option<MemberId> {
        let usual = self.runs.usual();
        let queue_timeout = self.settings.queue_timeout;
        let member = self.members.iter_mut().find(|member| {
            let is_late = |it: &Staged| it.waiting.is_late(now, queue_timeout);
            let stands_long = now.saturating_sub(member.began_at) > usual;
            member
                .staged
                .as_ref()
                .is_some_and(|it| stands_long || is_late(it) || member.passed_over.now())
        })?;
        member.stands_long = true;
        Some(member.id)
    }

    /// Stages the first request that waits behind the youngest work: that is the likeliest to be short. One that came
    /// before it, and lies behind a longer piece of work than most, is recalled to be staged there.
    pub(super) fn stage(&mut self, now: Nanos, loops: &mut impl Loops) -> Option<Next> {
        if self.settings.policy != RequestPolicy::NextAvailable {
            return None;
        }
        let first = self.waiting.after(None);
        let behind_long_work = self.staged_behind_long_work(now, first.map(|(place, _)| place));
        let queue_timeout = self.settings.queue_timeout;
        let first = first.filter(|(_, waiting)| !waiting.is_late(now, queue_timeout));
        let next = behind_long_work.map(|(_, waiting)| waiting);
        let next = next.or(first.map(|(_, waiting)| waiting))?;
        let at = self.place_to_stage(now, next.arrival.failed, loops)?;
        let member = self.members.get_mut(at)?;
        if let Some((from, _)) = behind_long_work
            && now.saturating_sub(member.began_at) <= self.runs.most()
        {
            return Some(Next::Recall(from));
        }
        let (place, waiting) = first?;
        self.waiting.remove(place);
        member.stage(Staged { place, waiting }, self.turns.take(at));
        Some(Next::Stage(waiting.arrival, member.id))
    }

    /// The oldest request that lies staged behind a longer piece of work than most, if it stands before this place.
    fn staged_behind_long_work(
        &self,
        now: Nanos,
        place: Option<Place>,
    ) -> Option<(MemberId, Waiting)> {
        let most = self.runs.most();
        let members = self.members.iter();
        let (oldest, id) = members
            .filter(|member| now.saturating_sub(member.began_at) > most)
            .filter_map(|member| Some((member.staged?, member.id)))
            .min_by_key(|(staged, _)| staged.place)?;
        let is_before = place.is_none_or(|place| oldest.place < place);
        is_before.then_some((id, oldest.waiting))
    }

    /// The member with the youngest work of those before which something can be staged.
    fn place_to_stage(
        &mut self,
        now: Nanos,
        failed: Option<MemberId>,
        loops: &mut impl Loops,
    ) -> Option<usize> {
        let usual = self.runs.usual();
        let most = self.settings.max_concurrency;
        let mut youngest = None;
        for (at, member) in self.members.iter_mut().enumerate() {
            let stands_long = member.stands_long || now.saturating_sub(member.began_at) > usual;
            if !stands_long
                && !member.is_quick()
                && member.figures.in_progress > 0
                && member.has_room(now, most)
                && Some(member.id) != failed
                && member.is_settled(now, loops)
                && !loops.is_staged(member.id)
            {
                youngest = youngest.max(Some((member.began_at, at)));
            }
        }
        youngest.map(|(_, at)| at)
    }

    /// When a member has to be asked again whether it has read what it was sent.
    pub(super) fn ask_at(&self, now: Nanos) -> Option<Nanos> {
        let members = self.members.iter().filter(|it| it.figures.in_progress > 0);
        let asked = members.filter_map(Member::ask_at);
        asked.filter(|at| *at > now).min()
    }
}
