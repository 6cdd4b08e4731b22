//! How listeners and workers outlive their supervisor: it notes them as they come and go, and the next one,
//! which has the same table of descriptors, takes them over.
//!
//! Workers notice nothing. What lay in their channels is placed anew, as is what had been accepted and
//! waited. A connection that was on its way to a worker when the supervisor was killed may be there
//! already: whether it is, the kernel tells.

mod again;
mod restore;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsRawFd;

use serde::{Deserialize, Serialize};
use sys::Memo;

use super::address::ListenAddress;
use super::channel::Watched;
use super::context::Context;
use super::ids::ListenerId;
use super::listeners::HeldBy;
use super::registration::PathNote;
pub(super) use restore::take_over;
use telemetry::ids::Instance;

/// Where the notes are kept, and whether they are out of date.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    memo: Option<Memo>,
    changed: bool,
    /// The supervisor before this one has not been killed: it lives on, with the requests that it has in
    /// progress.
    has_predecessor: bool,
    /// The paths of Unix listeners.
    paths: HashMap<ListenerId, PathNote>,
}

/// What is noted of an app's listeners and workers.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Notes {
    listeners: Vec<ListenerNote>,
    members: Vec<MemberNote>,
    /// The processes, and how many sockets with port 0 each has listened on.
    processes: BTreeMap<i32, u32>,
    /// By primary and count the listener, as its index, of `node:cluster` workers.
    clusters: Vec<(i32, u32, usize)>,
}

#[derive(Debug, Deserialize, Serialize)]
struct ListenerNote {
    socket: i32,
    cookie: Option<u64>,
    address: ListenAddress,
    sockaddr: Vec<u8>,
    linger: Option<[u8; 8]>,
    chosen: bool,
    lent: bool,
    path: Option<PathNote>,
}

#[derive(Debug, Deserialize, Serialize)]
struct MemberNote {
    id: u64,
    /// The index of its listener.
    listener: usize,
    instance: Instance,
    ordinal: u32,
    /// By process and thread.
    holders: Vec<(i32, i32)>,
    joined: bool,
    closed: bool,
    origin: Option<u64>,
    accepts: bool,
    rests: bool,
    ours: i32,
    theirs: Option<i32>,
    cookie: u64,
    watched: Option<Watched>,
    /// The ends of the pair over which it gives connections back.
    way_back: Option<(i32, i32)>,
}

impl Takeover {
    pub(super) fn new(memo: Option<Memo>, has_predecessor: bool) -> Self {
        Self {
            memo,
            has_predecessor,
            ..Self::default()
        }
    }

    /// Another process goes on: nothing more is noted.
    pub(super) fn hand_over(&mut self) {
        self.memo = None;
    }

    /// The notes are out of date.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }
}

/// A listener has a path.
pub(super) fn keep_path(listener: ListenerId, path: PathNote, cx: &mut Context) {
    cx.takeover.paths.insert(listener, path);
    cx.takeover.changed();
    note(cx);
}

/// The only worker of a listener has removed its path.
pub(super) fn forget_path(listener: ListenerId, cx: &mut Context) {
    cx.takeover.paths.remove(&listener);
    cx.takeover.changed();
}

/// Notes everything.
pub(super) fn note_all(cx: &mut Context) {
    cx.takeover.changed();
    note(cx);
}

/// Whether this version understands what another one has noted.
///
/// # Errors
/// If it does not; says why.
pub fn can_take_over(notes: &[u8]) -> Result<(), serde_json::Error> {
    // An app that shares no sockets has none.
    match notes {
        [] => Ok(()),
        notes => serde_json::from_slice::<Notes>(notes).map(drop),
    }
}

/// Notes what has changed.
pub(super) fn note(cx: &mut Context) {
    let changed = std::mem::take(&mut cx.takeover.changed) | cx.placement.takes_new_ways();
    if !changed || cx.takeover.memo.is_none() {
        return;
    }
    let open = &cx.listeners.all;
    cx.takeover.paths.retain(|id, _| open.contains_key(id));
    let notes = notes_of(cx);
    if let Some(memo) = &mut cx.takeover.memo {
        let text = serde_json::to_vec(&notes).unwrap_or_default();
        // Without memory for them, the notes before count.
        let _ = memo.write(&text);
    }
}

fn notes_of(cx: &Context) -> Notes {
    let mut open: Vec<_> = cx.listeners.all.iter().collect();
    open.retain(|(_, listener)| !listener.shut);
    let index: HashMap<ListenerId, usize> = open.iter().map(|(id, _)| **id).zip(0..).collect();
    let listeners = open.iter().map(|(id, listener)| ListenerNote {
        socket: listener.socket.as_raw_fd(),
        cookie: listener.cookie,
        address: listener.address.clone(),
        sockaddr: listener.sockaddr.as_bytes().to_vec(),
        linger: listener.linger,
        chosen: listener.chosen,
        // Nothing is stored of an app in the background, which alone has notes.
        lent: listener.held_by != HeldBy::Us,
        path: cx.takeover.paths.get(id).cloned(),
    });
    let members = cx.members.all.iter().filter_map(|(id, member)| {
        let channel = cx.workers.channels.get(id)?;
        let holders = member.holders.iter();
        Some(MemberNote {
            id: id.0,
            listener: *index.get(&member.listener)?,
            instance: member.place.instance,
            ordinal: member.place.ordinal,
            holders: holders.map(|holder| (holder.pid, holder.tid)).collect(),
            joined: member.joined,
            closed: member.closed,
            origin: member.origin.map(|origin| origin.0),
            accepts: member.accepts,
            rests: member.rests,
            ours: channel.ours().as_raw_fd(),
            theirs: channel.theirs.as_ref().map(AsRawFd::as_raw_fd),
            cookie: channel.cookie,
            watched: channel.loop_probe.watched(),
            way_back: cx.placement.way_back(*id),
        })
    });
    let processes = cx.members.processes.iter();
    let clusters = cx.listeners.clusters.iter();
    Notes {
        listeners: listeners.collect(),
        members: members.collect(),
        processes: processes.map(|(pid, it)| (*pid, it.any_ports)).collect(),
        clusters: clusters
            .filter_map(|((primary, count), id)| Some((*primary, *count, *index.get(id)?)))
            .collect(),
    }
}
