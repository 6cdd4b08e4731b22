//! Members: which processes hold which channels.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use balance::{IdMap, MemberId};
use rustix::event::epoll;
use rustix::process::{Pid, getpgid, test_kill_process_group};

use super::ids::ListenerId;
use super::pidfd::has_ended;
use super::token::Token;
use telemetry::ids::{Instance, Place};

/// A process that accepts from a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) tid: i32,
}

/// What listens, or begins to accept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) holder: Holder,
    /// The instance that it says it belongs to.
    pub(super) instance: Instance,
    /// The number of the descriptor there.
    pub(super) fd: i32,
}

/// A worker's place behind a listener.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) listener: ListenerId,
    pub(super) place: Place,
    /// The processes that are known to accept from its channel: one, unless it was inherited.
    pub(super) holders: Vec<Holder>,
    /// Whether it may be given connections or requests.
    pub(super) joined: bool,
    /// The worker has closed the channel. If another process has inherited it, it lives on until
    /// that one is gone.
    pub(super) closed: bool,
    /// The member whose channel its process had before.
    pub(super) origin: Option<MemberId>,
    /// It is known to accept, and not only to have opened the listener.
    pub(super) accepts: bool,
    /// Others accept in its stead.
    pub(super) rests: bool,
}

impl Member {
    pub(super) fn is_held_by(&self, pid: i32) -> bool {
        self.holders.iter().any(|holder| holder.pid == pid)
    }

    fn is_in(&self, groups: &HashSet<i32>) -> bool {
        self.holders.iter().any(|holder| is_in(holder.pid, groups))
    }

    /// The process that speaks for it.
    pub(super) fn pid(&self) -> Option<i32> {
        self.holders.first().map(|holder| holder.pid)
    }
}

/// A process that has asked for a listener.
#[derive(Debug)]
pub(super) struct Process {
    /// Becomes readable when the process ends.
    pidfd: OwnedFd,
    /// How many sockets with port 0 it has listened on.
    pub(super) any_ports: u32,
}

/// All members, and the processes that are watched for them.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) all: IdMap<MemberId, Member>,
    pub(super) processes: HashMap<i32, Process>,
    /// Process groups whose workers get no more connections.
    retired: HashSet<i32>,
    /// Process groups whose workers are unwell.
    unwell: HashSet<i32>,
    epoll: Arc<OwnedFd>,
    last_id: u64,
}

impl Members {
    /// None yet; they are counted from `first` on. The names of channels are made of these numbers,
    /// and all supervisors share one namespace for such names.
    pub(super) fn new(epoll: Arc<OwnedFd>, first: u64) -> Self {
        Self {
            all: IdMap::default(),
            processes: HashMap::new(),
            retired: HashSet::new(),
            unwell: HashSet::new(),
            epoll,
            last_id: first,
        }
    }

    pub(super) fn next_id(&mut self) -> MemberId {
        self.last_id += 1;
        MemberId(self.last_id)
    }

    /// A new member behind a listener. It has the lowest free place of its instance there.
    pub(super) fn add(&mut self, id: MemberId, listener: ListenerId, caller: Caller) {
        let instance = caller.instance;
        let taken: Vec<_> = self
            .all
            .values()
            .filter(|member| member.listener == listener && member.place.instance == instance)
            .map(|member| member.place.ordinal)
            .collect();
        let free = (0..).find(|ordinal| !taken.contains(ordinal));
        let place = Place {
            instance,
            ordinal: free.unwrap_or(0),
        };
        let member = Member {
            listener,
            place,
            holders: vec![caller.holder],
            joined: false,
            closed: false,
            origin: None,
            accepts: false,
            rests: false,
        };
        self.all.insert(id, member);
    }

    /// The listener that it is behind.
    pub(super) fn listener_of(&self, id: MemberId) -> Option<ListenerId> {
        self.all.get(&id).map(|member| member.listener)
    }

    /// Those of a kind.
    pub(super) fn all_that(&self, are_meant: impl Fn(&Member) -> bool) -> Vec<MemberId> {
        let all = self.all.iter();
        let meant = all.filter(|(_, member)| are_meant(member));
        meant.map(|(id, _)| *id).collect()
    }

    /// Those whose processes are in one of these groups.
    pub(super) fn in_groups(&self, groups: &HashSet<i32>) -> Vec<MemberId> {
        self.all_that(|member| member.is_in(groups))
    }

    /// Whether others accept in the stead of this one.
    pub(super) fn has_heirs(&self, origin: MemberId) -> bool {
        let mut heirs = self.all.values().filter(|it| it.origin == Some(origin));
        heirs.any(|heir| heir.joined || heir.rests)
    }

    /// A member is no more. Those that came from it come from its own origin now.
    pub(super) fn remove(&mut self, id: MemberId) -> Option<Member> {
        let member = self.all.remove(&id)?;
        let heirs = self.all.values_mut();
        for heir in heirs.filter(|heir| heir.origin == Some(id)) {
            heir.origin = member.origin;
        }
        Some(member)
    }

    pub(super) fn has_any_at(&self, listener: ListenerId) -> bool {
        self.all.values().any(|member| member.listener == listener)
    }

    /// Workers of this process group get nothing any more. Those that are concerned.
    pub(super) fn retire(&mut self, group: i32) -> Vec<MemberId> {
        // Groups that are gone need not be remembered.
        self.retired
            .retain(|group| Pid::from_raw(*group).is_some_and(has_members));
        self.retired.insert(group);
        self.in_groups(&self.retired)
    }

    /// Sets whether the workers of this process group are well; returns them.
    pub(super) fn set_well(&mut self, group: i32, well: bool) -> Vec<MemberId> {
        self.unwell
            .retain(|group| Pid::from_raw(*group).is_some_and(has_members));
        match well {
            true => self.unwell.remove(&group),
            false => self.unwell.insert(group),
        };
        self.in_groups(&HashSet::from([group]))
    }

    /// Whether one of its processes is unwell.
    pub(super) fn is_unwell(&self, member: &Member) -> bool {
        member.is_in(&self.unwell)
    }

    /// Whether one of its processes gets nothing any more.
    pub(super) fn is_retired(&self, member: &Member) -> bool {
        member.is_in(&self.retired)
    }

    /// Whether a process is watched, so that its end is still to come, or to be heard.
    pub(super) fn is_watched(&self, pid: i32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Whether a process is watched, so that its end is seen; of one that has ended, that it has.
    pub(super) fn watch_over(&self, pid: i32) -> Watch {
        match self.processes.get(&pid) {
            Some(known) if has_ended(&known.pidfd) => Watch::Ended,
            Some(_) => Watch::Lives,
            None => Watch::Unknown,
        }
    }

    /// Watches over a process. `false` if the kernel cannot.
    pub(super) fn watch(&mut self, pid: i32, pidfd: OwnedFd) -> bool {
        let data = Token::Process(pid).data();
        let watched = epoll::add(&*self.epoll, &pidfd, data, epoll::EventFlags::IN).is_ok();
        if watched {
            let process = Process {
                pidfd,
                any_ports: 0,
            };
            self.processes.insert(pid, process);
        }
        watched
    }

    /// Watches over no process any more.
    pub(super) fn watch_none(&mut self) {
        for (_, process) in self.processes.drain() {
            // Another process may have a copy of it.
            let _ = epoll::delete(&*self.epoll, &process.pidfd);
        }
    }

    /// The processes that listen at a listener.
    pub(super) fn holders_at(&self, listener: ListenerId) -> Vec<i32> {
        let members = self.all.values();
        members
            .filter(|member| member.listener == listener && member.joined)
            .flat_map(|member| member.holders.iter().map(|holder| holder.pid))
            .collect()
    }

    /// Whether processes other than this one serve at a listener.
    pub(super) fn serves_others(&self, listener: ListenerId, pid: i32) -> bool {
        let mut members = self.all.values().filter(|it| it.listener == listener);
        members.any(|member| member.holders.iter().any(|holder| holder.pid != pid))
    }
}

/// What is known of a process by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Lives,
    Ended,
    Unknown,
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
