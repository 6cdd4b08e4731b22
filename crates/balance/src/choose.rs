//! The policies: which member gets the next connection, if any can.

use crate::member::Member;
use crate::{Channels, Look, Nanos, Policy};

/// How many members are looked at for one connection, at the most: a look costs about a
/// microsecond, and a dispatch shall not cost more because there are more members.
const LOOKS: usize = 4;

/// The member for the next connection, by its place in `members`, which are in the order in
/// which they joined. `next` is the place whose turn it is under [`Policy::RoundRobin`].
pub(crate) fn choose<C: Channels>(
    policy: Policy,
    now: Nanos,
    members: &mut [Member],
    next: usize,
    channels: &mut C,
) -> Option<usize> {
    match policy {
        Policy::NextAvailable => match looked_at(now, members, channels) {
            Looked::Free(at) => Some(at),
            Looked::NoneFree(away) => ahead(now, members, &away),
        },
        Policy::RoundRobin => in_turn(now, members, next, channels),
    }
}

/// A member that waits for work now; `None` if a few looks find none.
pub(crate) fn free<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    channels: &mut C,
) -> Option<usize> {
    match looked_at(now, members, channels) {
        Looked::Free(at) => Some(at),
        Looked::NoneFree(_) => None,
    }
}

enum Looked {
    Free(usize),
    /// None was seen to be free; these wait for something else than work.
    NoneFree([Option<usize>; LOOKS]),
}

/// Looks at those whose turn is the longest ago.
fn looked_at<C: Channels>(now: Nanos, members: &mut [Member], channels: &mut C) -> Looked {
    let mut away = [None; LOOKS];
    for (at, note) in longest_ago(now, members).into_iter().zip(&mut away) {
        let Some((at, member)) = at.and_then(|at| Some((at, members.get_mut(at)?))) else {
            break;
        };
        member.sync(now, channels);
        if !member.sent.is_empty() || member.probed {
            continue;
        }
        let look = channels.look(member.id);
        if member.blocked {
            // It can have no probe: only a look, or time, can clear it.
            let cleared =
                look == Look::Waiting || (look == Look::Unknown && !member.is_just_blocked(now));
            if !cleared {
                continue;
            }
            member.blocked = false;
        }
        match look {
            // Nobody can tell: then what it has taken counts.
            Look::Waiting | Look::Unknown => return Looked::Free(at),
            Look::Running => {}
            Look::Away => *note = Some(at),
        }
    }
    Looked::NoneFree(away)
}

/// The places of up to [`LOOKS`] members that may be free, the longest without a turn first.
fn longest_ago(now: Nanos, members: &[Member]) -> [Option<usize>; LOOKS] {
    let mut found: [Option<(u64, usize)>; LOOKS] = [None; LOOKS];
    for (at, member) in members.iter().enumerate() {
        if !member.has_room(now) || (member.is_slow(now) && member.is_fresh(now)) {
            continue;
        }
        // Those that are known to be busy come last, but they come: they may be free by now.
        let busy = member.blocked || member.probed || !member.sent.is_empty();
        let mut candidate = Some((u64::from(busy) << 63 | member.turn, at));
        for place in &mut found {
            if place.is_none() || candidate < *place {
                std::mem::swap(place, &mut candidate);
            }
            if candidate.is_none() {
                break;
            }
        }
    }
    found.map(|found| found.map(|(_, at)| at))
}

/// The member to send to ahead of time: the quick one with the least in its channel.
fn ahead(now: Nanos, members: &[Member], away: &[Option<usize>; LOOKS]) -> Option<usize> {
    members
        .iter()
        .enumerate()
        .filter(|(at, member)| {
            !member.blocked
                && !member.is_slow(now)
                && member.has_room(now)
                && !away.contains(&Some(*at))
        })
        .min_by_key(|(_, member)| (member.sent.len(), member.turn))
        .map(|(at, _)| at)
}

/// The next in rotation whose channel takes anything.
fn in_turn<C: Channels>(
    now: Nanos,
    members: &mut [Member],
    next: usize,
    channels: &mut C,
) -> Option<usize> {
    let count = members.len();
    (0..count).map(|step| (next + step) % count).find(|at| {
        members.get_mut(*at).is_some_and(|member| {
            if !member.has_room(now) {
                member.sync(now, channels);
            }
            member.has_room(now)
        })
    })
}
