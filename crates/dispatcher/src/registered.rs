//! What the registration has the dispatcher do with listeners and members, each between two events.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use balance::MemberId;
use rustix::io::Errno;
use wire::Address;

use super::address::ListenAddress;
use super::channel::Channel;
use super::ids::ListenerId;
use super::listeners::{Listener, Opened};
use super::members::Caller;
use super::turn::Turn;

/// As many listening sockets as the library remembers of one process.
const MOST_OF_ONE: usize = 256;

/// As many addresses as one app may have.
const MOST_LISTENERS: usize = 512;

impl Turn {
    /// A socket of ours, which listens already, becomes a listener.
    pub(super) fn open(&mut self, opened: Opened) -> io::Result<ListenerId> {
        if self.listeners.all.len() >= MOST_LISTENERS || !self.has_room() {
            return Err(Errno::MFILE.into());
        }
        let id = ListenerId(self.next_id());
        let listener = Listener {
            socket: opened.socket,
            cookie: opened.cookie,
            linger: opened.linger,
            address: opened.address,
            sockaddr: opened.sockaddr,
            balancer: balance::Balancer::new(self.balance),
            accepting: false,
            shut: false,
            closing: None,
            chosen: opened.chosen,
            unused: false,
            refused: 0,
            accepted: 0,
            past: BTreeMap::new(),
        };
        self.add_listener(id, listener)?;
        if self.closed {
            // It comes too late.
            self.close();
        }
        Ok(id)
    }

    /// Gives a worker a channel, and a place behind the listener, whose address comes along.
    pub(super) fn take_in(
        &mut self,
        listener: ListenerId,
        caller: Caller,
    ) -> io::Result<(MemberId, Address, OwnedFd)> {
        let Some(it) = self.listeners.all.get(&listener) else {
            return Err(Errno::ADDRNOTAVAIL.into());
        };
        let sockaddr = it.sockaddr;
        let pid = caller.holder.pid;
        let of_one = self
            .members
            .values()
            .filter(|member| member.is_held_by(pid));
        if of_one.count() >= MOST_OF_ONE || !self.has_room() {
            return Err(Errno::MFILE.into());
        }
        let (id, theirs) = self.add_member(listener, caller)?;
        self.join(id);
        Ok((id, sockaddr, theirs))
    }

    /// The member whose channel has this cookie.
    pub(super) fn member_with(&self, cookie: u64) -> Option<MemberId> {
        let mut channels = self.workers.channels.iter();
        let (id, _) = channels.find(|(_, channel)| channel.cookie == cookie)?;
        self.members.contains_key(id).then_some(*id)
    }

    /// A process accepts from a channel that it did not ask for, or with another thread. The address
    /// of its listener.
    pub(super) fn adopt(
        &mut self,
        id: MemberId,
        caller: Caller,
        others: bool,
        theirs: OwnedFd,
    ) -> Address {
        self.hold(id, caller, others, theirs);
        let listener = self.members.get(&id).map(|member| member.listener);
        let listener = listener.and_then(|listener| self.listeners.all.get(&listener));
        listener.map_or(Address::NONE, |listener| listener.sockaddr)
    }

    /// The listener behind the channel with this cookie, and a copy of its socket.
    pub(super) fn listener_with(&self, cookie: u64) -> Option<(ListenerId, OwnedFd)> {
        let id = self.members.get(&self.member_with(cookie)?)?.listener;
        let listener = self.listeners.all.get(&id)?;
        let socket = listener.socket.as_fd().try_clone_to_owned().ok()?;
        Some((id, socket))
    }

    /// The channels that a process has of a listener, with their inodes.
    pub(super) fn held_by(&self, pid: i32, listener: ListenerId) -> Vec<(MemberId, Option<u64>)> {
        let members = self.members.iter().filter(|(_, member)| {
            member.listener == listener && member.joined && member.is_held_by(pid)
        });
        members
            .map(|(id, _)| (*id, self.workers.channels.get(id).and_then(Channel::inode)))
            .collect()
    }

    /// The processes that listen at an address.
    pub(super) fn holders_at(&self, address: &ListenAddress) -> Vec<i32> {
        let listener = self.listeners.at(address);
        let members = self.members.values();
        members
            .filter(|member| Some(member.listener) == listener && member.joined)
            .flat_map(|member| member.holders.iter().map(|holder| holder.pid))
            .collect()
    }

    /// Which port that the kernel chooses a worker of `node:cluster` listens on next, and who has it.
    pub(super) fn place_in_cluster(
        &mut self,
        primary: i32,
        pid: i32,
    ) -> Option<((i32, u32), Option<ListenerId>)> {
        let process = self.processes.get_mut(&pid)?;
        let key = (primary, process.any_ports);
        process.any_ports += 1;
        let listener = self.clusters.get(&key).copied();
        let listener = listener.filter(|listener| self.listeners.all.contains_key(listener));
        Some((key, listener))
    }

    /// Those that are to stay open.
    pub(super) fn open_listeners(&self) -> Vec<ListenerId> {
        let open = self
            .listeners
            .all
            .iter()
            .filter(|(_, listener)| listener.closing.is_none() && !listener.shut);
        open.map(|(id, _)| *id).collect()
    }

    /// Whether processes other than this one serve at a listener.
    pub(super) fn serves_others(&self, id: ListenerId, pid: i32) -> bool {
        let mut members = self.members.values().filter(|it| it.listener == id);
        members.any(|member| member.holders.iter().any(|holder| holder.pid != pid))
    }

    /// How connections of a listener linger.
    pub(super) fn linger(&self, id: ListenerId) -> Option<[u8; 8]> {
        self.listeners.all.get(&id)?.linger
    }

    pub(super) fn set_linger(&mut self, id: ListenerId, linger: Option<[u8; 8]>) {
        if let Some(listener) = self.listeners.all.get_mut(&id) {
            listener.linger = linger;
        }
    }
}
