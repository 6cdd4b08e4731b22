//! The listeners of an app: the sockets at which its clients connect.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use balance::{ConnectionFigures, IdMap, Nanos};
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use telemetry::figures::ListenerFigures;
use wire::Address;

use super::address::ListenAddress;
use super::ids::ListenerId;
use super::token::Token;
use telemetry::ids::Place;

/// Who holds a listener's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// No process but this one.
    Us,
    /// A process that listens there itself, too, such as systemd for a socket unit.
    Lender,
    /// A process that keeps it until the app runs again, and gives it up when it is shut down: systemd's store
    /// of descriptors.
    Store,
}

/// A socket of ours that is about to become a listener.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) socket: OwnedFd,
    pub(super) cookie: Option<u64>,
    pub(super) address: ListenAddress,
    pub(super) sockaddr: Address,
    pub(super) linger: Option<[u8; 8]>,
    /// The kernel chose the port.
    pub(super) chosen: bool,
    pub(super) held_by: HeldBy,
}

/// A listening socket that the supervisor owns, and no worker has.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    /// The kernel's number for the worker's socket that it stands for, which other processes may
    /// hold, too.
    pub(super) cookie: Option<u64>,
    /// How connections linger, as workers have set it.
    pub(super) linger: Option<[u8; 8]>,
    pub(super) address: ListenAddress,
    /// The address as the kernel writes it, for the workers' `getsockname`.
    pub(super) sockaddr: Address,
    /// Whether the epoll tells of new connections.
    accepting: bool,
    /// Clients stay in the backlog until the first worker is there. The app may stop before, and its next run finds
    /// them there; the backlog of a socket that nobody else holds ends with the app anyway.
    awaits_worker: bool,
    /// The app stops: it accepts no more, and its workers serve what it has accepted.
    pub(super) shut: bool,
    /// One that another process holds, too, is closed when the app stops, and not shut down.
    pub(super) held_by: HeldBy,
    /// Its last worker has closed it.
    pub(super) closing: Option<Closing>,
    /// The kernel chose its port.
    pub(super) chosen: bool,
    /// It is to be closed when no process holds it any more.
    pub(super) unused: bool,
    /// How many members get connections or requests from it.
    pub(super) joined: usize,
    /// How many connections were accepted.
    pub(super) accepted: u64,
    /// What was counted of workers that have left, by their places.
    pub(super) past: BTreeMap<Place, ConnectionFigures>,
}

impl Listener {
    fn new(opened: Opened) -> Self {
        Self {
            socket: opened.socket,
            cookie: opened.cookie,
            linger: opened.linger,
            address: opened.address,
            sockaddr: opened.sockaddr,
            accepting: true,
            awaits_worker: false,
            shut: false,
            held_by: opened.held_by,
            closing: None,
            chosen: opened.chosen,
            unused: false,
            joined: 0,
            accepted: 0,
            past: BTreeMap::new(),
        }
    }

    /// Lets the epoll tell of new connections, or not: then they wait in the kernel's backlog.
    pub(super) fn hear(&mut self, id: ListenerId, on: bool, epoll: &OwnedFd) {
        if self.accepting != on {
            let flags = if on {
                epoll::EventFlags::IN
            } else {
                epoll::EventFlags::empty()
            };
            // Of a descriptor that is in the epoll this cannot fail.
            let changed = epoll::modify(epoll, &self.socket, Token::Listener(id).data(), flags);
            if changed.is_ok() {
                self.accepting = on;
            }
        }
    }

    /// Accepts nothing before a worker is there.
    pub(super) fn await_worker(&mut self, id: ListenerId, epoll: &OwnedFd) {
        self.hear(id, false, epoll);
        self.awaits_worker = true;
    }

    /// The first worker is there, or another one: clients are accepted.
    pub(super) fn worker_came(&mut self, id: ListenerId, epoll: &OwnedFd) {
        if std::mem::take(&mut self.awaits_worker) {
            self.hear(id, true, epoll);
        }
    }

    /// Accepts no more. What has been accepted is still served, and the address is free for another
    /// listener.
    pub(super) fn shut(&mut self, epoll: &OwnedFd) {
        // Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::delete(epoll, &self.socket);
        self.accepting = false;
        self.shut = true;
        // Shut down it refuses newcomers, also while a process that we know nothing of has a copy.
        if self.held_by == HeldBy::Us {
            let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        }
        // Without a descriptor for another socket it is closed with the listener.
        if let Ok(other) = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        ) {
            self.socket = other;
        }
    }

    /// Another process goes on with the socket: this one closes its copy.
    pub(super) fn hand_over(&mut self, epoll: &OwnedFd) {
        self.held_by = HeldBy::Lender;
        self.shut(epoll);
    }

    /// The listener ends while the app goes on: a stored socket is given up, which frees the port.
    pub(super) fn end(&self) {
        if self.held_by == HeldBy::Store && !self.shut {
            let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        }
    }

    /// Whether it would accept more, and does not: there was no room for it.
    pub(super) fn is_held_up(&self) -> bool {
        !self.accepting && !self.shut && !self.awaits_worker
    }
}

/// A listener's end: when its last worker has closed it, and lives on without it. One that closes
/// and then ends will have a successor, which is to find the port open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) at: Nanos,
    /// The process that closed it.
    pub(super) by: i32,
}

/// All listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) all: IdMap<ListenerId, Listener>,
    /// Listeners of `node:cluster` workers on ports that the kernel chose, by primary and count.
    pub(super) clusters: HashMap<(i32, u32), ListenerId>,
    /// What was counted at those that have ended since all were closed: an app that stops shows it.
    pub(super) ended: Vec<ListenerFigures>,
    pub(super) epoll: Arc<OwnedFd>,
    last_id: u64,
    /// How many connections have been accepted at all of them.
    pub(super) accepted: u64,
    /// Until when nothing is accepted, for want of descriptors.
    pub(super) paused_until: Option<Nanos>,
    /// The app stops: nothing more is accepted.
    pub(super) closed: bool,
    /// Workers are awaited that may listen where no worker does now.
    pub(super) awaited: bool,
}

impl Listeners {
    pub(super) fn new(epoll: Arc<OwnedFd>) -> Self {
        Self {
            all: IdMap::default(),
            clusters: HashMap::new(),
            ended: Vec::new(),
            epoll,
            last_id: 0,
            accepted: 0,
            paused_until: None,
            closed: false,
            awaited: true,
        }
    }

    /// Takes a listener into the event loop.
    pub(super) fn open(&mut self, opened: Opened) -> io::Result<(ListenerId, &Listener)> {
        self.last_id += 1;
        let id = ListenerId(self.last_id);
        let data = Token::Listener(id).data();
        epoll::add(&*self.epoll, &opened.socket, data, epoll::EventFlags::IN)?;
        Ok((id, self.all.entry(id).or_insert(Listener::new(opened))))
    }

    /// Forgets a listener, which closes its socket.
    pub(super) fn remove(&mut self, id: ListenerId) {
        self.all.remove(&id);
        self.clusters.retain(|_, listener| *listener != id);
    }

    /// The listener at an address.
    pub(super) fn at(&self, address: &ListenAddress) -> Option<ListenerId> {
        self.find(|listener| listener.address == *address && !listener.shut)
    }

    /// The listener that this socket stands for: another process that holds the socket has listened.
    pub(super) fn with(&self, cookie: u64) -> Option<ListenerId> {
        self.find(|listener| listener.cookie == Some(cookie) && !listener.shut)
    }

    fn find(&self, is_meant: impl Fn(&Listener) -> bool) -> Option<ListenerId> {
        let mut all = self.all.iter();
        let (id, _) = all.find(|(_, listener)| is_meant(listener))?;
        Some(*id)
    }

    /// Those of a kind.
    pub(super) fn all_that(&self, are_meant: impl Fn(&Listener) -> bool) -> Vec<ListenerId> {
        let all = self.all.iter();
        let meant = all.filter(|(_, listener)| are_meant(listener));
        meant.map(|(id, _)| *id).collect()
    }

    /// The address of a socket at this port that another process has passed.
    pub(super) fn lent_at(&self, port: u16) -> Option<ListenAddress> {
        let mut all = self.all.values();
        let lent = all.find(|listener| {
            listener.held_by == HeldBy::Lender && listener.address.port() == Some(port)
        });
        lent.map(|listener| listener.address.clone())
    }

    /// Those that are to stay open.
    pub(super) fn that_stay(&self) -> Vec<ListenerId> {
        self.all_that(|listener| listener.closing.is_none() && !listener.shut)
    }

    /// Accepts nothing until then, at any of them.
    pub(super) fn pause(&mut self, until: Nanos) {
        self.paused_until = Some(until);
        for (id, listener) in &mut self.all {
            listener.hear(*id, false, &self.epoll);
        }
    }

    /// Those that their last worker has closed, and that no successor has come for until now.
    pub(super) fn take_overdue(&mut self, now: Nanos) -> Vec<(ListenerId, Closing)> {
        let mut overdue = Vec::new();
        for (id, listener) in &mut self.all {
            let closing = listener.closing.take_if(|closing| closing.at <= now);
            overdue.extend(closing.map(|closing| (*id, closing)));
        }
        overdue
    }

    /// When something is to be done here.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let all = self.all.values();
        let closing = all.filter_map(|listener| Some(listener.closing?.at));
        closing.chain(self.paused_until).min()
    }

    /// Workers are awaited that may listen where no worker does now, or are not. Whether there are
    /// listeners again, after all were closed.
    pub(super) fn expect_workers(&mut self, awaited: bool) -> bool {
        self.awaited = awaited;
        let reopens = awaited && std::mem::replace(&mut self.closed, false);
        if reopens {
            self.ended.clear();
        }
        reopens
    }

    /// How connections of a listener linger.
    pub(super) fn linger(&self, id: ListenerId) -> Option<[u8; 8]> {
        self.all.get(&id)?.linger
    }

    pub(super) fn set_linger(&mut self, id: ListenerId, linger: Option<[u8; 8]>) {
        if let Some(listener) = self.all.get_mut(&id) {
            listener.linger = linger;
        }
    }
}

/// Whether an IPv6 socket leaves IPv4 to others.
pub(super) fn only_v6(socket: impl AsFd) -> bool {
    rustix::net::sockopt::ipv6_v6only(socket).unwrap_or(false)
}
