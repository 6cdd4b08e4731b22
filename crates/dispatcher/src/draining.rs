//! Workers that drain: what they still do before they end.
//!
//! Nothing new goes to a worker that drains, and what it has not taken goes to others; idle
//! connections move there, too ([`super::given_back`]), and requests in progress come to their end.
//! Where the whole app stops there are no others: listeners are closed, workers serve what has been
//! accepted, and idle connections are closed.

use balance::{MemberId, Nanos};

use super::channel::Channel;
use super::members::Members;
use super::notice::Notice;
use super::notices::Notices;
use super::placement::Placement;
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
    /// The app stops, and no other worker follows. Listeners and idle connections are closed;
    /// what has been accepted is still served. Otherwise these workers get nothing more, and what they
    /// have not taken and idle connections go to others: those that are up, or come up next.
    pub for_good: bool,
    /// Connections are waited for of which it is not known whether a request is in progress, too:
    /// upgraded ones, streams of events, and what is no HTTP.
    pub opaque: bool,
}

/// Process groups that drain, and still have work.
#[derive(Debug, Default)]
pub(super) struct Draining {
    groups: Vec<(Drain, Vec<MemberId>)>,
    look_at: Option<Nanos>,
    pause: Nanos,
}

impl Draining {
    /// These workers drain. A notice follows when they have no work any more.
    pub(super) fn begin(&mut self, now: Nanos, drain: Drain, members: Vec<MemberId>) {
        self.groups.retain(|(other, _)| other.group != drain.group);
        self.groups.push((drain, members));
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
        groups.any(|(drain, members)| drain.for_good && members.contains(&member))
    }

    /// Looks at those that drain when it is time, or when something has changed.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        members: &Members,
        workers: &mut Workers,
        placement: &mut Placement,
        notices: &Notices,
    ) {
        if placement.calls_for_a_look() {
            self.look_at = self.look_at.map(|_| now);
        }
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.groups.retain(|(drain, of_group)| {
            let mut is_busy = false;
            for id in of_group {
                is_busy |= drain.for_good && gets_more(*id, members, workers, placement)
                    || placement.is_busy(*id, drain.opaque, workers);
            }
            let group = drain.group;
            is_busy || !notices.is_heard(Notice::Drained { group })
        });
        self.look_at = (!self.groups.is_empty()).then_some(now + self.pause);
        if placement.looks_are_dear() {
            self.pause = (2 * self.pause).min(LONGEST_LOOK);
        }
    }
}

/// Whether something has been accepted that a member may have, and has not taken.
fn gets_more(id: MemberId, members: &Members, workers: &Workers, placement: &Placement) -> bool {
    let Some(member) = members.all.get(&id).filter(|member| member.joined) else {
        return false;
    };
    let untaken = workers.channels.get(&id).map_or(0, Channel::connections);
    placement.waiting(member.listener) > 0 || untaken > 0
}
