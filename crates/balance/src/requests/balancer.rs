//! The balancer of requests: members, what waits for them, and what happens to both.

use super::choose::choose;
use super::member::{Member, RequestFigures};
use super::queue::{Queue, Waiting};
use super::{Arrival, Loops, Next, Placed, RequestPolicy, RequestSettings, Ticket};
use crate::passed_over;
use crate::runs::Runs;
use crate::times::OVERDUE;
use crate::turns::Turns;
use crate::{MemberId, Nanos, Waits};

/// Divides requests over members. It does no I/O and reads no clock.
#[derive(Debug)]
pub struct RequestBalancer {
    pub(super) settings: RequestSettings,
    pub(super) members: Vec<Member>,
    pub(super) waiting: Queue,
    pub(super) waits: Waits,
    pub(super) turns: Turns,
    pub(super) runs: Runs,
    tick_at: Option<Nanos>,
}

impl RequestBalancer {
    /// A balancer without members.
    pub fn new(settings: RequestSettings) -> Self {
        Self {
            settings,
            members: Vec::new(),
            waiting: Queue::default(),
            waits: Waits::default(),
            turns: Turns::default(),
            runs: Runs::default(),
            tick_at: None,
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether requests wait, in the queue or staged behind others.
    pub fn has_more(&self) -> bool {
        !self.waiting.is_empty() || self.has_staged()
    }

    /// How long requests waited.
    pub fn waits(&self) -> Waits {
        self.waits
    }

    /// The members, their keys, and what was counted of each.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, u64, RequestFigures)> + '_ {
        self.members
            .iter()
            .map(|member| (member.id, member.key, member.figures))
    }

    /// The member's key: what [`Arrival::wants`] names it by.
    pub fn key(&self, id: MemberId) -> Option<u64> {
        let member = self.members.iter().find(|member| member.id == id)?;
        Some(member.key)
    }

    /// A worker begins to listen. A successor in the same place has the same key.
    pub fn join(&mut self, id: MemberId, key: u64) {
        self.members.push(Member::new(id, key));
        self.pass_over(None, false);
    }

    /// Sets whether a member is well. An unwell member gets nothing while another one is well; what is staged
    /// there is recalled.
    pub fn set_well(&mut self, now: Nanos, id: MemberId, well: bool) {
        let at = self.members.iter().position(|member| member.id == id);
        if self.pass_over(at, !well) && self.has_more() {
            self.wake_by(now);
        }
    }

    fn pass_over(&mut self, at: Option<usize>, unwell: bool) -> bool {
        let all = self.members.iter_mut().map(|it| &mut it.passed_over);
        passed_over::set(all, at, unwell)
    }

    /// A worker listens no more. What it has in progress is no longer counted.
    pub fn leave(&mut self, id: MemberId) {
        if let Some(at) = self.members.iter().position(|member| member.id == id) {
            self.members.remove(at);
            self.turns.left(at);
            self.pass_over(None, false);
        }
    }

    /// A request has arrived.
    pub fn arrive(&mut self, now: Nanos, arrival: Arrival, loops: &mut impl Loops) -> Placed {
        if self.waiting.is_empty()
            && !self.has_staged()
            && let Some(at) = self.choose(now, arrival, loops)
            && let Some(id) = self.give(now, at)
        {
            return Placed::At(id);
        }
        if self.waiting.len() >= self.settings.queue {
            return Placed::Refused;
        }
        self.waiting.push_last(arrival, now);
        self.await_turns(now, loops);
        Placed::Waits
    }

    /// A request that another balancer has given to a member is counted from now on. It ends here, with
    /// [`Self::ended`].
    pub fn resume(&mut self, now: Nanos, id: MemberId) {
        if let Some(at) = self.members.iter().position(|member| member.id == id) {
            self.give(now, at);
        }
    }

    /// A request could not be sent to the member: it stands where it stood or, if it was not staged,
    /// goes first. The member gets nothing for a moment. Its time in the queue counts from `since`.
    pub fn came_back(&mut self, now: Nanos, id: MemberId, arrival: Arrival, since: Nanos) {
        self.taken_back(now, id, arrival, since);
        if let Some(member) = self.member(id) {
            member.pause(now);
        }
    }

    /// A member has not taken a request, and it was taken back: as with [`Self::came_back`], but one
    /// from which a staged request was recalled may get another one at once.
    pub fn taken_back(&mut self, now: Nanos, id: MemberId, arrival: Arrival, since: Nanos) {
        let member = self.member(id);
        match member.and_then(|member| member.unstage(now, arrival.ticket)) {
            Some(place) => self.waiting.insert(place, Waiting { arrival, since }),
            None => self.waiting.push_first(arrival, since),
        }
        self.wake_by(now);
    }

    /// A member can take nothing at the moment: it gets nothing for a while.
    pub fn full(&mut self, now: Nanos, id: MemberId) {
        if let Some(member) = self.member(id) {
            member.is_full(now);
        }
    }

    /// A request is over: it was answered, or the worker has it no more.
    pub fn ended(&mut self, now: Nanos, id: MemberId) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.ended(now, &mut self.runs);
        }
    }

    /// A request is over whose client has left, perhaps before the worker has begun it.
    pub fn left(&mut self, now: Nanos, id: MemberId, ticket: Ticket) {
        let Some(member) = self.member(id) else {
            return;
        };
        match member.staged {
            Some(staged) if staged.waiting.arrival.ticket == ticket => member.gone(),
            _ => self.ended(now, id),
        }
    }

    /// A request that waited is gone.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.cancel(ticket);
    }

    /// The loop of a member has turned: it took a probe, or a connection. Tells the request that
    /// was staged there, if it was taken.
    pub fn turned(&mut self, now: Nanos, id: MemberId, loops: &mut impl Loops) -> Option<Ticket> {
        let member = self.member(id)?;
        member.turned();
        let is_taken = member.staged.is_some() && !loops.is_staged(id);
        is_taken.then(|| self.taken(now, id)).flatten()
    }

    /// The next step for requests that wait. Call it until it returns `None`, after
    /// [`Self::arrive`], [`Self::ended`], [`Self::turned`], [`Self::join`] and when
    /// [`Self::deadline`] is due.
    pub fn next(&mut self, now: Nanos, loops: &mut impl Loops) -> Option<Next> {
        let mut last = None;
        while let Some((place, waiting)) = self.waiting.after(last) {
            if let Some(at) = self.choose(now, waiting.arrival, loops) {
                // Older ones that are staged elsewhere go first.
                if let Some((id, _)) = self.staged_before(Some(place)) {
                    return Some(Next::Recall(id));
                }
                if let Some(id) = self.give(now, at) {
                    self.waiting.remove(place);
                    self.waits.record(now.saturating_sub(waiting.since));
                    return Some(Next::Give(waiting.arrival, id));
                }
            }
            // Nobody can have the first one; another one may want another member.
            if !self.settings.policy.is_affine() {
                break;
            }
            last = Some(place);
        }
        if self.waiting.is_empty()
            && let Some((id, oldest)) = self.staged_before(None)
            && self.choose(now, oldest.arrival, loops).is_some()
        {
            return Some(Next::Recall(id));
        }
        let next = self.stands_long(now).map(Next::Recall);
        let next = next.or_else(|| self.stage(now, loops));
        if next.is_none() {
            self.await_turns(now, loops);
        }
        next
    }

    /// The next request that has waited too long, and waits no more.
    pub fn overdue(&mut self, now: Nanos) -> Option<Arrival> {
        self.waiting.overdue(now, self.settings.queue_timeout)
    }

    /// When [`Self::overdue`] and [`Self::next`] are to be called at the latest.
    pub fn deadline(&self) -> Option<Nanos> {
        self.tick_at
    }

    pub(super) fn member(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn wake_by(&mut self, at: Nanos) {
        self.tick_at = Some(self.tick_at.map_or(at, |tick_at| tick_at.min(at)));
    }

    /// While something waits or is staged, members are watched: [`Self::turned`] is called when a loop turns.
    fn await_turns(&mut self, now: Nanos, loops: &mut impl Loops) {
        let wanted = self.has_more();
        let policy = self.settings.policy;
        let probes = matches!(policy, RequestPolicy::NextAvailable | RequestPolicy::Sticky);
        for member in &mut self.members {
            let watch = wanted && probes && member.figures.in_progress > 0;
            if member.watched != watch {
                member.watched = watch;
                loops.watch(member.id, watch);
            }
            let has_room = member.figures.in_progress < self.settings.max_concurrency;
            // That what is staged is taken shows the same.
            if watch && !member.probed && member.staged.is_none() && has_room {
                member.probed = loops.probe(member.id);
            }
        }
        self.tick_at = wanted.then_some(now + OVERDUE);
        if !self.waiting.is_empty()
            && self.settings.policy == RequestPolicy::NextAvailable
            && let Some(at) = self.ask_at(now)
        {
            self.wake_by(at);
        }
    }

    /// Counts a request at the member of this place.
    fn give(&mut self, now: Nanos, at: usize) -> Option<MemberId> {
        let member = self.members.get_mut(at)?;
        member.given(now, self.turns.take(at));
        Some(member.id)
    }

    fn choose(&mut self, now: Nanos, arrival: Arrival, loops: &mut impl Loops) -> Option<usize> {
        choose(
            &self.settings,
            now,
            arrival,
            &self.members,
            &self.turns,
            loops,
        )
    }
}
