//! What the registration has the dispatcher do with listeners and members, each between two events.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use balance::MemberId;
use rustix::io::Errno;

use super::accept;
use super::address::ListenAddress;
use super::channel::Channel;
use super::context::Context;
use super::ids::ListenerId;
use super::listeners::Opened;
use super::members::Member;

/// As many addresses as one app may have.
const MOST_LISTENERS: usize = 512;

/// A socket of ours, which listens already, becomes a listener.
pub(super) fn open(opened: Opened, cx: &mut Context) -> io::Result<ListenerId> {
    if cx.listeners.all.len() >= MOST_LISTENERS || !cx.has_room_for_workers() {
        return Err(Errno::MFILE.into());
    }
    let (id, listener) = cx.listeners.open(opened)?;
    if let Some(port) = listener.address.port() {
        cx.workers.counts.listen_for(port);
    }
    cx.placement.open(id, listener);
    cx.takeover.changed();
    if cx.listeners.closed {
        // It comes too late.
        accept::close_all(cx);
    }
    Ok(id)
}

/// The member whose channel has this cookie.
pub(super) fn member_with(cookie: u64, cx: &Context) -> Option<MemberId> {
    let mut channels = cx.workers.channels.iter();
    let (id, _) = channels.find(|(_, channel)| channel.cookie == cookie)?;
    cx.members.all.contains_key(id).then_some(*id)
}

/// The listener behind the channel with this cookie, and a copy of its socket.
pub(super) fn listener_with(cookie: u64, cx: &Context) -> Option<(ListenerId, OwnedFd)> {
    let id = cx.members.listener_of(member_with(cookie, cx)?)?;
    let listener = cx.listeners.all.get(&id)?;
    let socket = listener.socket.as_fd().try_clone_to_owned().ok()?;
    Some((id, socket))
}

/// The channels that a process has of a listener, with their inodes.
pub(super) fn held_by(
    pid: i32,
    listener: ListenerId,
    cx: &Context,
) -> Vec<(MemberId, Option<u64>)> {
    let listens = |member: &Member| {
        member.listener == listener && (member.joined || member.rests) && member.is_held_by(pid)
    };
    let held = cx.members.all_that(listens);
    let inode = |id: MemberId| cx.workers.channels.get(&id).and_then(Channel::inode);
    held.into_iter().map(|id| (id, inode(id))).collect()
}

/// The processes that listen at an address.
pub(super) fn holders_at(address: &ListenAddress, cx: &Context) -> Vec<i32> {
    let listener = cx.listeners.at(address);
    listener.map_or_else(Vec::new, |listener| cx.members.holders_at(listener))
}

/// Which port that the kernel chooses a worker of `node:cluster` listens on next, and which listener
/// has it.
pub(super) fn place_in_cluster(
    primary: i32,
    pid: i32,
    cx: &mut Context,
) -> Option<((i32, u32), Option<ListenerId>)> {
    let process = cx.members.processes.get_mut(&pid)?;
    let key = (primary, process.any_ports);
    process.any_ports += 1;
    let listener = cx.listeners.clusters.get(&key).copied();
    let listener = listener.filter(|listener| cx.listeners.all.contains_key(listener));
    Some((key, listener))
}
