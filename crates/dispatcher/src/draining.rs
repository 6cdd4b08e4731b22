//! Workers that drain: what they still do before they end.
//!
//! Nothing new goes to a worker that drains, and what it has not taken goes to others; idle
//! connections move there, too ([`super::give_back`]), and requests in progress come to their end. Where
//! the whole app stops there are no others: listeners are closed, workers serve what has been accepted,
//! and idle connections are closed.

use std::collections::HashSet;

use balance::{MemberId, Nanos};

use super::turn::Turn;
use super::{Drain, Notice};

/// How often the dispatcher looks whether draining workers have answered their requests.
const LOOK: Nanos = 5_000_000;

/// Where connections are placed, a worker's library is asked for its idle ones each time, and the
/// kernel for those that have ended. That costs more, so the pause grows up to this.
const LONGEST_LOOK: Nanos = 320_000_000;

/// Process groups that drain, and still have work.
#[derive(Debug, Default)]
pub(super) struct Draining {
    groups: Vec<(Drain, Vec<MemberId>)>,
    look_at: Option<Nanos>,
    pause: Nanos,
}

impl Draining {
    /// When those that drain are looked at next.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.look_at
    }

    /// They are looked at soon, if there are any: something has changed.
    pub(super) fn hurry(&mut self, now: Nanos) {
        self.look_at = self.look_at.map(|_| now);
    }
}

impl Turn {
    /// The workers of a process group drain. A notice follows when they have no work any more.
    pub(super) fn drain(&mut self, drain: Drain) {
        if drain.for_good {
            // Whoever is served already can take what has come before.
            self.close();
        } else {
            self.retire(drain.group);
        }
        let members = self.members_in(&HashSet::from([drain.group]));
        for member in &members {
            self.forget_standing(*member);
        }
        let groups = &mut self.draining.groups;
        groups.retain(|(other, _)| other.group != drain.group);
        groups.push((drain, members));
        self.draining.look_at = Some(self.now());
        self.draining.pause = LOOK;
    }

    pub(super) fn look_at_draining(&mut self) {
        let now = self.now();
        if self.draining.look_at.is_none_or(|at| at > now) {
            return;
        }
        let mut groups = std::mem::take(&mut self.draining.groups);
        groups.retain(|(drain, members)| {
            let mut is_busy = false;
            for member in members {
                is_busy |= self.is_busy(*member, *drain);
            }
            let group = drain.group;
            is_busy || !self.is_heard(Notice::Drained { group })
        });
        self.draining.look_at = (!groups.is_empty()).then_some(now + self.draining.pause);
        self.draining.groups = groups;
        if self.proxy.is_none() {
            self.draining.pause = (2 * self.draining.pause).min(LONGEST_LOOK);
        }
    }

    /// Whether a member of this group closes its connections, since the app stops.
    pub(super) fn ends_for_good(&self, member: MemberId) -> bool {
        let mut groups = self.draining.groups.iter();
        groups.any(|(drain, members)| drain.for_good && members.contains(&member))
    }

    /// Whether a member that drains has something to do. What it can give away, it is asked for.
    fn is_busy(&mut self, id: MemberId, drain: Drain) -> bool {
        if drain.for_good && self.gets_more(id) {
            return true;
        }
        if let Some(proxy) = &self.proxy {
            return proxy.awaits(id, drain.opaque);
        }
        if self.workers.counts.of(id).next().is_none() {
            return false;
        }
        self.workers.counts.recheck(id);
        let may_be_busy = self.may_be_busy(id);
        if may_be_busy || drain.opaque {
            self.ask_back(id);
        }
        may_be_busy || drain.opaque
    }

    /// Whether something has been accepted that this member may have, and has not taken.
    fn gets_more(&self, id: MemberId) -> bool {
        let Some(member) = self.members.get(&id).filter(|member| member.joined) else {
            return false;
        };
        let listener = self.listeners.all.get(&member.listener);
        let waiting = match &self.proxy {
            Some(proxy) => proxy.waiting(member.listener.0),
            None => listener.map_or(0, |listener| listener.balancer.waiting()),
        };
        let channel = self.workers.channels.get(&id);
        waiting > 0 || channel.is_some_and(|channel| channel.connections() > 0)
    }
}
