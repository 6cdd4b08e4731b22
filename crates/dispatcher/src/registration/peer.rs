//! Who asks: the process at the other end of a connection to the registration socket, and what the
//! kernel lets it do.
//!
//! Nothing here goes by what a process says of itself. It is read from `/proc` through a descriptor
//! of the process's own folder, which leads nowhere when the process has ended, so that a process
//! number that is used again cannot lend its rights to anybody.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sys::{CapabilitySet, Identity, Rights};

use super::super::pidfd::has_ended;

/// Longer chains of parents are taken for none of ours.
const MOST_PARENTS: usize = 1024;

/// A process that asks.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) pid: i32,
    /// Becomes readable when the process ends.
    pub(super) handle: OwnedFd,
    /// Its folder in `/proc`.
    folder: OwnedFd,
    pub(super) identity: Identity,
}

impl Peer {
    /// The process that has connected this socket, if it is still there.
    pub(super) fn of(caller: BorrowedFd<'_>) -> io::Result<Self> {
        let (pid, identity) = Identity::of_peer(caller)?;
        let handle = match sys::peer_pidfd(caller) {
            // Before Linux 6.5. A process that has ended since, whose number was given to another
            // one in this moment, is not told from that.
            Err(error) if error.raw_os_error() == Some(NO_SUCH_OPTION) => {
                pidfd_open(pid, PidfdFlags::empty())?
            }
            handle => handle?,
        };
        let pid = pid.as_raw_nonzero().get();
        let folder = open_folder(CWD, &format!("/proc/{pid}"))?;
        let peer = Self {
            pid,
            handle,
            folder,
            identity,
        };
        // Now the folder is known to be that of the same process.
        if peer.has_ended() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(peer)
    }

    pub(super) fn has_ended(&self) -> bool {
        has_ended(&self.handle)
    }

    /// Whether it descends from a process.
    ///
    /// # Errors
    /// If no descriptor is left to find out.
    pub(super) fn descends_from(&self, ancestor: Pid) -> io::Result<bool> {
        let ancestor = ancestor.as_raw_nonzero().get();
        // A parent that ends in between changes the chain: then it is read anew.
        for _ in 0..4 {
            if descends(self.pid, ancestor, read_parent)? {
                return Ok(!self.has_ended());
            }
        }
        Ok(false)
    }

    /// Its parent.
    pub(super) fn parent(&self) -> Option<i32> {
        parent_of(self.pid)
    }

    /// The numbers that it has, in our namespace and in its own.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let line = self.status("NSpid:").unwrap_or_default();
        line.split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    }

    /// The processes between it and an ancestor, its parent first.
    pub(super) fn parents_up_to(&self, ancestor: Pid) -> Vec<i32> {
        let ancestor = ancestor.as_raw_nonzero().get();
        let parents = std::iter::successors(self.parent(), |pid| parent_of(*pid));
        parents
            .take_while(|pid| *pid != ancestor && *pid > 1)
            .take(MOST_PARENTS)
            .collect()
    }

    /// All that it is allowed.
    pub(super) fn rights(&self) -> Rights {
        Rights {
            identity: self.identity.clone(),
            capabilities: self.capabilities(),
        }
    }

    /// The capabilities that count for it.
    fn capabilities(&self) -> CapabilitySet {
        let own = rustix::process::geteuid().as_raw();
        let is_of_our_users = || {
            statat(&self.folder, "ns/user", AtFlags::empty())
                .and_then(|theirs| {
                    Ok((theirs, statat(CWD, "/proc/self/ns/user", AtFlags::empty())?))
                })
                .is_ok_and(|(theirs, ours)| theirs.st_ino == ours.st_ino)
        };
        counted(self.identity.uid == own, || self.text(), is_of_our_users)
    }

    /// The permissions that it takes from files which it makes.
    pub(super) fn umask(&self) -> Option<u32> {
        u32::from_str_radix(self.status("Umask:")?.trim(), 8).ok()
    }

    /// Whether it runs Bun, by the name of its program.
    pub(super) fn is_bun(&self) -> bool {
        let program = readlinkat(&self.folder, "exe", Vec::new()).ok();
        let program = program.and_then(|path| path.into_string().ok());
        match program.or_else(|| self.status("Name:")) {
            Some(path) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                name.trim().starts_with("bun")
            }
            None => false,
        }
    }

    /// A line of its `status`.
    fn status(&self, field: &str) -> Option<String> {
        line_of(&self.text()?, field).map(str::to_owned)
    }

    /// Its `status`.
    fn text(&self) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&self.folder, "status", flags, Mode::empty()).ok()?;
        io::read_to_string(std::fs::File::from(file)).ok()
    }

    /// The folder that its relative paths start from, as a path; none where it may not be known.
    pub(super) fn current_path(&self) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let path = readlinkat(&self.folder, "cwd", Vec::new()).ok()?;
        Some(std::ffi::OsString::from_vec(path.into_bytes()).into())
    }

    /// The same folder, opened.
    pub(super) fn current_folder(&self) -> io::Result<OwnedFd> {
        open_folder(self.folder.as_fd(), "cwd")
    }

    /// Whether a path means the same to it as to us. Where the kernel does not tell, what it names
    /// is looked up in our files with its rights.
    pub(super) fn sees_our_files(&self) -> bool {
        ["ns/mnt", "root"].iter().all(|name| {
            let theirs = statat(&self.folder, *name, AtFlags::empty());
            let ours = statat(CWD, format!("/proc/self/{name}"), AtFlags::empty());
            match (theirs, ours) {
                (Ok(theirs), Ok(ours)) => {
                    (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
                }
                _ => true,
            }
        })
    }
}

const NO_SUCH_OPTION: i32 = rustix::io::Errno::NOPROTOOPT.raw_os_error();

fn open_folder(at: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

/// What stands behind a field's name in a `status`.
fn line_of<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(field))
}

/// The capabilities of a process that count, by its `status`.
///
/// The kernel reports the current capabilities. Since it connected, the process may have executed a
/// program that gets more than its caller has (the set-user-ID bit, file capabilities). So only the
/// ambient capabilities of another user's process count: every such program begins without any.
fn counted(
    is_our_user: bool,
    status: impl FnOnce() -> Option<String>,
    is_of_our_users: impl FnOnce() -> bool,
) -> CapabilitySet {
    let status = status();
    // Not before: a process that makes a namespace of users has all capabilities there from then on, and
    // never comes back.
    if !is_of_our_users() {
        return CapabilitySet::empty();
    }
    let set = |field| {
        let digits = line_of(status.as_deref()?, field)?;
        let bits = u64::from_str_radix(digits.trim(), 16).ok()?;
        Some(CapabilitySet::from_bits_retain(bits))
    };
    let [effective, ambient] =
        ["CapEff:", "CapAmb:"].map(|it| set(it).unwrap_or(CapabilitySet::empty()));
    match is_our_user {
        true => effective,
        false => effective & ambient,
    }
}

/// Whether a chain of parents leads from one process to another. Between two looks at a process's
/// parent, which find the same, that one was alive, and its own parent was read in between: so no
/// number in the chain can have changed its meaning.
fn descends(
    pid: i32,
    ancestor: i32,
    parent_of: impl Fn(i32) -> io::Result<Option<i32>>,
) -> io::Result<bool> {
    let mut at = pid;
    for _ in 0..MOST_PARENTS {
        if at == ancestor {
            return Ok(true);
        }
        let Some(parent) = parent_of(at)?.filter(|parent| *parent > 0) else {
            return Ok(false);
        };
        if parent == ancestor {
            return Ok(true);
        }
        let before = parent_of(parent)?;
        if before.is_none() || parent_of(at)? != Some(parent) {
            return Ok(false);
        }
        at = parent;
    }
    Ok(false)
}

/// The parent of a process; none where it is not told.
pub(super) fn parent_of(pid: i32) -> Option<i32> {
    read_parent(pid).ok().flatten()
}

/// The parent of a process, from `/proc/<pid>/stat`: the fourth field, behind the name in
/// parentheses. An error tells nothing of the process.
fn read_parent(pid: i32) -> io::Result<Option<i32>> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Err(error) if is_scarcity(&error) => Err(error),
        Err(_) => Ok(None),
        Ok(stat) => {
            let rest = stat.rsplit_once(')').map(|(_, rest)| rest);
            let parent = rest.and_then(|rest| rest.split_whitespace().nth(1));
            Ok(parent.and_then(|parent| parent.parse().ok()))
        }
    }
}

/// Whether a call has failed because no descriptor was left.
pub(super) fn is_scarcity(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn chain(pairs: &[(i32, i32)]) -> impl Fn(i32) -> io::Result<Option<i32>> {
        move |pid| {
            let found = pairs.iter().find(|(child, _)| *child == pid);
            Ok(found.map(|(_, parent)| *parent))
        }
    }

    #[test]
    fn a_descendant_is_known_by_its_parents() {
        let tree = [(9, 7), (7, 5), (5, 1), (8, 1), (1, 0)];
        for (pid, descends_from_5) in [(9, true), (7, true), (5, true), (8, false), (1, false)] {
            let descends = descends(pid, 5, chain(&tree)).unwrap();
            assert_eq!(descends, descends_from_5, "{pid}");
        }
        assert!(!descends(9, 5, chain(&[(9, 7), (7, 9)])).unwrap());
        assert!(!descends(9, 5, |_| Ok(None)).unwrap());
        assert!(descends(std::process::id() as i32, 1, read_parent).unwrap());
    }

    /// A stranger's parent ends, and its number goes to a process of ours.
    #[test]
    fn a_number_that_is_used_again_makes_no_descendant() {
        let looks = Cell::new(0);
        let parent = |pid| {
            looks.set(looks.get() + 1);
            Ok(Some(match (pid, looks.get()) {
                (9, 1) => 7,
                (7, _) => 5,
                (9, _) => 1,
                _ => 0,
            }))
        };
        assert!(!descends(9, 5, parent).unwrap());
    }

    /// A caller whose processes could not be looked at is not taken for a stranger.
    #[test]
    fn without_a_descriptor_nothing_is_said_of_a_process() {
        for nth in 1..4 {
            let looks = Cell::new(0);
            let parent = |pid| {
                looks.set(looks.get() + 1);
                match looks.get() == nth {
                    true => Err(Errno::MFILE.into()),
                    false => chain(&[(9, 7), (7, 5)])(pid),
                }
            };
            let error = descends(9, 5, parent).unwrap_err();
            assert!(is_scarcity(&error), "{nth}");
        }
    }

    /// Whose process it is, its capabilities, effective and ambient, and those that count.
    #[test]
    fn another_user_s_process_has_what_no_program_gives_it() {
        const ALL: u64 = (1 << 41) - 1;
        for (is_our_user, effective, ambient, expected) in [
            (true, 0x400, 0, 0x400),
            (true, 0, 0x400, 0),
            (false, ALL, 0, 0),
            (false, 0x400, 0x400, 0x400),
            (false, ALL, 0x400, 0x400),
            (false, 0, 0x400, 0),
        ] {
            let status =
                format!("Uid:\t0\t0\nCapEff:\t{effective:016x}\nCapAmb:\t{ambient:016x}\n");
            let found = counted(is_our_user, || Some(status), || true);
            assert_eq!(
                found.bits(),
                expected,
                "{is_our_user} {effective:x} {ambient:x}"
            );
        }
        let none = |status: Option<&str>| counted(true, || status.map(str::to_owned), || true);
        for status in [None, Some(""), Some("CapEff:\tx"), Some("CapEff:")] {
            assert_eq!(none(status), CapabilitySet::empty(), "{status:?}");
        }
    }

    /// It enters a namespace of users while its `status` is read.
    #[test]
    fn capabilities_in_a_namespace_of_its_own_do_not_count() {
        let is_ours = Cell::new(true);
        let status = || {
            is_ours.set(false);
            Some("CapEff:\t000001ffffffffff\nCapAmb:\t000001ffffffffff\n".to_owned())
        };
        let found = counted(true, status, || is_ours.get());
        assert_eq!(found, CapabilitySet::empty());
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = Peer::of(one.as_fd()).unwrap();
        assert_eq!(peer.pid, std::process::id() as i32);
        assert!(peer.sees_our_files() && !peer.has_ended());
        let own = rustix::thread::capabilities(None).unwrap().effective;
        assert_eq!(peer.rights().capabilities, own);
        assert_eq!(peer.current_path(), std::env::current_dir().ok());
        assert!(peer.umask().is_some_and(|umask| umask <= 0o777));
    }
}
