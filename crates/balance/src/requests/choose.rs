//! The policies for requests: which member gets the next one, if any can.

use super::member::Member;
use super::{Arrival, Loops, RequestPolicy, RequestSettings};
use crate::turns::{Turns, keep_best};
use crate::{Client, Look, MemberId, Nanos};

/// How many requests may be in progress at a streaming member: the fewest with which throughput is not less than with more.
/// Measured with `maitred-bench requests`, three Bun workers and 64 clients, 8 gave 0.85 of it, 16 0.98, 64 1.01 and 128 0.97.
/// With 200 clients fewer shorten the longest waits (the 99th percentile is 4.9 ms with 16, 9.9 with 32, 14.2 with 64).
const AHEAD: usize = 32;

/// How many loops are looked at for one request, at the most, as for a connection: a look costs a microsecond.
const LOOKS: usize = 4;

/// The member for this request, by its place in `members`, which are in the order in which they
/// joined.
pub(super) fn choose(
    settings: &RequestSettings,
    now: Nanos,
    arrival: Arrival,
    members: &[Member],
    turns: &Turns,
    loops: &mut impl Loops,
) -> Option<usize> {
    let failed = arrival.failed.filter(|_| members.len() > 1);
    let field = Field {
        now,
        most: settings.max_concurrency,
        failed,
        members,
    };
    match settings.policy {
        RequestPolicy::NextAvailable => field.available(loops),
        RequestPolicy::RoundRobin => turns.rotation(members.len()).find(|at| field.may_have(*at)),
        RequestPolicy::LeastConn => field.least(|_| true),
        RequestPolicy::IpHash => field.by_client(arrival.client),
        RequestPolicy::Sticky => match field.named(arrival.wants) {
            Some(at) => field.may_have(at).then_some(at),
            None => field.available(loops),
        },
    }
}

/// The members among whom one is chosen for a request.
struct Field<'a> {
    now: Nanos,
    /// How many requests one may have.
    most: usize,
    /// The one that has failed the request, and gets it no more, as one that is passed over gets none.
    failed: Option<MemberId>,
    members: &'a [Member],
}

impl Field<'_> {
    fn has_failed(&self, member: &Member) -> bool {
        Some(member.id) == self.failed || member.passed_over.now()
    }

    fn has_room(&self, member: &Member) -> bool {
        !self.has_failed(member) && member.has_room(self.now, self.most)
    }

    fn may_have(&self, at: usize) -> bool {
        self.members.get(at).is_some_and(|it| self.has_room(it))
    }

    /// The one that suits the client best, if it can have the request now.
    fn by_client(&self, client: Client) -> Option<usize> {
        let members = self.members.iter().enumerate();
        let (at, _) = members
            .filter(|(_, member)| !self.has_failed(member))
            .max_by_key(|(_, member)| client.score(member.key))?;
        self.may_have(at).then_some(at)
    }

    /// The one that the request names.
    fn named(&self, key: Option<u64>) -> Option<usize> {
        let key = key?;
        let is_named = |member: &Member| member.key == key && !self.has_failed(member);
        self.members.iter().position(is_named)
    }

    /// The one with the fewest requests in progress, the longest without a turn first.
    fn least(&self, suits: impl Fn(&Member) -> bool) -> Option<usize> {
        let members = self.members.iter().enumerate();
        members
            .filter(|(_, member)| self.has_room(member) && suits(member))
            .min_by_key(|(_, member)| (member.figures.in_progress, member.turn))
            .map(|(at, _)| at)
    }

    /// One that is free, as a few looks show, or that streams.
    fn available(&self, loops: &mut impl Loops) -> Option<usize> {
        // One without any work is free, unless it is seen to do something of its own.
        let mut order: [Option<(usize, u64, usize)>; LOOKS] = [None; LOOKS];
        for (at, member) in self.members.iter().enumerate() {
            let is_probed = member.probed && member.figures.in_progress > 0;
            if self.has_room(member) && !is_probed {
                keep_best(&mut order, (member.figures.in_progress, member.turn, at));
            }
        }
        let mut idle_but_busy = None;
        for (in_progress, _, at) in order.into_iter().flatten() {
            let Some(member) = self.members.get(at) else {
                continue;
            };
            // Whatever a look would show, this one gets it: so none is paid for.
            let is_next = in_progress == 0 || idle_but_busy.is_none();
            if is_next && member.streams(self.now) && in_progress < AHEAD {
                return Some(at);
            }
            let id = member.id;
            match loops.look(id) {
                Look::Waiting | Look::Unknown if in_progress == 0 => return Some(at),
                Look::Running | Look::Away if in_progress == 0 => {
                    // It tidies up, waits for a processor, or does something of its own. Others are looked
                    // at first; but none that has something to do is known to be done sooner.
                    idle_but_busy = idle_but_busy.or(Some(at));
                }
                Look::Waiting if !loops.unread(id) => return Some(at),
                Look::Unknown if in_progress < loops.acceptors(id) => return Some(at),
                _ => {}
            }
        }
        idle_but_busy.or_else(|| {
            self.least(|member| member.streams(self.now) && member.figures.in_progress < AHEAD)
        })
    }
}
