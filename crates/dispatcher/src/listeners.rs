//! The listeners of an app: real sockets, and what is only bound so far.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use balance::{Balancer, MemberFigures};
use rustix::event::epoll;
use wire::Address;

use super::address::ListenAddress;
use super::ids::{ListenerId, Place};
use super::workers::Workers;
use telemetry::figures::ListenerFigures;

/// A socket of ours that is about to become a listener.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) socket: OwnedFd,
    pub(crate) cookie: Option<u64>,
    pub(crate) address: ListenAddress,
    pub(crate) sockaddr: Address,
    pub(crate) linger: Option<[u8; 8]>,
    /// The kernel chose the port.
    pub(crate) chosen: bool,
}

/// A listening socket that the supervisor owns, and nobody else has.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    /// The kernel's number for the worker's socket that it stands for, which other processes may
    /// hold, too.
    pub(crate) cookie: Option<u64>,
    /// How connections linger, as workers have set it.
    pub(crate) linger: Option<[u8; 8]>,
    pub(crate) address: ListenAddress,
    /// The address as the kernel writes it, for the workers' `getsockname`.
    pub(crate) sockaddr: Address,
    pub(crate) balancer: Balancer<Workers>,
    /// Whether the epoll tells of new connections.
    pub(crate) accepting: bool,
    /// The app stops: it accepts no more, and its workers serve what it has accepted.
    pub(crate) shut: bool,
    /// Its last worker has closed it.
    pub(crate) closing: Option<Closing>,
    /// The kernel chose its port.
    pub(crate) chosen: bool,
    /// It is to be closed when no process holds it any more.
    pub(crate) unused: bool,
    /// Refusals that have been told of.
    pub(crate) refused: u64,
    /// How many connections were accepted.
    pub(crate) accepted: u64,
    /// What was counted of workers that have left, by their places.
    pub(crate) past: BTreeMap<Place, MemberFigures>,
}

impl Listener {
    /// Lets the epoll tell of new connections, or not: then they wait in the kernel's backlog.
    pub(crate) fn accept(&mut self, id: ListenerId, on: bool, epoll: &OwnedFd) -> io::Result<()> {
        if self.accepting != on {
            let flags = if on {
                epoll::EventFlags::IN
            } else {
                epoll::EventFlags::empty()
            };
            let data = super::token::Token::Listener(id).data();
            epoll::modify(epoll, &self.socket, data, flags)?;
            self.accepting = on;
        }
        Ok(())
    }
}

/// A listener's end: when its last worker has closed it, and lives on without it. One that closes
/// and then ends will have a successor, which shall find the port open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    pub(crate) at: Instant,
    /// The process that closed it.
    pub(crate) by: i32,
}

/// All listeners.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) all: HashMap<ListenerId, Listener>,
    /// What was counted at those that have ended since all were closed: an app that stops shows it.
    pub(crate) ended: Vec<ListenerFigures>,
}

// ListenAddress holds socket addresses, which are hashed by what makes them equal.
impl std::hash::Hash for ListenAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Tcp { socket, .. } => socket.hash(state),
            Self::Path(path) => path.hash(state),
            Self::Abstract(name) => name.hash(state),
        }
    }
}

impl Listeners {
    /// The listener at an address.
    pub(crate) fn at(&self, address: &ListenAddress) -> Option<ListenerId> {
        self.all
            .iter()
            .find(|(_, listener)| listener.address == *address && !listener.shut)
            .map(|(id, _)| *id)
    }

    /// The listener that this socket stands for: another process that holds the socket has listened.
    pub(crate) fn with(&self, cookie: u64) -> Option<ListenerId> {
        self.all
            .iter()
            .find(|(_, listener)| listener.cookie == Some(cookie) && !listener.shut)
            .map(|(id, _)| *id)
    }
}

/// Whether an IPv6 socket leaves IPv4 to others.
pub(crate) fn only_v6(socket: impl AsFd) -> bool {
    rustix::net::sockopt::ipv6_v6only(socket).unwrap_or(false)
}
