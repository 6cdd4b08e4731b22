//! How workers become members of a listener, and leave it: each time the listener, its members and
//! the placement change together.

use std::io;
use std::os::fd::OwnedFd;

use balance::{Channels as _, MemberId};
use rustix::io::Errno;
use wire::Address;

use super::channel::Channel;
use super::context::Context;
use super::endpoint::Endpoint;
use super::given_back;
use super::ids::ListenerId;
use super::loop_probe::LoopProbe;
use super::members::{Caller, Holder, Member};
use super::notice::Notice;
use super::takeover;
use telemetry::events::Event;

/// As many listening sockets as the library remembers of one process.
const MOST_OF_ONE: usize = 256;

/// Of the connections that may end with a worker, the clients of this many are named.
const CUT_TOLD: usize = 256;

/// Gives a worker a channel, and a place behind the listener, whose address comes along. One that has ended
/// since it asked gets none: nothing would tell of its end any more.
pub(super) fn take_in(
    listener: ListenerId,
    caller: Caller,
    cx: &mut Context,
) -> io::Result<(MemberId, Address, OwnedFd)> {
    let Some(it) = cx.listeners.all.get(&listener) else {
        return Err(Errno::ADDRNOTAVAIL.into());
    };
    let sockaddr = it.sockaddr;
    let pid = caller.holder.pid;
    if !cx.members.is_watched(pid) {
        return Err(Errno::SRCH.into());
    }
    let members = cx.members.all.values();
    let of_one = members.filter(|member| member.is_held_by(pid)).count();
    if of_one >= MOST_OF_ONE || !cx.has_room_for_workers() {
        return Err(Errno::MFILE.into());
    }
    let (id, theirs) = add(listener, caller, cx)?;
    join(id, cx);
    // Before the worker hears of it: one that has a channel is known, whenever its supervisor is killed.
    takeover::note(cx);
    Ok((id, sockaddr, theirs))
}

/// Makes a channel for a worker; the end for it comes back.
fn add(listener: ListenerId, caller: Caller, cx: &mut Context) -> io::Result<(MemberId, OwnedFd)> {
    let Holder { pid, tid } = caller.holder;
    let id = cx.members.next_id();
    let (mut channel, theirs) = Channel::new(id)?;
    let inode = rustix::fs::fstat(&theirs)?.st_ino;
    channel.loop_probe = LoopProbe::new(pid, tid, caller.fd, inode);
    let blind = !channel.loop_probe.is_readable();
    let lacks_descriptor = channel.loop_probe.lacks_descriptor();
    cx.workers.add(id, channel)?;
    cx.members.add(id, listener, caller);
    cx.takeover.changed();
    if lacks_descriptor {
        cx.notices.remind_of_descriptors(None);
    } else if blind {
        cx.notices.tell(Event::Blind { pid });
    }
    Ok((id, theirs))
}

/// A process accepts from a channel that it did not ask for, or with another thread; `others` tells
/// that other threads of it do, too. The address of its listener.
pub(super) fn adopt(
    id: MemberId,
    caller: Caller,
    others: bool,
    theirs: OwnedFd,
    cx: &mut Context,
) -> Address {
    if let (Some(member), Some(channel)) = (
        cx.members.all.get_mut(&id),
        cx.workers.channels.get_mut(&id),
    ) {
        // The process that listened may have left it to this one.
        let processes = &cx.members.processes;
        member
            .holders
            .retain(|holder| processes.contains_key(&holder.pid));
        hold(member, channel, caller, others, theirs);
        cx.takeover.changed();
        accepts(id, cx);
        join(id, cx);
    }
    let listener = cx.members.listener_of(id);
    let listener = listener.and_then(|listener| cx.listeners.all.get(&listener));
    listener.map_or(Address::NONE, |listener| listener.sockaddr)
}

fn hold(member: &mut Member, channel: &mut Channel, caller: Caller, others: bool, theirs: OwnedFd) {
    let Caller { holder, fd, .. } = caller;
    let same = |other: &Holder| other.pid == holder.pid;
    if member.closed {
        // The process that listened has left it to this one.
        member.closed = false;
        member.holders.clear();
    }
    if !others && member.holders.iter().all(same) {
        member.holders = vec![holder];
        let inode = rustix::fs::fstat(&theirs).map_or(0, |stat| stat.st_ino);
        channel.loop_probe = LoopProbe::new(holder.pid, holder.tid, fd, inode);
    } else {
        // Several accept: whether one of them is free tells nothing of the rest.
        if !member.holders.iter().any(same) {
            member.holders.push(holder);
        }
        channel.loop_probe = LoopProbe::blind();
    }
    channel.acceptors = member.holders.len();
    channel.hold(theirs);
}

/// It is known now that a member accepts.
pub(super) fn accepts(id: MemberId, cx: &mut Context) {
    if let Some(member) = cx.members.all.get_mut(&id)
        && !std::mem::replace(&mut member.accepts, true)
    {
        cx.takeover.changed();
    }
    rise(id, cx);
}

/// One that has rested, since others accepted in its stead, is a worker again.
fn rise(id: MemberId, cx: &mut Context) {
    let member = cx.members.all.get_mut(&id);
    if member.is_some_and(|member| std::mem::take(&mut member.rests)) {
        cx.workers.watch(id, false);
        join(id, cx);
    }
}

/// Lets a member be given connections or requests.
pub(super) fn join(id: MemberId, cx: &mut Context) {
    let now = cx.clock.now();
    let Some(member) = cx.members.all.get(&id) else {
        return;
    };
    let Some(listener) = cx.listeners.all.get_mut(&member.listener) else {
        return;
    };
    if member.joined || cx.members.is_retired(member) {
        return;
    }
    let (at, place) = (member.listener, member.place);
    let is_unwell = cx.members.is_unwell(member);
    listener.closing = None;
    listener.unused = false;
    listener.joined += 1;
    listener.worker_came(at, &cx.listeners.epoll);
    cx.placement.join(now, at, id, place, &mut cx.workers);
    if is_unwell {
        cx.placement.set_well(now, at, id, false, &mut cx.workers);
    }
    cx.notices.tell(Notice::Listening {
        member: id,
        pid: member.pid().unwrap_or(0),
        instance: member.place.instance,
        address: listener.address.clone(),
        chosen: listener.chosen,
        members: listener.joined,
    });
    if let Some(member) = cx.members.all.get_mut(&id) {
        member.joined = true;
    }
    cx.takeover.changed();
}

/// A member is given nothing any more, and what it has not taken goes to others.
pub(super) fn leave(id: MemberId, cx: &mut Context) {
    let now = cx.clock.now();
    let member = cx.members.all.get_mut(&id);
    let Some(member) = member.filter(|member| member.joined) else {
        return;
    };
    member.joined = false;
    cx.takeover.changed();
    let Some(listener) = cx.listeners.all.get_mut(&member.listener) else {
        return;
    };
    listener.joined = listener.joined.saturating_sub(1);
    let figures = cx
        .placement
        .leave(now, member.listener, id, &mut cx.workers);
    // One that has only opened the listener for others is no worker that was.
    if !member.rests || figures.dispatched > 0 {
        let past = listener.past.entry(member.place).or_default();
        past.dispatched += figures.dispatched;
        past.taken_back += figures.taken_back;
    }
    let cut = cx.workers.counts.cut(id).take(CUT_TOLD);
    let cut = cut.filter_map(Endpoint::peer).collect();
    cx.notices.tell(Notice::Left {
        member: id,
        pid: member.pid().unwrap_or(0),
        instance: member.place.instance,
        address: listener.address.clone(),
        members: listener.joined,
        cut,
    });
    if let Some(origin) = member.origin
        && !cx.members.has_heirs(origin)
    {
        rise(origin, cx);
    }
}

/// Sets whether the workers of a process group are well.
pub(super) fn set_well(group: i32, well: bool, cx: &mut Context) {
    let now = cx.clock.now();
    for id in cx.members.set_well(group, well) {
        let joined = cx.members.all.get(&id).filter(|member| member.joined);
        if let Some(listener) = joined.map(|member| member.listener) {
            cx.placement
                .set_well(now, listener, id, well, &mut cx.workers);
        }
    }
}

/// The workers of a process group are to end: they get nothing any more.
pub(super) fn retire(group: i32, cx: &mut Context) {
    for id in cx.members.retire(group) {
        leave(id, cx);
    }
}

/// No process holds a member's end any more: what it has given back goes to others, and its channel
/// is closed.
pub(super) fn remove(id: MemberId, cx: &mut Context) -> Option<Member> {
    leave(id, cx);
    cx.takeover.changed();
    given_back::take_last(id, cx);
    if let Some(channel) = cx.workers.channels.remove(&id) {
        channel
            .into_ends()
            .for_each(|end| cx.registration.put_away(end));
    }
    cx.workers.counts.forget(id);
    cx.members.remove(id)
}
