//! Ports that a process has for itself, as it would have them without us: one that the kernel chose,
//! and what a worker of `node:cluster` binds beside its primary (`exclusive: true`).

use std::os::fd::AsFd;

use rustix::net::sockopt;

use super::super::address::ListenAddress;
use super::super::command::Gone;
use super::super::registered;
use super::peer::parent_of;
use super::{Question, Registrar};
use process::sockets::{Table, read, sockets_of};

/// The most ports that are remembered. Those that nobody listens at any more make room.
const MOST: usize = 1024;

impl Registrar {
    /// A worker listens by itself. With SO_REUSEPORT it, or a child, may listen there again.
    pub(super) fn remember_own_port(&mut self, question: &Question) {
        if !sockopt::socket_reuseport(&question.socket).unwrap_or(false) {
            return;
        }
        let local = sys::local_address(question.socket.as_fd()).ok();
        let address =
            local.and_then(|local| ListenAddress::parse(local.as_bytes(), false, "/".as_ref()));
        let Some(port) = address.and_then(|address| address.port()) else {
            return;
        };
        if self.own_ports.len() >= MOST {
            let open = read(Table::TcpListeners);
            self.own_ports
                .retain(|port| open.iter().any(|entry| entry.local.port() == *port));
        }
        if self.own_ports.len() < MOST {
            self.own_ports.insert(port);
        }
    }

    /// Whether a process, or one that it descends from, listens by itself at a port, with
    /// SO_REUSEPORT: the kernel lets it have further sockets there.
    pub(super) fn is_own_port(&mut self, question: &Question, port: u16) -> bool {
        if !self.own_ports.contains(&port) {
            return false;
        }
        let open = read(Table::TcpListeners);
        let inodes: Vec<_> = open
            .iter()
            .filter(|entry| entry.local.port() == port)
            .map(|entry| entry.inode)
            .collect();
        if inodes.is_empty() {
            self.own_ports.remove(&port);
        }
        let mut family = question.peer.parents_up_to(self.settings.ancestor);
        family.push(question.peer.pid);
        family.into_iter().any(|pid| {
            let sockets = sockets_of(pid).unwrap_or_default();
            sockets.iter().any(|(_, inode)| inodes.contains(inode))
        })
    }

    /// Whether a worker of `node:cluster` binds by itself what its primary or another worker of that
    /// has: each address that a worker binds so is its own.
    pub(super) fn is_of_cluster(
        &self,
        question: &Question,
        address: &ListenAddress,
    ) -> Result<bool, Gone> {
        let Some(primary) = question.peer.parent() else {
            return Ok(false);
        };
        let wanted = address.clone();
        let mut holders = self
            .dispatcher
            .run(move |cx| registered::holders_at(&wanted, cx))?;
        holders.extend(self.claims.claimants(address));
        let pid = question.peer.pid;
        Ok(holders
            .into_iter()
            .any(|other| other != pid && (other == primary || parent_of(other) == Some(primary))))
    }
}

/// Whether a worker of `node:cluster` has bound this socket by itself. Others get theirs from their
/// primary, which keeps a copy.
pub(super) fn is_bound_alone(question: &Question, primary: i32) -> bool {
    let reuse_port = sockopt::socket_reuseport(&question.socket).unwrap_or(false);
    if reuse_port && question.peer.is_bun() {
        // Each of Bun's workers opens a socket, which stands for one that they share. In Node
        // `reusePort` means a socket of the worker's own.
        return false;
    }
    let Ok(stat) = rustix::fs::fstat(&question.socket) else {
        return false;
    };
    let of_primary = sockets_of(primary);
    of_primary.is_some_and(|held| held.iter().all(|(_, inode)| *inode != stat.st_ino))
}
