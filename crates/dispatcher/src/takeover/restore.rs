//! Making listeners and members again of what is noted.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use balance::{MemberId, Nanos};
use process::sockets::{Entry, Table, read, sockets_of, unix_connections};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sys::{LeftOpen, Memo};
use wire::Address;

use super::again::{given_back, inode, place_again};
use super::{ListenerNote, MemberNote, Notes};
use crate::address::ListenAddress;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::context::Context;
use crate::endings;
use crate::endpoint::Endpoint;
use crate::ids::ListenerId;
use crate::listeners::{Closing, HeldBy, Opened};
use crate::members::{Holder, Member};
use crate::membership::join;
use crate::registered;
use crate::registration::{KeptPath, UnixPath};
use crate::registration_events::RegistrationEvent;
use telemetry::ids::Place;

/// The sockets that each process has.
pub(super) type Held = HashMap<i32, BTreeSet<u64>>;

/// Takes over what a supervisor that was killed has left: listeners and workers by its notes, and the
/// clients who waited.
pub(crate) fn take_over(left: &mut LeftOpen, cx: &mut Context) {
    let notes = cx.takeover.memo.as_mut().map(Memo::read);
    let notes = notes.and_then(|text| serde_json::from_slice(&text.ok()?).ok());
    let Some(notes): Option<Notes> = notes else {
        return;
    };
    let ids = open_listeners(&notes, left, cx);
    for (primary, count, at) in &notes.clusters {
        if let Some(Some(id)) = ids.get(*at) {
            cx.listeners.clusters.insert((*primary, *count), *id);
        }
    }
    watch_processes(&notes, cx);
    let mut waiting = Vec::new();
    for note in &notes.members {
        if let Some(Some(listener)) = ids.get(note.listener) {
            restore(note, *listener, left, &mut waiting, cx);
        }
    }
    // After that: what a worker has not taken by now, it does not have any more.
    let processes = cx.members.processes.keys();
    let mut held: Held = processes.map(|pid| (*pid, inodes_of(*pid))).collect();
    // After that: a connection that is given back in between would otherwise not be known at all, and be closed when it
    // comes.
    for note in &notes.members {
        open_way_back(note, left, &mut held, &mut waiting, cx);
    }
    if cx.placement.places_connections() {
        count_open(&held, cx);
    }
    for note in &notes.members {
        come_to_life(note, &held, cx);
    }
    place_again(waiting, left, &held, cx);
    for id in ids.into_iter().flatten() {
        let is_used = cx.members.has_any_at(id);
        if let Some(listener) = cx.listeners.all.get_mut(&id).filter(|_| !is_used) {
            // Kept for a successor: one that wants the port at another address may have it.
            listener.closing = Some(Closing {
                at: Nanos::MAX,
                by: 0,
            });
        }
    }
    cx.takeover.changed();
}

/// The listeners, in the order of their notes; `None` for one that cannot be had.
fn open_listeners(notes: &Notes, left: &mut LeftOpen, cx: &mut Context) -> Vec<Option<ListenerId>> {
    let open = |note: &ListenerNote| {
        let opened = Opened {
            socket: left.take(note.socket)?,
            cookie: note.cookie,
            address: note.address.clone(),
            sockaddr: Address::new(&note.sockaddr)?,
            linger: note.linger,
            chosen: note.chosen,
            held_by: match note.lent {
                true => HeldBy::Lender,
                false => HeldBy::Us,
            },
        };
        let id = registered::open(opened, cx).ok()?;
        if let Some(noted) = &note.path
            && let Some(path) = UnixPath::again(noted.clone(), left)
        {
            cx.takeover.paths.insert(id, noted.clone());
            let address = note.address.clone();
            let kept = Box::new(KeptPath { address, path });
            cx.registration.tell(RegistrationEvent::Path(id, kept));
        }
        Some(id)
    };
    notes.listeners.iter().map(open).collect()
}

/// Watches over the processes that live.
fn watch_processes(notes: &Notes, cx: &mut Context) {
    for (pid, any_ports) in &notes.processes {
        let pidfd = Pid::from_raw(*pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        if pidfd.is_some_and(|pidfd| cx.members.watch(*pid, pidfd))
            && let Some(process) = cx.members.processes.get_mut(pid)
        {
            process.any_ports = *any_ports;
        }
    }
}

/// The sockets that a process has.
fn inodes_of(pid: i32) -> BTreeSet<u64> {
    let sockets = sockets_of(pid).unwrap_or_default();
    sockets.into_iter().map(|(_, inode)| inode).collect()
}

/// Makes a member as it was, without a place yet. What it has not taken out of its channel is to be placed anew.
fn restore(
    note: &MemberNote,
    listener: ListenerId,
    left: &mut LeftOpen,
    waiting: &mut Vec<(ListenerId, Connection)>,
    cx: &mut Context,
) {
    let id = MemberId(note.id);
    let Some(ours) = left.take(note.ours) else {
        return;
    };
    let theirs = note.theirs.and_then(|theirs| left.take(theirs));
    let acceptors = note.holders.len();
    let mut channel = Channel::restored(ours, theirs, note.cookie, note.watched, acceptors);
    let untaken = match cx.takeover.has_predecessor && !cx.placement.places_connections() {
        // The other ends are with the predecessor, which has requests in progress over them.
        true => {
            channel.keep_untaken();
            Vec::new()
        }
        false => channel.empty(),
    };
    let untaken = untaken.into_iter();
    waiting.extend(untaken.map(|(socket, message)| {
        let connection = Connection::returned(socket, message);
        (listener, connection)
    }));
    if cx.workers.add(id, channel).is_err() {
        return;
    }
    let holders = note.holders.iter();
    let member = Member {
        listener,
        place: Place {
            instance: note.instance,
            ordinal: note.ordinal,
        },
        holders: holders
            .map(|(pid, tid)| Holder {
                pid: *pid,
                tid: *tid,
            })
            .collect(),
        joined: false,
        closed: note.closed,
        origin: note.origin.map(MemberId),
        accepts: note.accepts,
        rests: note.rests,
    };
    cx.members.all.insert(id, member);
    cx.workers.counts.restore_member(id);
}

/// What a member has given back is to be placed anew, too: its processes do not hold it any more.
fn open_way_back(
    note: &MemberNote,
    left: &mut LeftOpen,
    held: &mut Held,
    waiting: &mut Vec<(ListenerId, Connection)>,
    cx: &mut Context,
) {
    let id = MemberId(note.id);
    let Some(listener) = cx.members.listener_of(id) else {
        return;
    };
    if let Some((ours, theirs)) = note.way_back
        && let (Some(ours), Some(theirs)) = (left.take(ours), left.take(theirs))
    {
        for connection in given_back(&ours, listener, cx) {
            if let Some(inode) = inode(&connection.socket) {
                for sockets in held.values_mut() {
                    sockets.remove(&inode);
                }
            }
            waiting.push((listener, connection));
        }
        cx.placement.restore_way_back(id, ours, theirs);
    }
}

/// A member serves again, if a process has its channel still.
fn come_to_life(note: &MemberNote, held: &Held, cx: &mut Context) {
    let id = MemberId(note.id);
    let Some(channel) = cx.workers.channels.get(&id) else {
        return;
    };
    let has = |pid: &i32| match (held.get(pid), channel.inode()) {
        // What cannot be seen is taken as noted.
        (Some(sockets), Some(inode)) => sockets.is_empty() || sockets.contains(&inode),
        (living, _) => living.is_some(),
    };
    if !note.holders.iter().any(|(pid, _)| has(pid)) {
        // The answer by which it was to have the channel has not come.
        endings::inherit(id, cx);
        return;
    }
    if note.joined {
        join(id, cx);
    }
    for (pid, _) in &note.holders {
        if !held.contains_key(pid) {
            endings::process_ended(*pid, cx);
        }
    }
}

/// Counts the connections that workers have, by what the kernel shows of them.
fn count_open(held: &Held, cx: &mut Context) {
    let mut owners: HashMap<u64, i32> = HashMap::new();
    for (pid, inodes) in held {
        owners.extend(inodes.iter().map(|inode| (*inode, *pid)));
    }
    let mut members: HashMap<(ListenerId, i32), MemberId> = HashMap::new();
    for (id, member) in &cx.members.all {
        for holder in &member.holders {
            members.insert((member.listener, holder.pid), *id);
        }
    }
    let member = |listener: Option<&ListenerId>, inode: u64| {
        members.get(&(*listener?, *owners.get(&inode)?)).copied()
    };
    let mut ports: HashMap<u16, ListenerId> = HashMap::new();
    let mut names: HashMap<OsString, ListenerId> = HashMap::new();
    for (id, listener) in &cx.listeners.all {
        match &listener.address {
            ListenAddress::Tcp { socket, .. } => drop(ports.insert(socket.port(), *id)),
            // The path may have been bound by another way to the same folder.
            ListenAddress::Path(path) => {
                names.extend(path.file_name().map(|name| (name.to_owned(), *id)));
            }
            ListenAddress::Abstract(_) => {}
        }
    }
    let counts = &mut cx.workers.counts;
    for entry in read_table(&ports) {
        if let Some(member) = member(ports.get(&entry.local.port()), entry.inode) {
            let (local, peer) = (canonical(entry.local), canonical(entry.peer));
            counts.restore(Endpoint::Tcp { local, peer }, member);
        }
    }
    for (inode, path) in unix_table(&names) {
        let listener = path.file_name().and_then(|name| names.get(name));
        if let (Some(member), Ok(inode)) = (member(listener, inode), u32::try_from(inode)) {
            counts.restore(Endpoint::Unix { inode }, member);
        }
    }
}

/// The connections of this machine, where there is a port to look for.
fn read_table(ports: &HashMap<u16, ListenerId>) -> Vec<Entry> {
    match ports.is_empty() {
        true => Vec::new(),
        false => read(Table::TcpConnections),
    }
}

/// The same for Unix sockets.
fn unix_table(names: &HashMap<OsString, ListenerId>) -> Vec<(u64, PathBuf)> {
    match names.is_empty() {
        true => Vec::new(),
        false => unix_connections(),
    }
}

/// An IPv4 address within IPv6 is the IPv4 that it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
