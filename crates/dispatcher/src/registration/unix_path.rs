//! The path of a Unix listener, kept alive while workers come and go.
//!
//! A worker that ends, or makes sure that it may bind, removes the path: for all the others too. The
//! library asks first, and is told where others share it. What is removed out of its sight is made
//! again, from a second link to the same socket. All of this is done with the rights of the worker
//! that has bound the path, in the folder that it was bound in, wherever that is moved.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, openat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::{CapabilitySet, Identity, LeftOpen, Rights};

use super::super::address::ListenAddress;

/// The path of a listener.
#[derive(Debug)]
pub(crate) struct KeptPath {
    pub(crate) address: ListenAddress,
    pub(crate) path: UnixPath,
}

/// A path, and the link that it can be made from.
#[derive(Debug)]
pub(crate) struct UnixPath {
    folder: OwnedFd,
    name: OsString,
    /// None where no link could be made: then the path is as mortal as without us.
    link: Option<(OwnedFd, String)>,
    device: u64,
    inode: u64,
    rights: Rights,
    /// It stays when this ends.
    left: bool,
}

/// The same, noted for a supervisor that takes it over: descriptors by their numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PathNote {
    folder: i32,
    name: Vec<u8>,
    link: Option<(i32, String)>,
    device: u64,
    inode: u64,
    user: u32,
    group: u32,
    groups: Vec<u32>,
    capabilities: u64,
}

impl UnixPath {
    /// What is noted of it.
    pub(super) fn note(&self) -> PathNote {
        let Rights {
            identity,
            capabilities,
        } = &self.rights;
        let link = self.link.as_ref();
        PathNote {
            folder: self.folder.as_raw_fd(),
            name: self.name.as_bytes().to_vec(),
            link: link.map(|(folder, link)| (folder.as_raw_fd(), link.clone())),
            device: self.device,
            inode: self.inode,
            user: identity.uid,
            group: identity.gid,
            groups: identity.groups.clone(),
            capabilities: capabilities.bits(),
        }
    }

    /// What an earlier supervisor has noted, if its folder was left open.
    pub(crate) fn again(note: PathNote, left: &mut LeftOpen) -> Option<Self> {
        let folder = left.take(note.folder)?;
        let link = note.link;
        Some(Self {
            folder,
            name: OsString::from_vec(note.name),
            link: link.and_then(|(folder, link)| Some((left.take(folder)?, link))),
            device: note.device,
            inode: note.inode,
            rights: Rights {
                identity: Identity {
                    uid: note.user,
                    gid: note.group,
                    groups: note.groups,
                },
                capabilities: CapabilitySet::from_bits_retain(note.capabilities),
            },
            left: false,
        })
    }

    /// The socket that was just bound to a name in a folder.
    pub(super) fn new(folder: OwnedFd, name: &OsStr, rights: Rights) -> io::Result<Self> {
        let found = rights.act(|| statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW))??;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return Err(Errno::ADDRINUSE.into());
        }
        Ok(Self {
            folder,
            name: name.to_owned(),
            link: None,
            device: found.st_dev,
            inode: found.st_ino,
            rights,
            left: false,
        })
    }

    /// Keeps a link: in `links`, a folder of ours, or beside the path if that is on another file
    /// system, or its owner may not write to ours.
    pub(super) fn keep(&mut self, links: &Path) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let link_in = |folder: OwnedFd| {
            let hidden = hidden_name().ok()?;
            let none = AtFlags::empty();
            linkat(&self.folder, &*self.name, &folder, hidden.as_str(), none).ok()?;
            Some((folder, hidden))
        };
        let links = openat(CWD, links, flags, Mode::empty()).ok();
        let linked = self.rights.act(|| {
            let ours = links.and_then(link_in);
            ours.or_else(|| link_in(self.folder.try_clone().ok()?))
        });
        self.link = linked.ok().flatten();
    }

    /// Makes the path again if it is gone. One that is something else by now is left alone.
    pub(super) fn restore(&self) {
        let Some((folder, link)) = self.link.as_ref().filter(|_| !self.left) else {
            return;
        };
        // Where the owner may not do it any more, or made something there, that is its own wish.
        let _ = self.rights.act(|| {
            let found = statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW);
            if matches!(found, Err(Errno::NOENT)) {
                let none = AtFlags::empty();
                let _ = linkat(folder, link.as_str(), &self.folder, &*self.name, none);
            }
        });
    }

    /// Whether this is its socket.
    pub(super) fn is(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// A path by which its folder can be watched.
    pub(super) fn folder(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.folder.as_raw_fd()).into()
    }

    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Its only worker removes it: it is not made again.
    pub(super) fn give_up(&mut self) {
        self.left = true;
    }

    /// Another process goes on with the path, and with the link.
    pub(super) fn hand_over(mut self) {
        self.left = true;
        self.link = None;
    }

    /// Leaves the path where it is.
    pub(super) fn leave(mut self) {
        self.left = true;
    }
}

/// A name that nobody else has, and that is not listed by default.
pub(super) fn hidden_name() -> io::Result<String> {
    let mut nonce = [0; 8];
    rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!(".maitred-{:016x}", u64::from_ne_bytes(nonce)))
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let none = AtFlags::empty();
        // What its owner may not remove any more stays.
        let _ = self.rights.act(|| {
            if let Some((folder, link)) = &self.link {
                let _ = unlinkat(folder, link.as_str(), none);
            }
            let found = statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW);
            if !self.left && found.is_ok_and(|found| self.is(found.st_dev, found.st_ino)) {
                let _ = unlinkat(&self.folder, &*self.name, none);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn kept(folder: &Path) -> (PathBuf, UnixListener, UnixPath) {
        let path = folder.join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let open = openat(CWD, folder, flags, Mode::empty()).unwrap();
        let rights = Rights {
            identity: sys::Identity::own().unwrap(),
            capabilities: rustix::thread::capabilities(None).unwrap().effective,
        };
        let mut kept = UnixPath::new(open, OsStr::new("app.sock"), rights).unwrap();
        kept.keep(folder);
        (path, listener, kept)
    }

    #[test]
    fn a_path_that_was_removed_leads_to_the_same_socket_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _listener, kept) = kept(folder.path());
        fs::remove_file(&path).unwrap();
        kept.restore();
        UnixStream::connect(&path).unwrap();
        drop(kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_that_another_process_goes_on_with_stays_with_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _listener, kept) = kept(folder.path());
        kept.hand_over();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_path_that_is_something_else_by_now_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _listener, kept) = kept(folder.path());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        kept.restore();
        drop(kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_path_that_its_worker_has_removed_stays_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _listener, mut kept) = kept(folder.path());
        fs::remove_file(&path).unwrap();
        kept.give_up();
        kept.restore();
        assert!(!path.exists());
    }
}
