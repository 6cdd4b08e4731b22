//! What becomes of members and listeners when workers close a channel, or end.

use std::os::fd::OwnedFd;

use balance::{MemberId, Nanos};

use super::address::ListenAddress;
use super::context::Context;
use super::figures;
use super::ids::ListenerId;
use super::listeners::{Closing, HeldBy};
use super::members::Watch;
use super::membership::{leave, remove};
use super::registration_events::RegistrationEvent;

/// A listener that its last worker closed is kept for this time, to see whether the worker ends.
const CLOSING: Nanos = 3_000_000_000;

/// A worker whose close was not seen (Bun closes some sockets by itself) may be about to end: the
/// kernel closes its files before it tells of the end, within milliseconds, on a busy machine more.
const ENDING: Nanos = 200_000_000;

/// Watches over a process, so that its end is seen. `false` if it cannot be watched, or too many
/// are.
pub(super) fn watch_process(pid: i32, pidfd: OwnedFd, cx: &mut Context) -> bool {
    match cx.members.watch_over(pid) {
        Watch::Lives => return true,
        // The number belongs to another process by now.
        Watch::Ended => process_ended(pid, cx),
        Watch::Unknown => {}
    }
    cx.has_room_for_workers() && cx.members.watch(pid, pidfd)
}

/// A process has ended: its channels go to others that hold them, or end.
pub(super) fn process_ended(pid: i32, cx: &mut Context) {
    cx.members.processes.remove(&pid);
    cx.registration.tell(RegistrationEvent::Ended(pid));
    for id in cx.members.all_that(|member| member.is_held_by(pid)) {
        if !still_accept(id, pid, cx) {
            leave(id, cx);
            inherit(id, cx);
        }
    }
}

/// A worker closes a channel.
pub(super) fn closed(id: MemberId, pid: i32, cx: &mut Context) {
    if still_accept(id, pid, cx) {
        return;
    }
    if let Some(member) = cx.members.all.get_mut(&id) {
        member.closed = true;
        cx.takeover.changed();
        leave(id, cx);
        inherit(id, cx);
    }
}

/// Whether others still accept from a channel that one process leaves.
fn still_accept(id: MemberId, pid: i32, cx: &mut Context) -> bool {
    let Some(member) = cx.members.all.get_mut(&id) else {
        return false;
    };
    if member.holders.iter().all(|holder| holder.pid == pid) {
        return false;
    }
    member.holders.retain(|holder| holder.pid != pid);
    cx.takeover.changed();
    if let Some(channel) = cx.workers.channels.get_mut(&id) {
        channel.acceptors = member.holders.len();
    }
    true
}

/// The processes that had a channel are gone. One that inherited it may serve in their stead: it is
/// known as soon as it accepts. One that does not, holds the channel and nothing else.
pub(super) fn inherit(id: MemberId, cx: &mut Context) {
    let Some(channel) = cx.workers.channels.get_mut(&id) else {
        return;
    };
    cx.takeover.changed();
    if channel.release() {
        channel.call_heirs();
    } else {
        hung_up(id, cx);
    }
}

/// No process holds the worker's end of a channel any more.
pub(super) fn hung_up(id: MemberId, cx: &mut Context) {
    let Some(member) = remove(id, cx) else {
        return;
    };
    // As long as any process holds a listener it is open.
    if cx.members.has_any_at(member.listener) {
        return;
    }
    let now = cx.clock.now();
    let awaited = cx.listeners.awaited;
    let listener = cx.listeners.all.get_mut(&member.listener);
    let ends = listener
        .as_ref()
        .is_some_and(|listener| listener.shut || listener.unused);
    if ends || member.closed && !awaited {
        give_up(member.listener, cx);
    } else if let Some(listener) = listener {
        listener.closing = Some(Closing {
            at: now + if awaited { CLOSING } else { ENDING },
            by: member.pid().unwrap_or(0),
        });
    }
}

/// Ends a listener, and its members with it.
fn give_up(id: ListenerId, cx: &mut Context) {
    if cx.listeners.closed {
        let figures = figures::of(id, cx);
        cx.listeners.ended.extend(figures);
    }
    if let Some(listener) = cx.listeners.all.get(&id) {
        listener.end();
    }
    cx.listeners.remove(id);
    cx.takeover.changed();
    cx.registration.tell(RegistrationEvent::Closed(id));
    cx.placement.close(id);
    for member in cx.members.all_that(|member| member.listener == id) {
        remove(member, cx);
    }
}

/// Ends a listener that no process has. Whether it was one.
pub(super) fn give_up_empty(id: ListenerId, cx: &mut Context) -> bool {
    let is_empty = !cx.members.has_any_at(id);
    if is_empty {
        give_up(id, cx);
    }
    is_empty
}

/// Ends those listeners that their last worker has closed, and that it lives on without.
pub(super) fn give_up_overdue(now: Nanos, cx: &mut Context) {
    for (id, closing) in cx.listeners.take_overdue(now) {
        if cx.members.processes.contains_key(&closing.by) {
            give_up(id, cx);
        }
    }
}

/// Ends those listeners at a port, at any address, that are kept open for a successor only. Whether
/// there were any. Those at which another process listens, too, would free no port.
pub(super) fn give_up_closed(port: u16, cx: &mut Context) -> bool {
    let closed = cx.listeners.all_that(|listener| {
        let is_kept = listener.closing.is_some() && listener.held_by != HeldBy::Lender;
        is_kept && listener.address.port() == Some(port)
    });
    for id in &closed {
        give_up(*id, cx);
    }
    !closed.is_empty()
}

/// Ends a listener whose owners are gone. One that a process still holds ends with that.
pub(super) fn close_unused(address: &ListenAddress, cx: &mut Context) {
    let Some(id) = cx.listeners.at(address) else {
        return;
    };
    if give_up_empty(id, cx) {
        return;
    }
    if let Some(listener) = cx.listeners.all.get_mut(&id)
        && listener.joined == 0
    {
        listener.unused = true;
    }
}
