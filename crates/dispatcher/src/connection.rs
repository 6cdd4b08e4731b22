//! Accepted connections on their way to a worker.

use std::os::fd::{AsFd, OwnedFd};

use wire::{HANDOFF_LEN, Handoff, Passed};

use super::endpoint::Endpoint;
use super::linger;

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) socket: OwnedFd,
    /// The message that goes with it: the peer's address.
    pub(super) message: [u8; HANDOFF_LEN],
    /// What the kernel knows it by; none for one that cannot be counted.
    pub(super) endpoint: Option<Endpoint>,
    /// How it lingers as soon as it is a worker's. With us it does not: our own `close` would wait.
    pub(super) linger: Option<[u8; 8]>,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, peer: &[u8], linger: Option<[u8; 8]>) -> Self {
        Self {
            message: Handoff::connection(peer).encode().0,
            endpoint: Endpoint::of(socket.as_fd(), peer),
            socket,
            linger,
        }
    }

    /// One that a worker has given back.
    pub(super) fn given_back(socket: OwnedFd, peer: &[u8], passed: Passed) -> Self {
        // As `accept` gives it; another runtime may want it otherwise.
        let _ = rustix::io::ioctl_fionbio(&socket, true);
        let message = match Handoff::connection(peer) {
            Handoff::Connection {
                peer, len, pair, ..
            } => Handoff::Connection {
                peer,
                len,
                pair,
                passed,
            },
            other => other,
        };
        Self::returned(socket, message.encode().0)
    }

    /// Whether nothing has passed over it.
    pub(super) fn is_new(&self) -> bool {
        match Handoff::decode(&self.message) {
            Some(Handoff::Connection { passed, .. }) => passed == Passed::default(),
            Some(Handoff::Probe | Handoff::GiveBack(_) | Handoff::Park) | None => true,
        }
    }

    /// One that came back out of a channel.
    pub(super) fn returned(socket: OwnedFd, message: [u8; HANDOFF_LEN]) -> Self {
        let endpoint = match Handoff::decode(&message) {
            Some(Handoff::Connection { peer, .. }) => Endpoint::of(socket.as_fd(), &peer),
            Some(Handoff::Probe | Handoff::GiveBack(_) | Handoff::Park) | None => None,
        };
        let linger = linger::of(&socket);
        if linger.is_some() {
            linger::set(&socket, None);
        }
        Self {
            socket,
            message,
            endpoint,
            linger,
        }
    }
}
