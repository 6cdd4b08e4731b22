//! Workers that drain: what they still do before they end.
//!
//! Nothing new goes to a worker that drains, and what it has not taken goes to others; idle
//! connections move there, too ([`super::given_back`]), and requests in progress come to their end.
//! Where the whole app stops there are no others: listeners are closed, workers serve what has been
//! accepted, and idle connections are closed.

use std::collections::BTreeSet;

use balance::{MemberId, Nanos};

use super::channel::Channel;
use super::ids::ListenerId;
use super::members::Members;
use super::notice::Notice;
use super::notices::Notices;
use super::placement::{Awaited, Placement};
use super::workers::Workers;

/// How often the dispatcher looks whether draining workers have answered their requests.
const LOOK: Nanos = 5_000_000;

/// Where connections are placed, a worker's library is asked for its idle ones each time, and the
/// kernel for those that have ended. That costs more, so the pause grows up to this.
const LONGEST_LOOK: Nanos = 320_000_000;

/// Workers that drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Their process group.
    pub group: i32,
    /// The app stops, and no other worker follows. Listeners and idle connections are closed; what has been
    /// accepted is still served, also over a connection whose first request comes soon. Otherwise these workers
    /// get nothing more, and what they have not taken and idle connections go to others: those that are up, or
    /// come up next.
    pub for_good: bool,
    /// Connections are waited for of which it is not known whether a request is in progress, too:
    /// upgraded ones, streams of events, and what is no HTTP.
    pub opaque: bool,
}

/// A process group that drains.
#[derive(Debug)]
struct Group {
    drain: Drain,
    members: Vec<MemberId>,
    /// A request that one of them had to answer when this was last asked.
    awaited: Option<Awaited>,
}

/// Process groups that drain, and still have work.
#[derive(Debug, Default)]
pub(super) struct Draining {
    groups: Vec<Group>,
    look_at: Option<Nanos>,
    pause: Nanos,
}

impl Draining {
    /// These workers drain. A notice follows when they have no work any more.
    pub(super) fn begin(&mut self, now: Nanos, drain: Drain, members: Vec<MemberId>) {
        self.groups.retain(|other| other.drain.group != drain.group);
        self.groups.push(Group {
            drain,
            members,
            awaited: None,
        });
        self.look_at = Some(now);
        self.pause = LOOK;
    }

    /// When [`Self::look`] is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.look_at
    }

    /// Whether a member of this group closes its connections, since the app stops.
    pub(super) fn ends_for_good(&self, member: MemberId) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| group.drain.for_good && group.members.contains(&member))
    }

    /// Looks at those that drain when it is time, or when something has changed. Returns the groups that have no work
    /// any more while their app stops: they are about to end, and should get nothing while others are there.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        members: &Members,
        workers: &mut Workers,
        placement: &mut Placement,
        notices: &Notices,
    ) -> Vec<i32> {
        if placement.calls_for_a_look() {
            self.look_at = self.look_at.map(|_| now);
        }
        if self.look_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut done = Vec::new();
        let awaiting = self.awaiting(members, placement);
        self.groups.retain_mut(|group| {
            let drain = group.drain;
            let gets_more = |id: &MemberId| {
                drain.for_good && gets_more(*id, &awaiting, members, workers, placement)
            };
            let of_group = group.members.iter().copied();
            let others: Vec<_> = of_group.filter(|id| !gets_more(id)).collect();
            let awaited = &mut group.awaited;
            let is_busy = placement.is_busy(&others, drain.opaque, awaited, members, workers)
                || others.len() < group.members.len();
            let group = drain.group;
            let goes_on = is_busy || !notices.is_heard(Notice::Drained { group });
            if !goes_on && drain.for_good {
                done.push(group);
            }
            goes_on
        });
        self.look_at = (!self.groups.is_empty()).then_some(now + self.pause);
        if placement.looks_are_dear() {
            self.pause = (2 * self.pause).min(LONGEST_LOOK);
        }
        done
    }

    /// The listeners of an app that stops whose clients are about to ask for something.
    fn awaiting(&self, members: &Members, placement: &Placement) -> BTreeSet<ListenerId> {
        let stopping = self.groups.iter().filter(|group| group.drain.for_good);
        let ending = stopping.flat_map(|group| &group.members);
        let listeners = ending.filter_map(|id| members.listener_of(*id));
        let mut listeners: BTreeSet<_> = listeners.collect();
        // All clients are looked at for that: once for each listener.
        listeners.retain(|id| placement.awaits_first_requests(*id));
        listeners
    }
}

/// Whether something has been accepted that a member may have, and has not taken, or is about to arrive.
fn gets_more(
    id: MemberId,
    awaiting: &BTreeSet<ListenerId>,
    members: &Members,
    workers: &Workers,
    placement: &Placement,
) -> bool {
    let Some(member) = members.all.get(&id).filter(|member| member.joined) else {
        return false;
    };
    let untaken = workers.channels.get(&id).map_or(0, Channel::connections);
    placement.waiting(member.listener) > 0 || untaken > 0 || awaiting.contains(&member.listener)
}
