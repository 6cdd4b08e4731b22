//! Processes that accept from a channel which another one has opened: each gets a channel of its own,
//! so that it is a worker like any other. The one that has opened it rests, until it is seen to accept.

use std::os::fd::OwnedFd;

use balance::{Channels as _, MemberId};
use wire::Address;

use super::context::Context;
use super::members::Caller;
use super::membership::{accepts, adopt, leave, take_in};
use super::registered;

/// What becomes of a process that knows a channel.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) id: MemberId,
    /// Where its listener is.
    pub(super) sockaddr: Address,
    /// Its own end, if it has to put another one in the place of what it has.
    pub(super) end: Option<OwnedFd>,
}

/// What a process does with a channel that it did not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It wants to know where the listener is.
    Names,
    /// It accepts, and may have a channel of its own.
    Parts,
    /// It accepts, and shares what it has; `others` tells that other threads of it do, too.
    Shares { others: bool },
}

/// The processes that have the channel with this cookie, and live, if this one is not among them: then
/// it may have a channel of its own.
pub(super) fn holders_beside(cookie: u64, pid: i32, cx: &Context) -> Vec<i32> {
    let id = registered::member_with(cookie, cx);
    let Some(member) = id.and_then(|id| cx.members.all.get(&id)) else {
        return Vec::new();
    };
    if member.closed || member.is_held_by(pid) {
        return Vec::new();
    }
    let holders = member.holders.iter().map(|holder| holder.pid);
    holders
        .filter(|pid| cx.members.processes.contains_key(pid))
        .collect()
}

/// A process uses the channel with this cookie, which it did not ask for. Its copy is given back if it
/// is no channel.
pub(super) fn uses(
    cookie: u64,
    caller: Caller,
    what: Use,
    theirs: OwnedFd,
    cx: &mut Context,
) -> Result<Adopted, OwnedFd> {
    // Of one that has ended since it asked, nothing would tell any more.
    if !cx.members.is_watched(caller.holder.pid) {
        return Err(theirs);
    }
    let Some(id) = registered::member_with(cookie, cx) else {
        return Err(theirs);
    };
    let named = |sockaddr| Adopted {
        id,
        sockaddr,
        end: None,
    };
    let others = match what {
        Use::Names => {
            cx.registration.put_away(theirs);
            let listener = cx.members.listener_of(id);
            let listener = listener.and_then(|listener| cx.listeners.all.get(&listener));
            return Ok(named(listener.map_or(Address::NONE, |it| it.sockaddr)));
        }
        Use::Parts => match part(id, caller, cx) {
            Some(adopted) => {
                cx.registration.put_away(theirs);
                return Ok(adopted);
            }
            None => false,
        },
        Use::Shares { others } => others,
    };
    Ok(named(adopt(id, caller, others, theirs, cx)))
}

/// A process begins to accept from a channel that another one has, and gets one of its own. None where
/// that cannot be: then both share what they have.
fn part(origin: MemberId, caller: Caller, cx: &mut Context) -> Option<Adopted> {
    let pid = caller.holder.pid;
    let listener = cx.members.listener_of(origin)?;
    let known = cx
        .members
        .all_that(|it| it.origin == Some(origin) && !it.closed && it.is_held_by(pid));
    // Another thread of it has asked for one already, or it has several copies.
    if let Some(id) = known.first() {
        return Some(Adopted {
            id: *id,
            sockaddr: cx.listeners.all.get(&listener)?.sockaddr,
            end: Some(cx.workers.channels.get(id)?.copy()?),
        });
    }
    let (id, sockaddr, end) = take_in(listener, caller, cx).ok()?;
    if let Some(member) = cx.members.all.get_mut(&id) {
        member.origin = Some(origin);
        cx.takeover.changed();
    }
    rest(origin, cx);
    Some(Adopted {
        id,
        sockaddr,
        end: Some(end),
    })
}

/// Others accept in the stead of this one, which gets nothing before it is seen to accept, too.
fn rest(id: MemberId, cx: &mut Context) {
    let Some(member) = cx.members.all.get_mut(&id) else {
        return;
    };
    if member.accepts {
        return;
    }
    member.rests = true;
    cx.takeover.changed();
    leave(id, cx);
    let channel = cx.workers.channels.get_mut(&id);
    if channel.is_some_and(|channel| channel.call()) {
        cx.workers.watch(id, true);
    }
}

/// Something was taken out of a channel. Whether its member rests; one that has taken the probe accepts.
pub(super) fn rests(id: MemberId, cx: &mut Context) -> bool {
    let rests = cx.members.all.get(&id).is_some_and(|member| member.rests);
    let channel = cx.workers.channels.get(&id);
    if rests && channel.is_some_and(|channel| channel.has_answered()) {
        accepts(id, cx);
    }
    rests
}
