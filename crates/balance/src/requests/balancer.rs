//! The balancer of requests: members, what waits for them, and what happens to both.

use super::choose::choose;
use super::member::{Member, RequestFigures};
use super::queue::Queue;
use super::{Arrival, Loops, Placed, RequestPolicy, RequestSettings, Ticket};
use crate::turns::Turns;
use crate::{MILLISECOND, MemberId, Nanos, Waits};

/// While something waits, it is looked again after this.
const TICK: Nanos = MILLISECOND;

/// Divides requests over members. It does no I/O and reads no clock.
#[derive(Debug)]
pub struct RequestBalancer {
    settings: RequestSettings,
    members: Vec<Member>,
    waiting: Queue,
    waits: Waits,
    turns: Turns,
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
            tick_at: None,
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
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
    }

    /// A worker listens no more. What it has in progress is no longer counted.
    pub fn leave(&mut self, id: MemberId) {
        if let Some(at) = self.members.iter().position(|member| member.id == id) {
            self.members.remove(at);
            self.turns.left(at);
        }
    }

    /// A request has arrived.
    pub fn arrive(&mut self, now: Nanos, arrival: Arrival, loops: &mut impl Loops) -> Placed {
        if self.waiting.is_empty()
            && let Some(at) = self.choose(now, arrival, loops)
            && let Some(id) = self.give(at)
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

    /// A request that was given to a member has not got there: it goes first again. The member
    /// gets nothing for a moment. Its patience counts from `since`.
    pub fn came_back(&mut self, now: Nanos, id: MemberId, arrival: Arrival, since: Nanos) {
        if let Some(member) = self.member(id) {
            member.gave_back(now);
        }
        self.waiting.push_first(arrival, since);
        self.wake_by(now);
    }

    /// A member can take nothing at the moment: it gets nothing for a while.
    pub fn full(&mut self, now: Nanos, id: MemberId) {
        if let Some(member) = self.member(id) {
            member.is_full(now);
        }
    }

    /// A request is over.
    pub fn ended(&mut self, now: Nanos, id: MemberId) {
        if let Some(member) = self.member(id) {
            member.ended(now);
        }
    }

    /// A request that waited is gone.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.cancel(ticket);
    }

    /// The loop of a member has turned: it took a probe, or a connection.
    pub fn turned(&mut self, id: MemberId) {
        if let Some(member) = self.member(id) {
            member.probed = false;
        }
    }

    /// The next request that waited and can be placed now. To be called until there is none,
    /// after [`Self::ended`], [`Self::turned`], [`Self::join`] and when [`Self::deadline`] is due.
    pub fn next(&mut self, now: Nanos, loops: &mut impl Loops) -> Option<(Arrival, MemberId)> {
        let mut last = None;
        while let Some((place, waiting)) = self.waiting.after(last) {
            if let Some(at) = self.choose(now, waiting.arrival, loops)
                && let Some(id) = self.give(at)
            {
                self.waiting.remove(place);
                self.waits.record(now.saturating_sub(waiting.since));
                return Some((waiting.arrival, id));
            }
            // Nobody can have the first one; another one may want another member.
            if !self.settings.policy.is_affine() {
                break;
            }
            last = Some(place);
        }
        self.await_turns(now, loops);
        None
    }

    /// The next request that has waited too long, and waits no more.
    pub fn overdue(&mut self, now: Nanos) -> Option<Arrival> {
        self.waiting.overdue(now, self.settings.patience)
    }

    /// When [`Self::overdue`] and [`Self::next`] are to be called at the latest.
    pub fn deadline(&self) -> Option<Nanos> {
        self.tick_at
    }

    fn member(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn wake_by(&mut self, at: Nanos) {
        self.tick_at = Some(self.tick_at.map_or(at, |tick_at| tick_at.min(at)));
    }

    /// While something waits, it is told when loops turn.
    fn await_turns(&mut self, now: Nanos, loops: &mut impl Loops) {
        let wanted = !self.waiting.is_empty();
        let policy = self.settings.policy;
        let probes = matches!(policy, RequestPolicy::NextAvailable | RequestPolicy::Sticky);
        for member in &mut self.members {
            let watch = wanted && probes && member.figures.in_progress > 0;
            if member.watched != watch {
                member.watched = watch;
                loops.watch(member.id, watch);
            }
            if watch && !member.probed && member.figures.in_progress < self.settings.max_concurrency
            {
                member.probed = loops.probe(member.id);
            }
        }
        self.tick_at = wanted.then_some(now + TICK);
    }

    /// Counts a request at the member of this place.
    fn give(&mut self, at: usize) -> Option<MemberId> {
        let member = self.members.get_mut(at)?;
        member.given(self.turns.take(at));
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
