//! UDP ports: an instance that finds one taken by another instance of the app gets its socket.
//!
//! Nothing is kept here: who has the socket is read from `/proc` when somebody asks, and it is
//! copied out of that process. So a port is bound for as long as an instance has it, and no longer.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpgid, getpid, pidfd_getfd, pidfd_open};

use super::notice::Notice;
use process::sockets::{Table, holder_of, read, sockets_of};
use process::tree;

/// The user and the group of a process that may have sockets of its like alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The socket of another instance that has this address, and can be shared; and what there is to say
/// of it. Nobody gets one out of another user's process, from which it could not take it by itself: `user`
/// is who asks, and none where that is our own.
pub(super) fn find(
    address: SocketAddr,
    pid: i32,
    instance: u32,
    user: Option<User>,
) -> (Option<OwnedFd>, Notice) {
    let entries = read(Table::Udp);
    let inodes: Vec<_> = entries
        .iter()
        .filter(|entry| entry.local == address)
        .map(|entry| entry.inode)
        .collect();
    let holders = holders(&inodes, pid);
    let socket = holders.iter().find_map(|holder| holder.socket_for(user));
    let notice = match (&socket, inodes.first()) {
        (Some(_), _) => Notice::DatagramsShared { instance, address },
        (None, _) if !holders.is_empty() => Notice::DatagramsNotShared { instance, address },
        (None, inode) => Notice::DatagramsInUse {
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
        if !user.is_none_or(|user| self.is_of(user)) {
            return None;
        }
        let socket = pidfd_getfd(process, self.fd, PidfdGetfdFlags::empty()).ok()?;
        let same = rustix::fs::fstat(&socket).is_ok_and(|stat| stat.st_ino == self.inode);
        let is_datagram = sockopt::socket_type(&socket) == Ok(SocketType::DGRAM);
        (same && is_datagram).then_some(socket)
    }

    /// Whether it is a process of this user.
    fn is_of(&self, user: User) -> bool {
        let status = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        std::fs::read_to_string(status).is_ok_and(|status| tells_of(&status, user))
    }
}

/// Whether a `status` says that a process is of this user alone: neither its real, nor its effective, nor its
/// saved user or group is another one.
fn tells_of(status: &str, user: User) -> bool {
    let all_are = |field, expected: u32| {
        let numbers = status.lines().find_map(|line| line.strip_prefix(field));
        let mut numbers = numbers
            .into_iter()
            .flat_map(str::split_whitespace)
            .peekable();
        numbers.peek().is_some() && numbers.all(|number| number.parse() == Ok(expected))
    };
    all_are("Uid:", user.uid) && all_are("Gid:", user.gid)
}

/// Those who hold one of these sockets, among the processes of other instances than the one that a
/// process is of: each instance is a process group.
fn holders(inodes: &[u64], pid: i32) -> Vec<Holder> {
    let group = |pid: Pid| getpgid(Some(pid)).ok();
    let own = Pid::from_raw(pid).and_then(group);
    let mut found = Vec::new();
    for other in tree::descendants(getpid()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_a_user_if_it_is_of_no_other() {
        let user = User { uid: 7, gid: 8 };
        for (status, expected) in [
            ("Name:\ta\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\n", true),
            ("Uid:\t7\t0\t7\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t0\t7\t7\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t7\t7\t0\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t7\t7\t7\t7\nGid:\t8\t0\t8\t8\n", false),
            ("Uid:\nGid:\n", false),
            ("Uid:\t7\t7\t7\t7\n", false),
            ("", false),
        ] {
            assert_eq!(tells_of(status, user), expected, "{status}");
        }
    }
}
