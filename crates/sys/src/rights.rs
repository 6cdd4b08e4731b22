//! Acting with another's rights: what a worker names, the kernel shall allow or refuse as it would
//! for the worker itself.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Pid, Signal};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::process::Identity;

/// All that the kernel allows a process for: its identity, and its capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// User and groups.
    pub identity: Identity,
    /// What it may do beyond that, as `CapEff` in `/proc/<pid>/status` tells.
    pub capabilities: CapabilitySet,
}

impl Rights {
    /// Does something as [`Identity::act`] does, and with no capability that is missing here: ports,
    /// socket options and devices are refused, too, where they would be refused to the other.
    ///
    /// # Errors
    /// As [`Identity::act`].
    pub fn act<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let own = capabilities(None)?;
        self.identity.act(|| {
            let mut lowered = own;
            lowered.effective = own.permitted & self.capabilities;
            if lowered == own {
                return Ok(act());
            }
            let _back = CapabilitiesBack(own.effective);
            set_capabilities(None, lowered)?;
            Ok(act())
        })?
    }
}

/// Gives a thread its effective capabilities back.
struct CapabilitiesBack(CapabilitySet);

impl Drop for CapabilitiesBack {
    fn drop(&mut self) {
        let back = capabilities(None).and_then(|mut sets| {
            sets.effective = self.0;
            set_capabilities(None, sets)
        });
        if back.is_err() {
            // To go on without our own rights, or with another's, would be worse than to end.
            std::process::abort();
        }
    }
}

impl Identity {
    /// The rights that this thread has.
    ///
    /// # Errors
    /// Those of `getgroups(2)`.
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups()?
                .into_iter()
                .map(rustix::process::Gid::as_raw)
                .collect(),
        })
    }

    /// The process at the other end of a Unix socket, and the rights it had when it connected
    /// (`SO_PEERCRED`, `SO_PEERGROUPS` in `unix(7)`). The process may have ended since.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`; `InvalidData` for a peer without a process in this namespace.
    pub fn of_peer(socket: BorrowedFd<'_>) -> io::Result<(Pid, Self)> {
        const MOST_GROUPS: usize = 65_536;
        let mut peer = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the kernel writes one `ucred` at most, as `len` says, and the length.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut peer).cast(),
                &raw mut len,
            )
        };
        if got != 0 {
            return Err(io::Error::last_os_error());
        }
        let pid = Pid::from_raw(peer.pid).ok_or(io::ErrorKind::InvalidData)?;
        let mut groups: Vec<u32> = vec![0; 32];
        loop {
            let mut len = (groups.len() * size_of::<u32>()) as libc::socklen_t;
            // SAFETY: the kernel writes as many bytes as `len` says at most, which the vector
            // holds, and then how many they are, or how many it would need.
            let got = unsafe {
                libc::getsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_PEERGROUPS,
                    groups.as_mut_ptr().cast(),
                    &raw mut len,
                )
            };
            let count = len as usize / size_of::<u32>();
            if got == 0 {
                groups.truncate(count);
                break;
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ERANGE) || count > MOST_GROUPS {
                return Err(error);
            }
            groups.resize(count, 0);
        }
        let identity = Self {
            uid: peer.uid,
            gid: peer.gid,
            groups,
        };
        Ok((pid, identity))
    }

    /// Does something with files as if this thread had these rights: opening, creating, linking and
    /// removing succeed and fail as they would for that user. Only this thread is changed, and only
    /// until `act` is over. What `act` calls must be file system calls of this very thread; ports,
    /// signals and other capabilities stay ours.
    ///
    /// Where the rights are our own, nothing is changed. The mechanism is `setfsuid(2)`: with a user
    /// other than root the kernel also withdraws the capabilities that override file permissions.
    /// The signal that this thread gets at its parent's end is lost if the parent ends meanwhile: a
    /// thread that counts on it leaves this to another one.
    ///
    /// # Errors
    /// `PermissionDenied` if this process may not take on these rights; then `act` is not called.
    pub fn act<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let own = Self::own()?;
        if own.uid == self.uid && own.gid == self.gid && same_groups(&own.groups, &self.groups) {
            return Ok(act());
        }
        // The kernel forgets it when rights change, as they do twice.
        let signal = rustix::process::parent_process_death_signal()?;
        let _back = Back(&own, signal);
        if !self.take_on() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(act())
    }

    /// Whether this thread has these rights for files now.
    fn take_on(&self) -> bool {
        // The user last: with it go the rights to change the groups.
        set_groups(&self.groups) && set_fsgid(self.gid) && set_fsuid(self.uid)
    }
}

/// Gives a thread its own rights back, and the signal that it gets when its parent ends.
struct Back<'a>(&'a Identity, Option<Signal>);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        // The user first: with it come the rights to change the groups.
        let back = set_fsuid(self.0.uid) & set_fsgid(self.0.gid);
        // Where groups could not be changed, they need not be changed back.
        if !back || !(set_groups(&self.0.groups) || self.0.uid != 0) {
            // To go on with another's rights would be worse than to end.
            std::process::abort();
        }
        // With a signal that was valid before, the call cannot fail.
        let _ = rustix::process::set_parent_process_death_signal(self.1);
    }
}

fn same_groups(one: &[u32], other: &[u32]) -> bool {
    one.len() == other.len() && one.iter().all(|group| other.contains(group))
}

/// The system call itself changes this thread alone; libc's function would change them all.
fn set_groups(groups: &[u32]) -> bool {
    // SAFETY: the kernel reads as many numbers as the slice holds.
    unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0 }
}

/// The call tells nothing of its success; asking again with an impossible user tells whose it is.
fn set_fsuid(uid: u32) -> bool {
    // SAFETY: the calls take a number.
    unsafe {
        libc::setfsuid(uid);
        libc::setfsuid(u32::MAX) as u32 == uid
    }
}

fn set_fsgid(gid: u32) -> bool {
    // SAFETY: the calls take a number.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsgid(u32::MAX) as u32 == gid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixStream;

    fn nobody() -> Identity {
        Identity {
            uid: 65534,
            gid: 65534,
            groups: vec![65534],
        }
    }

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("sys-rights-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn the_kernel_refuses_what_the_other_may_not_do() {
        let folder = scratch("refused");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let secret = folder.join("secret");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let own = Identity::own().unwrap();
        if own.uid == 0 {
            let read = nobody().act(|| fs::read(&secret)).unwrap();
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            let made = nobody().act(|| fs::write(folder.join("new"), "")).unwrap();
            assert_eq!(made.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            let made = folder.join("theirs");
            nobody().act(|| fs::write(&made, "")).unwrap().unwrap();
            assert_eq!(fs::metadata(&made).unwrap().uid(), 65534);
        } else {
            let error = nobody().act(|| ()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
        // Ours are back.
        assert_eq!(fs::read(&secret).unwrap(), b"x");
        assert!(same_groups(&Identity::own().unwrap().groups, &own.groups));
        own.act(|| fs::write(folder.join("own"), ""))
            .unwrap()
            .unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_signal_at_the_parent_s_end_is_kept() {
        use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::USR1)).unwrap();
        // Refused for an ordinary user, who keeps it all the same.
        let _ = nobody().act(|| ());
        assert_eq!(parent_process_death_signal().unwrap(), Some(Signal::USR1));
        set_parent_process_death_signal(None).unwrap();
    }

    #[test]
    fn capabilities_that_the_other_lacks_are_not_used() {
        let own = capabilities(None).unwrap();
        let bind = |port| std::net::TcpListener::bind(("127.0.0.1", port)).map(drop);
        let denied = |bound: io::Result<()>| {
            bound.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        let lower = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let lower = lower.map_or(1024, |text| text.trim().parse::<u32>().unwrap());
        if lower > 1 && own.effective.contains(CapabilitySet::NET_BIND_SERVICE) {
            assert!(!denied(bind(1)));
        }
        let mut rights = Rights {
            identity: Identity::own().unwrap(),
            capabilities: CapabilitySet::empty(),
        };
        if lower > 1 {
            assert!(denied(rights.act(|| bind(1)).unwrap()));
        }
        if own.permitted.contains(CapabilitySet::SETUID) {
            rights.identity = nobody();
            let held = rights.act(|| capabilities(None).unwrap().effective);
            assert_eq!(held.unwrap(), CapabilitySet::empty());
            rights.capabilities = CapabilitySet::NET_BIND_SERVICE;
            let held = rights.act(|| capabilities(None).unwrap().effective);
            assert_eq!(
                held.unwrap(),
                CapabilitySet::NET_BIND_SERVICE & own.permitted
            );
        }
        assert_eq!(capabilities(None).unwrap(), own);
    }

    #[test]
    fn rights_come_back_after_a_panic() {
        let folder = scratch("panic");
        let died = std::panic::catch_unwind(|| nobody().act(|| panic!("on purpose")));
        assert!(died.is_err() || Identity::own().unwrap().uid != 0);
        fs::write(folder.join("file"), "").unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_peer_is_known_with_its_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (pid, peer) = Identity::of_peer(one.as_fd()).unwrap();
        let own = Identity::own().unwrap();
        assert_eq!(pid, rustix::process::getpid());
        assert_eq!((peer.uid, peer.gid), (own.uid, own.gid));
        assert!(same_groups(&peer.groups, &own.groups));
    }
}
