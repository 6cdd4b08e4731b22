//! The policies: which member gets the next connection, if any can.

use super::member::{Basis, Member};
use super::memory::Memory;
use super::{Channels, ConnectionPolicy};
use crate::turns::keep_best;
use crate::{Client, Look, Nanos};

/// How many members are looked at for one connection, at the most: a look costs about a
/// microsecond, and a dispatch shall not cost more because there are more members.
const LOOKS: usize = 4;

/// The member for a connection of this client, by its place in `members`, which are in the order in
/// which they joined.
pub(crate) fn choose<C: Channels>(
    policy: ConnectionPolicy,
    now: Nanos,
    client: Client,
    pressed: bool,
    members: &mut [Member],
    memory: &mut Memory,
    channels: &mut C,
) -> Option<(usize, Basis)> {
    let any = match policy {
        ConnectionPolicy::NextAvailable => {
            let found = look_around(now, members, pressed, memory, channels);
            return found.free().or(found.ahead.map(|at| (at, Basis::Ahead)));
        }
        ConnectionPolicy::RoundRobin => in_turn(now, members, memory, channels),
        ConnectionPolicy::LeastConn => fewest_open(now, members, memory, channels),
        ConnectionPolicy::IpHash => by_client(now, client, members, memory, channels),
    };
    any.map(|at| (at, Basis::Ahead))
}

/// A member that waits for work now, or streams; `None` if a few looks find none.
pub(crate) fn free<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    memory: &mut Memory,
    channels: &mut C,
) -> Option<(usize, Basis)> {
    look_around(now, members, false, memory, channels).free()
}

/// What a few looks have found.
#[derive(Default)]
struct Found {
    /// A member that waits for work.
    free: Option<usize>,
    /// One whose turns are so short that nobody looked.
    streaming: Option<usize>,
    /// One that may be sent a connection ahead of time.
    ahead: Option<usize>,
}

impl Found {
    fn free(&self) -> Option<(usize, Basis)> {
        let free = self.free.map(|at| (at, Basis::Free));
        free.or(self.streaming.map(|at| (at, Basis::Ahead)))
    }
}

/// Looks at a few that are not known to be busy, those with the fewest open connections first,
/// until one is free. When `pressed`, more wait than there are members: then clients that send nothing
/// must not hold up the others.
fn look_around<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    pressed: bool,
    memory: &mut Memory,
    channels: &mut C,
) -> Found {
    let mut found = Found::default();
    let mut silent = None;
    // Somebody is busy with a piece of work, and may come back at any moment.
    let mut busy = members
        .iter()
        .any(|member| member.is_known_busy() || member.is_slow());
    // Nobody tells of a probe that is taken when nothing waits any more: a worker that has taken it
    // long ago must not come after the others for ever.
    for member in members.iter_mut() {
        if member.probed.is_some() && !member.watched {
            member.sync(now, memory, channels);
        }
    }
    for at in likeliest(now, members).into_iter().flatten() {
        let Some(member) = members.get_mut(at) else {
            break;
        };
        if member.is_streaming(now) {
            found.streaming = Some(at);
            break;
        }
        member.sync(now, memory, channels);
        if member.is_streaming(now) {
            found.streaming = Some(at);
            break;
        }
        let rank = match state(now, member, channels) {
            // Nobody can tell: then it is free if it has taken everything.
            Look::Unknown => Rank::Free,
            Look::Away => Rank::Busy,
            Look::Running if member.is_slow() => Rank::Busy,
            Look::Waiting if member.is_settled(now, channels) => Rank::Free,
            // Its client has sent nothing yet, or it is about to read.
            Look::Waiting => Rank::Silent,
            Look::Running if !member.is_settled(now, channels) => Rank::Busy,
            // Without a connection it has nobody to work for: it tidies up, and is back soon.
            Look::Running if member.figures.open == 0 => Rank::Free,
            Look::Running => Rank::Ahead,
        };
        match rank {
            Rank::Free => {
                found.free = Some(at);
                break;
            }
            // Among equals the one whose turn is the longest ago.
            Rank::Ahead => found.ahead = found.ahead.or(Some(at)),
            // What was sent last is the likeliest to be unread.
            Rank::Silent => {
                let took = (member.took_at, at);
                silent = silent.min(Some(took)).or(Some(took));
            }
            Rank::Busy => busy = true,
        }
        member.seen_busy(now);
        member.turn = memory.turns.pass();
    }
    // Rather than to one that may be about to begin something else, the connection goes to whichever
    // is free first: that is known within a moment.
    if !busy || pressed {
        found.ahead = found.ahead.or(silent.map(|(_, at)| at));
    }
    found
}

/// How well a member suits the next connection.
enum Rank {
    Free,
    /// It computes, and is back soon.
    Ahead,
    /// It waits, but has not read what it was given.
    Silent,
    Busy,
}

/// What the member does, as far as it concerns a connection that could be sent to it.
fn state<C: Channels>(now: Nanos, member: &mut Member, channels: &mut C) -> Look {
    if member.probed.is_some() || member.has_staged() {
        // It would have been seen to come back.
        return Look::Away;
    }
    if !member.sent.is_empty() {
        // It has not come to its channel yet. More would wait for one loop.
        return Look::Away;
    }
    let look = channels.look(member.id);
    if member.blocked {
        // It takes no probes: only a look, or time, can clear it.
        match look {
            Look::Waiting => {}
            Look::Unknown if !member.is_just_blocked(now) => {}
            _ => return Look::Away,
        }
        member.blocked = false;
    }
    look
}

/// What stands against a member, the weightiest first: those that are known to be busy come last,
/// but they come, for they may be free by now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    has_work: bool,
    was_busy: bool,
    /// Its open connections; not counted where only its turn shall count.
    open: usize,
    turn: u64,
}

/// The places of up to [`LOOKS`] members that may be free, the best first. Half of them are those
/// with the fewest open connections; the others those whose turn is the longest ago, so that
/// nobody is left out who has many and is free.
fn likeliest(now: Nanos, members: &[Member]) -> [Option<usize>; LOOKS] {
    let mut fewest = [None; LOOKS / 2];
    let mut longest_ago = [None; LOOKS];
    for (at, member) in members.iter().enumerate() {
        if !member.has_room(now) {
            continue;
        }
        if (member.probed.is_some() || member.has_staged()) && member.watched {
            // It is seen when it comes back.
            continue;
        }
        let merit = Merit {
            has_work: member.probed.is_some() || !member.sent.is_empty(),
            was_busy: member.was_busy(now),
            open: member.figures.open,
            turn: member.turn,
        };
        keep_best(&mut fewest, (merit, at));
        keep_best(&mut longest_ago, (Merit { open: 0, ..merit }, at));
    }
    let mut found = [None; LOOKS];
    for (_, at) in fewest.into_iter().chain(longest_ago).flatten() {
        if let Some(place) = found.iter_mut().find(|it| it.is_none_or(|it| it == at)) {
            *place = Some(at);
        }
    }
    found
}

/// The member with the fewest open connections, of those whose channels take anything; among
/// equals the one whose turn is the longest ago.
pub(crate) fn fewest_open<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    memory: &mut Memory,
    channels: &mut C,
) -> Option<usize> {
    members
        .iter_mut()
        .enumerate()
        .filter_map(|(at, member)| {
            takes_more(now, member, memory, channels).then_some((
                member.figures.open,
                member.turn,
                at,
            ))
        })
        .min()
        .map(|(_, _, at)| at)
}

/// The next in rotation whose channel takes anything.
fn in_turn<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    memory: &mut Memory,
    channels: &mut C,
) -> Option<usize> {
    memory.turns.rotation(members.len()).find(|at| {
        members
            .get_mut(*at)
            .is_some_and(|member| takes_more(now, member, memory, channels))
    })
}

/// The member that suits the client best, of those whose channels take anything.
fn by_client<C: Channels>(
    now: Nanos,
    client: Client,
    members: &mut [Member],
    memory: &mut Memory,
    channels: &mut C,
) -> Option<usize> {
    members
        .iter_mut()
        .enumerate()
        .filter_map(|(at, member)| {
            takes_more(now, member, memory, channels).then(|| (client.score(member.key), at))
        })
        .max()
        .map(|(_, at)| at)
}

fn takes_more<C: Channels>(
    now: Nanos,
    member: &mut Member,
    memory: &mut Memory,
    channels: &mut C,
) -> bool {
    if !member.has_room(now) {
        member.sync(now, memory, channels);
    }
    member.has_room(now)
}
