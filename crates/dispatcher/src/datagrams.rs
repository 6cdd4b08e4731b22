//! UDP ports: an instance that finds one taken by another instance of the app gets its socket.
//!
//! Nothing is kept here: who has the socket is read from `/proc` when somebody asks, and it is
//! copied out of that process. So a port is bound for as long as an instance has it, and no longer.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpgid, pidfd_getfd, pidfd_open};

use super::notice::Notice;
use process::sockets::{Table, holder_of, read, sockets_of};
use process::tree;
use process::user::User;
use telemetry::events::Event;
use telemetry::ids::Instance;

/// The socket of another instance that has this address, and can be shared; and what there is to say
/// of it. The socket of another user's process is not given away, for the caller could not take it itself.
/// `user` is the caller's, or none where that is our own.
pub(super) fn find(
    address: SocketAddr,
    pid: i32,
    instance: Instance,
    user: Option<User>,
    ancestor: Pid,
) -> (Option<OwnedFd>, Notice) {
    let entries = read(Table::Udp);
    let inodes: Vec<_> = entries
        .iter()
        .filter(|entry| entry.local == address)
        .map(|entry| entry.inode)
        .collect();
    let holders = holders(&inodes, pid, ancestor);
    let socket = holders.iter().find_map(|holder| holder.socket_for(user));
    let address = format!("udp:{address}");
    let notice = match (&socket, inodes.first()) {
        (Some(_), _) => Event::DatagramsShared { instance, address }.into(),
        (None, _) if !holders.is_empty() => Event::DatagramsNotShared { instance, address }.into(),
        (None, inode) => Notice::InUse {
            instance,
            address,
            by: inode.and_then(|inode| holder_of(*inode)),
        },
    };
    (socket, notice)
}

/// A process of another instance, and its descriptor of a socket.
struct Holder {
    pid: Pid,
    fd: i32,
    inode: u64,
}

impl Holder {
    /// A copy of the socket for this user, where the kernel gives one and it is still the same.
    fn socket_for(&self, user: Option<User>) -> Option<OwnedFd> {
        let process = pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        // Looked at now, for a process that has taken over the number has no descriptor to give.
        if !user.is_none_or(|user| user.has(self.pid)) {
            return None;
        }
        let socket = pidfd_getfd(process, self.fd, PidfdGetfdFlags::empty()).ok()?;
        let same = rustix::fs::fstat(&socket).is_ok_and(|stat| stat.st_ino == self.inode);
        let is_datagram = sockopt::socket_type(&socket) == Ok(SocketType::DGRAM);
        (same && is_datagram).then_some(socket)
    }
}

/// Those who hold one of these sockets, among the processes of other instances than the one that a
/// process is of: each instance is a process group.
fn holders(inodes: &[u64], pid: i32, ancestor: Pid) -> Vec<Holder> {
    let group = |pid: Pid| getpgid(Some(pid)).ok();
    let own = Pid::from_raw(pid).and_then(group);
    let mut found = Vec::new();
    for other in tree::descendants(ancestor) {
        if group(other) == own {
            continue;
        }
        for (fd, inode) in sockets_of(other.as_raw_nonzero().get()).unwrap_or_default() {
            if inodes.contains(&inode) {
                let pid = other;
                found.push(Holder { pid, fd, inode });
            }
        }
    }
    found
}
