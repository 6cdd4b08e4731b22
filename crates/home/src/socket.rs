//! Unix sockets whose paths may be longer than the 107 bytes that an address holds.
//!
//! The folder is opened, and the socket is named by way of `/proc/self/fd`, which is short
//! whatever the folder's own path.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Opens a socket in a folder, in the place of one that was left there. Whoever calls this holds
/// the lock that tells that nobody listens on the old one.
pub(super) fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let folder = open_folder(folder)?;
    let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    rustix::fs::chmod(&path, Mode::RUSR | Mode::WUSR)?;
    Ok(listener)
}

/// Connects to a socket in a folder.
pub(super) fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = open_folder(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_and_leftovers() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("x".repeat(150));
        fs::create_dir(&folder).unwrap();
        assert!(connect(&folder, "control").is_err());
        drop(listen(&folder, "control").unwrap());
        assert!(connect(&folder, "control").is_err());
        let _listener = listen(&folder, "control").unwrap();
        connect(&folder, "control").unwrap();
    }
}
