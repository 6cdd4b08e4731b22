//! Requests: which worker gets the next one, where a proxy forwards each by itself.
//!
//! Unlike a connection, a request is known to be over: its response has ended. So the figures of a
//! member are exact: how many requests it has in progress. For [`RequestPolicy::NextAvailable`] a
//! member with none is free; one with some is free when its loop waits and it has read all that it
//! was sent, for then those requests wait for something else. A member that ends several requests
//! in a millisecond *streams*: it is sent more ahead, for to wait for each response would leave it
//! idle in between. What no member can have now waits in one queue.

use std::collections::VecDeque;

use crate::{Client, Look, MILLISECOND, MemberId, Nanos, Waits};

/// How the next member is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPolicy {
    /// The first that is free; when none is, the first that becomes free.
    #[default]
    NextAvailable,
    /// Strictly in turn, whatever they do.
    RoundRobin,
    /// The one with the fewest requests in progress; among equals in turn.
    LeastConn,
    /// The same client goes to the same member, while that is there.
    IpHash,
    /// A request that names a member goes there, any other as with `NextAvailable`.
    Sticky,
}

/// What a request balancer is to do.
#[derive(Clone, Copy, Debug)]
pub struct RequestSettings {
    /// How to choose.
    pub policy: RequestPolicy,
    /// How many requests one member may have in progress.
    pub max_concurrency: usize,
    /// How many requests may wait in the queue; more are refused.
    pub queue: usize,
    /// How long one may wait there, in nanoseconds.
    pub patience: Nanos,
}

/// What can be seen and done of the members' loops.
pub trait Loops {
    /// Looks at the member's loop.
    fn look(&mut self, member: MemberId) -> Look;

    /// Whether the member has still to read of what it was sent last.
    fn unread(&mut self, member: MemberId) -> bool;

    /// Puts a probe before the member, so that [`RequestBalancer::turned`] is called when its loop
    /// has turned; `false` if it cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;

    /// Whether [`RequestBalancer::turned`] shall be called at all.
    fn watch(&mut self, member: MemberId, on: bool);
}

/// A request, named by whoever forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u64);

/// A request that is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its name.
    pub ticket: Ticket,
    /// Where it comes from.
    pub client: Client,
    /// The key of the member that it names.
    pub wants: Option<u64>,
    /// A member that has failed it already, and gets it again only if there is no other.
    pub failed: Option<MemberId>,
}

/// What becomes of a request that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It goes to this member now.
    At(MemberId),
    /// It waits.
    Waits,
    /// The queue is full.
    Refused,
}

/// So many requests ended within a millisecond make a stream.
const STREAM: u32 = 4;

/// How many requests may be in progress at a streaming member.
const AHEAD: usize = 32;

/// How many loops are looked at for one request.
const LOOKS: usize = 4;

/// While something waits, it is looked again after this.
const TICK: Nanos = MILLISECOND;

/// A member whose way was full, or that left something lying, is tried again after this.
const PAUSE: Nanos = MILLISECOND;

/// What was counted of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFigures {
    /// Requests in progress.
    pub in_progress: usize,
    /// Requests that were given to it.
    pub given: u64,
    /// Requests that ended, however.
    pub ended: u64,
}

#[derive(Debug)]
struct Member {
    id: MemberId,
    key: u64,
    figures: RequestFigures,
    /// How many requests ended in the millisecond that began then.
    streak: (Nanos, u32),
    /// The smaller, the longer ago it had its turn.
    turn: u64,
    probed: bool,
    watched: bool,
    /// Gets nothing before this.
    paused_until: Nanos,
}

impl Member {
    fn streams(&self, now: Nanos) -> bool {
        self.streak.1 >= STREAM && now.saturating_sub(self.streak.0) <= 2 * MILLISECOND
    }

    fn has_room(&self, now: Nanos, most: usize) -> bool {
        self.figures.in_progress < most && now >= self.paused_until
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    arrival: Arrival,
    since: Nanos,
}

/// Divides requests over members. It does no I/O and reads no clock.
#[derive(Debug)]
pub struct RequestBalancer {
    settings: RequestSettings,
    members: Vec<Member>,
    waiting: VecDeque<Waiting>,
    waits: Waits,
    turns: u64,
    /// The place that is next in rotation.
    next: usize,
    tick_at: Option<Nanos>,
}

impl RequestBalancer {
    /// A balancer without members.
    pub fn new(settings: RequestSettings) -> Self {
        Self {
            settings,
            members: Vec::new(),
            waiting: VecDeque::new(),
            waits: Waits::default(),
            turns: 0,
            next: 0,
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
        self.members.push(Member {
            id,
            key,
            figures: RequestFigures::default(),
            streak: (0, 0),
            turn: 0,
            probed: false,
            watched: false,
            paused_until: 0,
        });
    }

    /// A worker listens no more. What it has in progress is no longer counted.
    pub fn leave(&mut self, id: MemberId) {
        if let Some(at) = self.members.iter().position(|member| member.id == id) {
            self.members.remove(at);
            // Rotation goes on with the one that has moved into its place.
            if at < self.next {
                self.next -= 1;
            }
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
        self.waiting.push_back(Waiting {
            arrival,
            since: now,
        });
        self.await_turns(now, loops);
        Placed::Waits
    }

    /// A request that was given to a member has not got there: it goes first again. The member
    /// gets nothing for a moment. Its patience counts from `since`.
    pub fn came_back(&mut self, now: Nanos, id: MemberId, arrival: Arrival, since: Nanos) {
        if let Some(member) = self.member(id) {
            member.figures.in_progress = member.figures.in_progress.saturating_sub(1);
            member.figures.given = member.figures.given.saturating_sub(1);
            member.paused_until = now + PAUSE;
        }
        self.waiting.push_front(Waiting { arrival, since });
        self.wake_by(now);
    }

    /// A request is over.
    pub fn ended(&mut self, now: Nanos, id: MemberId) {
        if let Some(member) = self.member(id) {
            member.figures.in_progress = member.figures.in_progress.saturating_sub(1);
            member.figures.ended += 1;
            if now.saturating_sub(member.streak.0) > MILLISECOND {
                member.streak = (now, 0);
            }
            member.streak.1 += 1;
        }
    }

    /// A request that waited is gone.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting
            .retain(|waiting| waiting.arrival.ticket != ticket);
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
        let affine = matches!(
            self.settings.policy,
            RequestPolicy::IpHash | RequestPolicy::Sticky
        );
        for place in 0..self.waiting.len() {
            let waiting = *self.waiting.get(place)?;
            if let Some(at) = self.choose(now, waiting.arrival, loops)
                && let Some(id) = self.give(at)
            {
                self.waiting.remove(place);
                self.waits.record(now.saturating_sub(waiting.since));
                return Some((waiting.arrival, id));
            }
            // Nobody can have the first one; another one may want another member.
            if !affine {
                break;
            }
        }
        self.await_turns(now, loops);
        None
    }

    /// The next request that has waited too long, and waits no more.
    pub fn overdue(&mut self, now: Nanos) -> Option<Arrival> {
        let first = self.waiting.front()?;
        if now < first.since.saturating_add(self.settings.patience) {
            return None;
        }
        self.waiting.pop_front().map(|waiting| waiting.arrival)
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
        self.turns += 1;
        let member = self.members.get_mut(at)?;
        member.turn = self.turns;
        member.figures.in_progress += 1;
        member.figures.given += 1;
        self.next = at + 1;
        Some(member.id)
    }

    fn choose(&mut self, now: Nanos, arrival: Arrival, loops: &mut impl Loops) -> Option<usize> {
        let most = self.settings.max_concurrency;
        let failed = arrival.failed.filter(|_| self.members.len() > 1);
        match self.settings.policy {
            RequestPolicy::RoundRobin => {
                let count = self.members.len();
                (0..count)
                    .map(|step| (self.next + step) % count)
                    .find(|at| {
                        self.members
                            .get(*at)
                            .is_some_and(|it| Some(it.id) != failed && it.has_room(now, most))
                    })
            }
            RequestPolicy::LeastConn => self.least(now, |member| Some(member.id) != failed),
            RequestPolicy::IpHash => {
                let suits = |(_, member): &(usize, &Member)| arrival.client.score(member.key);
                let members = self.members.iter().enumerate();
                let best = members
                    .filter(|(_, member)| Some(member.id) != failed)
                    .max_by_key(suits);
                best.filter(|(_, member)| member.has_room(now, most))
                    .map(|(at, _)| at)
            }
            RequestPolicy::Sticky => {
                let wanted = arrival.wants.and_then(|key| {
                    let is_wanted =
                        |member: &Member| member.key == key && Some(member.id) != failed;
                    self.members.iter().position(is_wanted)
                });
                match wanted {
                    Some(at) => {
                        let member = self.members.get(at)?;
                        member.has_room(now, most).then_some(at)
                    }
                    None => self.available(now, failed, loops),
                }
            }
            RequestPolicy::NextAvailable => self.available(now, failed, loops),
        }
    }

    /// The member with the fewest requests in progress, the longest without a turn first.
    fn least(&self, now: Nanos, suits: impl Fn(&Member) -> bool) -> Option<usize> {
        let most = self.settings.max_concurrency;
        self.members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.has_room(now, most) && suits(member))
            .min_by_key(|(_, member)| (member.figures.in_progress, member.turn))
            .map(|(at, _)| at)
    }

    fn available(
        &mut self,
        now: Nanos,
        failed: Option<MemberId>,
        loops: &mut impl Loops,
    ) -> Option<usize> {
        let most = self.settings.max_concurrency;
        // One without any work is free, unless it is seen to do something of its own.
        let mut order: [Option<(usize, u64, usize)>; LOOKS] = [None; LOOKS];
        for (at, member) in self.members.iter().enumerate() {
            let is_probed = member.probed && member.figures.in_progress > 0;
            if Some(member.id) == failed || is_probed || !member.has_room(now, most) {
                continue;
            }
            let mut candidate = Some((member.figures.in_progress, member.turn, at));
            for place in &mut order {
                if place.is_none() || candidate < *place {
                    std::mem::swap(place, &mut candidate);
                }
                if candidate.is_none() {
                    break;
                }
            }
        }
        let mut idle_but_busy = None;
        for (in_progress, _, at) in order.into_iter().flatten() {
            let Some(member) = self.members.get(at) else {
                continue;
            };
            let (id, streams) = (member.id, member.streams(now));
            if streams && in_progress == 0 {
                return Some(at);
            }
            match loops.look(id) {
                Look::Waiting | Look::Unknown if in_progress == 0 => return Some(at),
                Look::Running if in_progress == 0 => {
                    // It may be about to wait: others are looked at first.
                    idle_but_busy = idle_but_busy.or(Some(at));
                }
                Look::Waiting if !loops.unread(id) => return Some(at),
                _ => {}
            }
            if streams && in_progress < AHEAD {
                return Some(at);
            }
        }
        idle_but_busy.or_else(|| {
            self.least(now, |member| {
                let streams = member.streams(now) && member.figures.in_progress < AHEAD;
                streams && Some(member.id) != failed
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loops that are as a test says.
    #[derive(Default)]
    struct Scripted {
        looks: Vec<(u64, Look)>,
        unread: Vec<u64>,
        probes: Vec<u64>,
    }

    impl Loops for Scripted {
        fn look(&mut self, member: MemberId) -> Look {
            let known = self.looks.iter().find(|(id, _)| *id == member.0);
            known.map_or(Look::Waiting, |(_, look)| *look)
        }

        fn unread(&mut self, member: MemberId) -> bool {
            self.unread.contains(&member.0)
        }

        fn probe(&mut self, member: MemberId) -> bool {
            self.probes.push(member.0);
            true
        }

        fn watch(&mut self, _: MemberId, _: bool) {}
    }

    fn balancer(policy: RequestPolicy, max_concurrency: usize) -> RequestBalancer {
        let mut balancer = RequestBalancer::new(RequestSettings {
            policy,
            max_concurrency,
            queue: 4,
            patience: 1000 * MILLISECOND,
        });
        for id in 0..3 {
            balancer.join(MemberId(id), id);
        }
        balancer
    }

    fn arrival(number: u64) -> Arrival {
        Arrival {
            ticket: Ticket(number),
            client: Client::unknown(number),
            wants: None,
            failed: None,
        }
    }

    #[test]
    fn three_requests_at_once_reach_three_members() {
        for policy in [
            RequestPolicy::NextAvailable,
            RequestPolicy::RoundRobin,
            RequestPolicy::LeastConn,
        ] {
            let mut balancer = balancer(policy, usize::MAX);
            for round in 0..5 {
                let mut reached: Vec<_> = (0..3)
                    .map(|n| balancer.arrive(round, arrival(n), &mut Scripted::default()))
                    .collect();
                reached.sort_by_key(|placed| format!("{placed:?}"));
                let all = [0, 1, 2].map(|id| Placed::At(MemberId(id)));
                assert_eq!(reached, all, "{policy:?}");
                for id in 0..3 {
                    balancer.ended(round, MemberId(id));
                }
            }
        }
    }

    #[test]
    fn while_all_loops_are_busy_requests_wait_and_go_to_the_first_that_frees() {
        let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
        let mut loops = Scripted::default();
        for n in 0..3 {
            balancer.arrive(0, arrival(n), &mut loops);
        }
        loops.looks = [0, 1, 2].map(|id| (id, Look::Running)).to_vec();
        assert_eq!(balancer.arrive(1, arrival(3), &mut loops), Placed::Waits);
        assert_eq!(loops.probes.len(), 3);
        assert!(balancer.next(2, &mut loops).is_none());
        balancer.ended(3, MemberId(1));
        loops.looks[1].1 = Look::Waiting;
        let (first, id) = balancer.next(3, &mut loops).unwrap();
        assert_eq!((first.ticket, id), (Ticket(3), MemberId(1)));
    }

    #[test]
    fn a_loop_that_waits_with_requests_in_progress_is_free_once_it_has_read() {
        let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
        let mut loops = Scripted::default();
        for n in 0..3 {
            balancer.arrive(0, arrival(n), &mut loops);
        }
        loops.unread = vec![0, 1];
        let placed = balancer.arrive(1, arrival(3), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(2)));
    }

    #[test]
    fn a_member_that_streams_is_sent_more_ahead() {
        let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
        let mut loops = Scripted::default();
        for n in 0..3 {
            balancer.arrive(0, arrival(n), &mut loops);
        }
        loops.looks = [0, 1, 2].map(|id| (id, Look::Running)).to_vec();
        for n in 0..4 {
            balancer.ended(n, MemberId(1));
            let placed = balancer.arrive(n, arrival(n), &mut loops);
            assert_eq!(placed, Placed::At(MemberId(1)), "{n}");
        }
        let placed = balancer.arrive(5, arrival(9), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(1)));
    }

    #[test]
    fn max_concurrency_holds_for_every_policy_and_the_queue_is_bounded() {
        for policy in [
            RequestPolicy::NextAvailable,
            RequestPolicy::RoundRobin,
            RequestPolicy::LeastConn,
            RequestPolicy::IpHash,
            RequestPolicy::Sticky,
        ] {
            let mut balancer = balancer(policy, 1);
            let mut loops = Scripted::default();
            let placed: Vec<_> = (0..40)
                .map(|n| balancer.arrive(n, arrival(n), &mut loops))
                .collect();
            assert!(balancer.members().all(|(_, _, it)| it.in_progress <= 1));
            assert_eq!(balancer.waiting(), 4, "{policy:?}");
            assert_eq!(placed.last(), Some(&Placed::Refused));
            assert!(balancer.overdue(10).is_none());
            assert!(balancer.overdue(2000 * MILLISECOND).is_some());
        }
    }

    #[test]
    fn clients_and_cookies_stick() {
        let mut hashed = balancer(RequestPolicy::IpHash, usize::MAX);
        let mut loops = Scripted::default();
        let first = hashed.arrive(0, arrival(7), &mut loops);
        assert_eq!(hashed.arrive(1, arrival(7), &mut loops), first);
        let mut sticky = balancer(RequestPolicy::Sticky, usize::MAX);
        for _ in 0..3 {
            let wants = Arrival {
                wants: Some(2),
                ..arrival(1)
            };
            assert_eq!(sticky.arrive(0, wants, &mut loops), Placed::At(MemberId(2)));
        }
        let gone = Arrival {
            wants: Some(77),
            ..arrival(1)
        };
        assert!(matches!(sticky.arrive(0, gone, &mut loops), Placed::At(_)));
    }

    #[test]
    fn what_a_member_failed_goes_to_another_one() {
        for policy in [
            RequestPolicy::NextAvailable,
            RequestPolicy::RoundRobin,
            RequestPolicy::LeastConn,
            RequestPolicy::IpHash,
            RequestPolicy::Sticky,
        ] {
            let mut balancer = balancer(policy, usize::MAX);
            let mut loops = Scripted::default();
            for id in 0..3 {
                let failed = Arrival {
                    wants: Some(id),
                    failed: Some(MemberId(id)),
                    ..arrival(id)
                };
                let placed = balancer.arrive(0, failed, &mut loops);
                assert_ne!(placed, Placed::At(MemberId(id)), "{policy:?}");
                assert_ne!(placed, Placed::Waits, "{policy:?}");
            }
            balancer.leave(MemberId(1));
            balancer.leave(MemberId(2));
            let last = Arrival {
                failed: Some(MemberId(0)),
                ..arrival(9)
            };
            let placed = balancer.arrive(1, last, &mut loops);
            assert_eq!(placed, Placed::At(MemberId(0)), "{policy:?}");
        }
    }

    #[test]
    fn what_came_back_goes_first_and_elsewhere() {
        let mut balancer = balancer(RequestPolicy::LeastConn, usize::MAX);
        let mut loops = Scripted::default();
        let Placed::At(first) = balancer.arrive(0, arrival(1), &mut loops) else {
            panic!("nobody took it");
        };
        balancer.came_back(1, first, arrival(1), 0);
        let (back, id) = balancer.next(1, &mut loops).unwrap();
        assert_eq!(back.ticket, Ticket(1));
        assert_ne!(id, first);
        let total: usize = balancer.members().map(|(_, _, it)| it.in_progress).sum();
        assert_eq!(total, 1);
    }
}
