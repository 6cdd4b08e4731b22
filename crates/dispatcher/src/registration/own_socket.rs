//! The supervisor's own sockets at the addresses that workers bind.
//!
//! A worker keeps its own socket, and so do all processes that have a copy of it: whatever they do
//! to that (clear O_NONBLOCK, accept, shut it down) is nothing to the listener, which nobody but
//! the supervisor holds. Every call that binds is made with the worker's rights: the kernel refuses
//! what it would refuse to the worker.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, chmod, fchmod, fstat, linkat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use sys::Rights;

use super::super::address::ListenAddress;
use super::options;
use super::peer::Peer;
use super::unix_path::UnixPath;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// The longest path in a `sockaddr_un` that ends with a zero byte.
const LONGEST_PATH: usize = 107;

/// How often a path is bound again that another process removes before it can be looked at.
const REMOVED: usize = 3;

/// A socket of ours that is bound.
#[derive(Debug)]
pub(super) struct OwnSocket {
    pub(super) socket: OwnedFd,
    path: Option<UnixPath>,
}

impl OwnSocket {
    pub(super) fn path(&self) -> Option<&UnixPath> {
        self.path.as_ref()
    }

    /// The socket; its path stays where it is, as when a program ends without removing it.
    pub(super) fn leave(self) -> OwnedFd {
        if let Some(path) = self.path {
            path.leave();
        }
        self.socket
    }

    pub(super) fn into_parts(self) -> (OwnedFd, Option<UnixPath>) {
        (self.socket, self.path)
    }
}

/// A TCP socket at this address, with the options of the worker's.
pub(super) fn tcp(theirs: &OwnedFd, sockaddr: &[u8], rights: &Rights) -> io::Result<OwnSocket> {
    let family = sockopt::socket_domain(theirs)?;
    let protocol = sockopt::socket_protocol(theirs)?;
    let socket = socket_with(family, SocketType::STREAM, FLAGS, protocol)?;
    // The worker's own socket may be bound to the same address, and does not listen.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rights.act(|| {
        options::copy(theirs, &socket, options::Kind::Tcp)?;
        sys::bind(socket.as_fd(), sockaddr)
    })??;
    Ok(OwnSocket { socket, path: None })
}

/// A Unix socket in the abstract namespace.
pub(super) fn abstract_name(sockaddr: &[u8]) -> io::Result<OwnSocket> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    sys::bind(socket.as_fd(), sockaddr)?;
    Ok(OwnSocket { socket, path: None })
}

/// A Unix socket at a path, as the worker would have made it: found from its folder, with its
/// rights, its umask, and the permissions of its own socket. `None` for a path that only the worker
/// itself can say what it means. `links` is a folder of ours for the link that keeps it.
pub(super) fn at_path(
    theirs: &OwnedFd,
    path: &[u8],
    peer: &Peer,
    rights: &Rights,
    links: &Path,
) -> io::Result<Option<OwnSocket>> {
    let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&b"/"[..], path.get(1..).unwrap_or(&[])),
        Some(at) => (
            path.get(..at).unwrap_or(&[]),
            path.get(at + 1..).unwrap_or(&[]),
        ),
        None => (&b"."[..], path),
    };
    if matches!(name, b"" | b"." | b"..") {
        return Ok(None);
    }
    let start = if folder.starts_with(b"/") {
        None
    } else {
        match peer.current_folder() {
            Ok(start) => Some(start),
            Err(_) => return Ok(None),
        }
    };
    let path = OsStr::from_bytes(path);
    // What clients and tools see as its name.
    let shown = match peer.current_path() {
        Some(current) => current.join(path).into_os_string(),
        None => path.to_owned(),
    };
    let mode = fstat(theirs)?.st_mode & 0o777 & !peer.umask().unwrap_or(0o022);
    let mode = Mode::from_raw_mode(mode);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (folder, name) = (OsStr::from_bytes(folder), OsStr::from_bytes(name));
    let bind = || -> io::Result<OwnSocket> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        fchmod(&socket, mode)?;
        let folder = rights.act(|| -> io::Result<OwnedFd> {
            let start = start.as_ref().map_or(rustix::fs::CWD, AsFd::as_fd);
            let folder = openat(start, folder, flags, Mode::empty())?;
            bind_in(&folder, name, &socket, shown.as_bytes())?;
            // Our own umask may have taken more.
            let _ = set_mode(&folder, name, mode);
            Ok(folder)
        })??;
        let mut path = UnixPath::new(folder, name, rights.clone())?;
        // From now on it can be put back: another instance that has found a leftover there may remove this
        // one in its place.
        path.keep(links);
        let path = Some(path);
        Ok(OwnSocket { socket, path })
    };
    let mut bound = bind();
    for _ in 0..REMOVED {
        // It was removed just now, or its folder is missing.
        if !matches!(&bound, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
        bound = bind();
    }
    bound.map(Some)
}

/// Removes the path of a Unix socket that nobody listens at any more, with a worker's rights. Whether it
/// was one.
pub(super) fn remove_dead(address: &ListenAddress, rights: &Rights) -> bool {
    let ListenAddress::Path(path) = address else {
        return false;
    };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let remove = || -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(rustix::fs::CWD, folder, flags, Mode::empty())?;
        let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return Ok(false);
        }
        let within = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        let served = connect(&client, &SocketAddrUnix::new(within.join(name))?);
        if served != Err(Errno::CONNREFUSED) {
            return Ok(false);
        }
        unlinkat(&folder, name, AtFlags::empty())?;
        Ok(true)
    };
    matches!(rights.act(remove), Ok(Ok(true)))
}

/// Binds a socket to a name in a folder: by the path that is to be shown, or, where that is too long
/// or leads through folders that are closed to the worker, by that of the folder's descriptor.
/// Where the name does not fit behind that either, the socket gets it by a link.
fn bind_in(folder: &OwnedFd, name: &OsStr, socket: &OwnedFd, shown: &[u8]) -> io::Result<()> {
    let bind = |path: &[u8]| {
        if path.len() > LONGEST_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        let sockaddr = [&1u16.to_ne_bytes()[..], path, &[0]].concat();
        sys::bind(socket.as_fd(), &sockaddr)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    };
    match bind(shown) {
        Err(Errno::NAMETOOLONG | Errno::ACCESS) => {}
        bound => return Ok(bound?),
    }
    let within = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    match bind(&[&within, name.as_bytes()].concat()) {
        Err(Errno::NAMETOOLONG) => {}
        bound => return Ok(bound?),
    }
    let short = super::unix_path::hidden_name()?;
    bind(&[&within, short.as_bytes()].concat())?;
    let linked = linkat(folder, short.as_str(), folder, name, AtFlags::empty());
    let _ = unlinkat(folder, short.as_str(), AtFlags::empty());
    match linked {
        Err(Errno::EXIST) => Err(Errno::ADDRINUSE.into()),
        linked => Ok(linked?),
    }
}

/// Gives the socket at a name its permissions. Somebody else who may change the folder can have put a link
/// to any file there by now: nothing but a socket is touched.
fn set_mode(folder: &OwnedFd, name: &OsStr, mode: Mode) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(folder, name, flags, Mode::empty())?;
    let stat = fstat(&found)?;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    if is_socket && Mode::from_raw_mode(stat.st_mode) != mode {
        chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), mode)?;
    }
    Ok(())
}

/// Whether a socket is of a kind that we could make ourselves, at an address of this family.
pub(super) fn is_supported(theirs: &OwnedFd, sockaddr: &[u8]) -> bool {
    const MPTCP: u32 = 262;
    let Ok(domain) = sockopt::socket_domain(theirs) else {
        return false;
    };
    let family = sockaddr.first_chunk().map(|it| u16::from_ne_bytes(*it));
    if sockopt::socket_type(theirs) != Ok(SocketType::STREAM) || family != Some(domain.as_raw()) {
        return false;
    }
    let protocol = sockopt::socket_protocol(theirs).ok().flatten();
    match domain {
        AddressFamily::UNIX => true,
        AddressFamily::INET | AddressFamily::INET6 => protocol.is_some_and(|it| {
            it == rustix::net::ipproto::TCP || Protocol::as_raw(it).get() == MPTCP
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_socket_that_nobody_listens_at_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let address = ListenAddress::Path(path.clone());
        let rights = Rights {
            identity: sys::Identity::own().unwrap(),
            capabilities: rustix::thread::capabilities(None).unwrap().effective,
        };
        assert!(!remove_dead(&address, &rights), "there is nothing");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(!remove_dead(&address, &rights), "somebody listens");
        assert!(path.exists());
        drop(listener);
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(
            !remove_dead(&ListenAddress::Path(link.clone()), &rights),
            "a link"
        );
        assert!(link.is_symlink() && path.exists());
        assert!(remove_dead(&address, &rights));
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(!remove_dead(&address, &rights), "a file");
        assert!(path.exists());
    }
}
