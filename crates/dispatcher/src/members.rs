//! Members: which worker holds which channel, and what becomes of it when the worker ends.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use balance::MemberId;
use rustix::event::epoll;
use rustix::process::{Pid, getpgid, test_kill_process_group};

use super::Notice;
use super::channel::Channel;
use super::endpoint::Endpoint;
use super::ids::{ListenerId, Place};
use super::listeners::Closing;
use super::oracle::Oracle;
use super::pidfd::has_ended;
use super::registration_events::RegistrationEvent;
use super::token::Token;
use super::turn::Turn;

/// A listener that its last worker closed is kept so long, to see whether the worker ends.
const CLOSING: Duration = Duration::from_secs(3);

/// A worker whose close was not seen (Bun closes some sockets by itself) may be about to end: the
/// kernel closes its files before it tells of the end, within milliseconds, on a busy machine more.
const ENDING: Duration = Duration::from_millis(200);

/// Of so many connections that may end with a worker it is told who the clients are.
const CUT_TOLD: usize = 256;

/// A process that accepts from a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    pub(crate) tid: i32,
}

/// Who listens, or begins to accept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) holder: Holder,
    /// The instance that it says it belongs to.
    pub(crate) instance: u32,
    /// The number of the descriptor there.
    pub(crate) fd: i32,
}

/// A channel, and what it is for.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) listener: ListenerId,
    pub(crate) place: Place,
    /// The processes that are known to accept from it: one, unless it was inherited.
    pub(crate) holders: Vec<Holder>,
    /// Whether the balancer may give it connections.
    pub(crate) joined: bool,
    /// The worker has closed it. If somebody inherited it, it lives on until that one is gone.
    closed: bool,
}

/// A process that has asked at the door.
#[derive(Debug)]
pub(crate) struct Process {
    /// Becomes readable when the process ends.
    pidfd: OwnedFd,
    /// How many sockets with port 0 it has listened on.
    pub(crate) any_ports: u32,
}

impl Membership {
    pub(super) fn is_held_by(&self, pid: i32) -> bool {
        self.holders.iter().any(|holder| holder.pid == pid)
    }
}

/// Whether a process belongs to one of these groups.
fn is_in(pid: i32, groups: &HashSet<i32>) -> bool {
    if groups.is_empty() {
        return false;
    }
    let group = Pid::from_raw(pid).and_then(|pid| getpgid(Some(pid)).ok());
    group.is_some_and(|group| groups.contains(&group.as_raw_nonzero().get()))
}

/// Whether a process group has any members.
fn has_members(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

impl Turn {
    /// Watches over a process, so that its end is seen. `false` if it cannot be watched, or too many
    /// are.
    pub(crate) fn watch_process(&mut self, pid: i32, pidfd: OwnedFd) -> bool {
        if let Some(known) = self.processes.get(&pid) {
            if !has_ended(&known.pidfd) {
                return true;
            }
            // The number belongs to another process by now.
            self.process_ended(pid);
        }
        let data = Token::Process(pid).data();
        if !self.has_room()
            || epoll::add(&*self.epoll, &pidfd, data, epoll::EventFlags::IN).is_err()
        {
            return false;
        }
        let process = Process {
            pidfd,
            any_ports: 0,
        };
        self.processes.insert(pid, process);
        true
    }

    /// Whether workers may take more descriptors of this process: half of them are for connections.
    pub(crate) fn has_room(&self) -> bool {
        let taken = 2 * self.members.len() + self.processes.len() + self.listeners.all.len();
        // Three quarters of all are what this number stands for.
        taken < usize::try_from(self.descriptors).map_or(usize::MAX, |most| most / 3 * 2)
    }

    /// Makes a channel for a worker; the end for it comes back.
    pub(super) fn add_member(
        &mut self,
        listener: ListenerId,
        caller: Caller,
    ) -> io::Result<(MemberId, OwnedFd)> {
        let Caller {
            holder,
            instance,
            fd,
        } = caller;
        let id = MemberId(self.next_id());
        let (mut channel, theirs) = Channel::new(id)?;
        let inode = rustix::fs::fstat(&theirs)?.st_ino;
        channel.oracle = Oracle::new(holder.pid, holder.tid, fd, inode);
        let blind = !channel.oracle.is_readable();
        let lacks_descriptor = channel.oracle.lacks_descriptor();
        let ordinal = self.free_ordinal(listener, instance);
        self.workers.add(id, channel)?;
        self.members.insert(
            id,
            Membership {
                listener,
                place: Place { instance, ordinal },
                holders: vec![holder],
                joined: false,
                closed: false,
            },
        );
        if lacks_descriptor {
            self.remind_of_descriptors(None);
        } else if blind {
            self.tell(Notice::Blind { pid: holder.pid });
        }
        Ok((id, theirs))
    }

    fn free_ordinal(&self, listener: ListenerId, instance: u32) -> u32 {
        let taken: Vec<_> = self
            .members
            .values()
            .filter(|member| member.listener == listener && member.place.instance == instance)
            .map(|member| member.place.ordinal)
            .collect();
        (0..).find(|ordinal| !taken.contains(ordinal)).unwrap_or(0)
    }

    /// Lets the balancer give connections to a member.
    pub(crate) fn join(&mut self, id: MemberId) {
        let now = self.now();
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let Some(listener) = self.listeners.all.get_mut(&member.listener) else {
            return;
        };
        if member.joined || member.holders.iter().any(|it| is_in(it.pid, &self.retired)) {
            return;
        }
        member.joined = true;
        listener.closing = None;
        listener.unused = false;
        let key = member.place.key();
        let open = self.workers.counts.of(id).count();
        listener
            .balancer
            .join(now, id, key, open, &mut self.workers);
        if let Some(proxy) = &mut self.proxy {
            proxy.join(member.listener.0, id, key);
            proxy.settle(&mut self.workers);
        }
        let notice = Notice::Listening {
            member: id.0,
            pid: member.holders.first().map_or(0, |holder| holder.pid),
            instance: member.place.instance,
            address: listener.address.clone(),
            chosen: listener.chosen,
            members: listener.balancer.members().count(),
        };
        self.tell(notice);
    }

    /// The balancer gives this member nothing any more, and what it has not taken to others.
    fn leave(&mut self, id: MemberId) {
        let now = self.now();
        let Some(member) = self.members.get_mut(&id).filter(|member| member.joined) else {
            return;
        };
        member.joined = false;
        let Some(listener) = self.listeners.all.get_mut(&member.listener) else {
            return;
        };
        if let Some(proxy) = &mut self.proxy {
            proxy.leave(id, &mut self.workers);
        }
        if let Some(figures) = listener.balancer.leave(now, id, &mut self.workers) {
            let past = listener.past.entry(member.place).or_default();
            past.dispatched += figures.dispatched;
            past.taken_back += figures.taken_back;
        }
        let cut = self.workers.counts.cut(id).take(CUT_TOLD);
        let cut = cut.filter_map(Endpoint::peer).collect();
        let notice = Notice::Left {
            member: id.0,
            pid: member.holders.first().map_or(0, |holder| holder.pid),
            instance: member.place.instance,
            address: listener.address.clone(),
            members: listener.balancer.members().count(),
            cut,
        };
        self.tell(notice);
    }

    /// The workers of a process group are to end: they get nothing any more.
    pub(crate) fn retire(&mut self, group: i32) {
        // Groups that are gone need not be remembered.
        self.retired
            .retain(|group| Pid::from_raw(*group).is_some_and(has_members));
        self.retired.insert(group);
        for id in self.members_in(&self.retired) {
            self.leave(id);
        }
    }

    /// Those whose processes are in one of these groups.
    pub(super) fn members_in(&self, groups: &HashSet<i32>) -> Vec<MemberId> {
        let members = self.members.iter();
        members
            .filter(|(_, member)| member.holders.iter().any(|it| is_in(it.pid, groups)))
            .map(|(id, _)| *id)
            .collect()
    }

    /// A process accepts from a channel that it did not ask for, or with another thread; `others`
    /// tells that other threads of it do, too.
    pub(super) fn hold(&mut self, id: MemberId, caller: Caller, others: bool, theirs: OwnedFd) {
        let Caller { holder, fd, .. } = caller;
        let (Some(member), Some(channel)) = (
            self.members.get_mut(&id),
            self.workers.channels.get_mut(&id),
        ) else {
            return;
        };
        let same = |other: &Holder| other.pid == holder.pid;
        if member.closed {
            // Whoever listened has left it to this one.
            member.closed = false;
            member.holders.clear();
        }
        if !others && member.holders.iter().all(same) {
            member.holders = vec![holder];
            let inode = rustix::fs::fstat(&theirs).map_or(0, |stat| stat.st_ino);
            channel.oracle = Oracle::new(holder.pid, holder.tid, fd, inode);
        } else {
            // Several accept: whether one of them is free tells nothing of the rest.
            if !member.holders.iter().any(same) {
                member.holders.push(holder);
            }
            channel.oracle = Oracle::blind();
        }
        channel.acceptors = member.holders.len();
        channel.hold(theirs);
        self.join(id);
    }

    /// A worker closes a channel.
    pub(crate) fn closed(&mut self, id: MemberId, pid: i32) {
        if self.still_accept(id, pid) {
            return;
        }
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.closed = true;
        self.leave(id);
        self.inherit(id);
    }

    /// Whether others still accept from a channel that one process leaves.
    fn still_accept(&mut self, id: MemberId, pid: i32) -> bool {
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        if member.holders.iter().all(|holder| holder.pid == pid) {
            return false;
        }
        member.holders.retain(|holder| holder.pid != pid);
        if let Some(channel) = self.workers.channels.get_mut(&id) {
            channel.acceptors = member.holders.len();
        }
        true
    }

    /// Whoever had a channel is gone. Somebody who inherited it may serve in its stead: as soon as
    /// that one accepts, it is known who it is. Who does not, holds the channel and nothing else.
    fn inherit(&mut self, id: MemberId) {
        let Some(channel) = self.workers.channels.get_mut(&id) else {
            return;
        };
        if channel.release() {
            channel.call_heirs();
        } else {
            self.hung_up(id);
        }
    }

    /// Nobody holds the worker's end any more.
    pub(crate) fn hung_up(&mut self, id: MemberId) {
        self.leave(id);
        self.end_way_back(id);
        if let Some(channel) = self.workers.channels.remove(&id) {
            channel.into_ends().for_each(|end| self.put_away(end));
        }
        self.workers.counts.forget(id);
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        // As long as anybody holds a listener it is open.
        let is_last = !self
            .members
            .values()
            .any(|other| other.listener == member.listener);
        let listener = self.listeners.all.get(&member.listener);
        let unused = listener.is_some_and(|listener| listener.unused);
        let shut = listener.is_some_and(|listener| listener.shut);
        if is_last && (shut || unused || member.closed && !self.awaited) {
            self.give_up(member.listener);
        } else if is_last && let Some(listener) = self.listeners.all.get_mut(&member.listener) {
            let patience = if self.awaited { CLOSING } else { ENDING };
            listener.closing = Some(Closing {
                at: Instant::now() + patience,
                by: member.holders.first().map_or(0, |holder| holder.pid),
            });
        }
    }

    /// Whether workers are awaited that may listen where no worker does now. If none is, a listener
    /// that its last worker has closed is closed at once: its clients are refused, as by the app
    /// itself, and do not wait in vain.
    pub(super) fn expect_workers(&mut self, awaited: bool) {
        self.awaited = awaited;
        if awaited && std::mem::replace(&mut self.closed, false) {
            self.listeners.ended.clear();
            // The app does not stop after all, or again.
            if let Some(proxy) = &mut self.proxy {
                proxy.reopen();
            }
        }
    }

    /// A process has ended: its channels go to whoever else holds them, or end.
    pub(crate) fn process_ended(&mut self, pid: i32) {
        self.processes.remove(&pid);
        self.registration.tell(RegistrationEvent::Ended(pid));
        let held: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.holders.iter().any(|holder| holder.pid == pid))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            if self.still_accept(id, pid) {
                continue;
            }
            self.leave(id);
            self.inherit(id);
        }
    }
}
