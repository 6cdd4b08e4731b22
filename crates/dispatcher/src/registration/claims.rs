//! What workers have bound and not listened on yet.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use sys::Rights;
use wire::Address;

use super::super::address::ListenAddress;
use super::own_socket::OwnSocket;

/// As many sockets as the library remembers of one process.
const MOST_OF_ONE: usize = 256;

/// And of all of them together.
const MOST: usize = 4096;

/// An address that a worker has bound, and nobody listens on yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) pid: i32,
    /// Tells the worker's socket from all others.
    pub(super) cookie: Option<u64>,
    /// Our socket, bound for the worker; none where the worker's own is bound.
    pub(super) own: Option<OwnSocket>,
}

/// What a worker has bound, in earnest or, where another one has bound it or listens there, in
/// pretence.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Tells its socket from all others.
    pub(super) cookie: Option<u64>,
    /// What the address was when it was named.
    pub(super) address: ListenAddress,
    /// As the worker wrote it.
    pub(super) sockaddr: Address,
    /// What it was allowed then.
    pub(super) rights: Rights,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Claims {
    bound: HashMap<ListenAddress, Bound>,
    /// By process and descriptor.
    claims: HashMap<(i32, i32), Claim>,
}

impl Claims {
    /// Whether another claim of this process would fit.
    pub(super) fn has_room_for(&self, pid: i32, fd: i32) -> bool {
        let of_one = self.claims.keys().filter(|(other, _)| *other == pid);
        self.claims.contains_key(&(pid, fd))
            || self.claims.len() < MOST && of_one.count() < MOST_OF_ONE
    }

    pub(super) fn add(&mut self, pid: i32, fd: i32, claim: Claim) {
        let before = self.claims.insert((pid, fd), claim);
        if let Some(before) = before {
            self.forget_unclaimed(&before.address);
        }
    }

    pub(super) fn bind(&mut self, address: ListenAddress, bound: Bound) {
        self.bound.insert(address, bound);
    }

    /// Who has bound an address that nobody listens on.
    pub(super) fn bound(&self, address: &ListenAddress) -> Option<&Bound> {
        self.bound.get(address)
    }

    /// An address is no longer only bound; our socket there, if there is one.
    pub(super) fn take_bound(&mut self, address: &ListenAddress) -> Option<OwnSocket> {
        self.bound.remove(address)?.own
    }

    /// What a descriptor was bound to, if it is still the same socket. It is over with that.
    pub(super) fn take(&mut self, pid: i32, fd: i32, cookie: Option<u64>) -> Option<Claim> {
        let claim = self.claims.remove(&(pid, fd))?;
        (claim.cookie == cookie).then_some(claim)
    }

    /// What this socket stands for, whichever process asks: one may bind what its children listen
    /// on. A relative path or an option may read differently by now.
    pub(super) fn with(&self, cookie: u64) -> Option<&Claim> {
        let mut claims = self.claims.values();
        claims.find(|claim| claim.cookie == Some(cookie))
    }

    /// Whether a process other than this one has claimed the path with this inode, and nobody
    /// listens on it yet.
    pub(super) fn path_is_wanted(&self, device: u64, inode: u64, pid: i32) -> bool {
        let mut bound = self.bound.iter();
        let at = bound.find(|(_, bound)| {
            let own = bound.own.as_ref().and_then(OwnSocket::path);
            own.is_some_and(|path| path.is(device, inode))
        });
        let Some((address, bound)) = at else {
            return false;
        };
        bound.pid != pid || self.is_wanted(address, pid)
    }

    /// The processes that have bound an address, and do not listen there yet.
    pub(super) fn claimants(&self, address: &ListenAddress) -> impl Iterator<Item = i32> {
        let claims = self.claims.iter();
        let claims = claims.filter(|(_, claim)| claim.address == *address);
        claims.map(|((pid, _), _)| *pid)
    }

    /// Whether a process other than this one has claimed an address.
    pub(super) fn is_wanted(&self, address: &ListenAddress, pid: i32) -> bool {
        let mut claims = self.claims.iter();
        claims.any(|((other, _), claim)| *other != pid && claim.address == *address)
    }

    /// A process has ended: what it alone had bound is free again. Sockets that are over with that
    /// come back.
    pub(super) fn forget(&mut self, pid: i32) -> Vec<OwnedFd> {
        self.claims.retain(|(claimant, _), _| *claimant != pid);
        let mut left = Vec::new();
        let bound: Vec<_> = self.bound.keys().cloned().collect();
        for address in bound {
            left.extend(self.forget_unclaimed(&address));
        }
        left
    }

    /// An address that nobody claims any more is free. One that somebody else claims, too, passes to
    /// that process.
    fn forget_unclaimed(&mut self, address: &ListenAddress) -> Option<OwnedFd> {
        let bound = self.bound.get_mut(address)?;
        let mut claims = self.claims.iter();
        let still = claims.find(|((pid, _), claim)| {
            claim.address == *address && (*pid == bound.pid || bound.own.is_some())
        });
        match still {
            Some(((pid, _), _)) => {
                bound.pid = *pid;
                None
            }
            None => Some(self.bound.remove(address)?.own?.leave()),
        }
    }
}
