//! The listeners of an app: real sockets, and what is only bound so far.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use balance::{Balancer, MemberFigures};
use rustix::event::epoll;
use wire::Address;

use super::address::ListenAddress;
use super::channel::Workers;
use super::members::Place;
use super::unix_path::UnixPath;

/// Names a listener; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListenerId(pub(crate) u64);

/// A listening socket that the supervisor owns.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    /// The kernel's number for the socket, which other processes may hold, too.
    pub(crate) cookie: Option<u64>,
    /// Whether it was to block, before it became ours.
    pub(crate) blocks: bool,
    pub(crate) address: ListenAddress,
    /// The address as the kernel writes it, for the workers' `getsockname`.
    pub(crate) sockaddr: Address,
    pub(crate) balancer: Balancer<Workers>,
    /// Whether the epoll tells of new connections.
    pub(crate) accepting: bool,
    /// Its last worker has closed it.
    pub(crate) closing: Option<Closing>,
    /// The path of a Unix socket is kept alive while workers come and go.
    pub(crate) path: Option<UnixPath>,
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

/// An address that a worker has bound, and not listened on yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) pid: i32,
    /// Tells its socket from all others.
    pub(crate) cookie: Option<u64>,
}

/// What a worker has bound, in earnest or, where another one has bound it or listens there, in
/// pretence.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Tells its socket from all others.
    pub(crate) cookie: Option<u64>,
    /// What the address was when it was named.
    pub(crate) address: ListenAddress,
    /// As the worker wrote it.
    pub(crate) sockaddr: Address,
}

/// All listeners, and all addresses that are about to become some.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) all: HashMap<ListenerId, Listener>,
    pub(crate) bound: HashMap<ListenAddress, Bound>,
    /// What workers have bound, by process and descriptor.
    pub(crate) claims: HashMap<(i32, i32), Claim>,
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
            .find(|(_, listener)| listener.address == *address)
            .map(|(id, _)| *id)
    }

    /// The listener that this socket is: another process that holds the socket has listened.
    pub(crate) fn with(&self, cookie: u64) -> Option<ListenerId> {
        self.all
            .iter()
            .find(|(_, listener)| listener.cookie == Some(cookie))
            .map(|(id, _)| *id)
    }

    /// What this socket stands for, whichever process asks: one may bind what its children listen
    /// on. A relative path or an option may read differently by now.
    pub(crate) fn claim_with(&self, cookie: u64) -> Option<&Claim> {
        self.claims
            .values()
            .find(|claim| claim.cookie == Some(cookie))
    }

    /// This socket's address is no longer only bound.
    pub(crate) fn listens_with(&mut self, cookie: u64) {
        self.bound.retain(|_, bound| bound.cookie != Some(cookie));
    }

    /// A process has ended: what it had only bound is free again.
    pub(crate) fn forget_bound_by(&mut self, pid: i32) {
        self.bound.retain(|_, bound| bound.pid != pid);
        self.claims.retain(|(claimant, _), _| *claimant != pid);
    }
}

/// Whether an IPv6 socket leaves IPv4 to others.
pub(crate) fn only_v6(socket: impl AsFd) -> bool {
    rustix::net::sockopt::ipv6_v6only(socket).unwrap_or(false)
}
