//! The path of a Unix listener, kept alive while workers come and go.
//!
//! A worker that ends, or makes sure that it may bind, removes the path: for all the others too.
//! So a second link to the same socket is kept, out of sight, from which the path is made again.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A path, and the link that it can be made from.
#[derive(Debug)]
pub(crate) struct UnixPath {
    path: PathBuf,
    /// None where no link could be made: then the path is as mortal as without us.
    link: Option<PathBuf>,
    inode: u64,
}

impl UnixPath {
    /// Keeps the socket at `path`. The link goes to `folder`, or beside the path if that is on
    /// another file system.
    pub(crate) fn keep(path: &Path, folder: &Path) -> Self {
        let inode = fs::symlink_metadata(path).map_or(0, |meta| meta.ino());
        let name = format!(".maitred-{}-{inode}", std::process::id());
        let link = [folder, path.parent().unwrap_or(folder)]
            .iter()
            .map(|folder| folder.join(&name))
            .find(|link| fs::hard_link(path, link).is_ok());
        Self {
            path: path.to_owned(),
            link,
            inode,
        }
    }

    /// Makes the path again if it is gone. One that is something else by now is left alone.
    pub(crate) fn restore(&self) {
        if let Some(link) = &self.link
            && fs::symlink_metadata(&self.path).is_err()
        {
            // Whoever made something there in the meantime wanted it so.
            let _ = fs::hard_link(link, &self.path);
        }
    }
}

/// Whether there is nothing at a path.
pub(crate) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// A new socket at a path.
pub(crate) fn bind(path: &Path) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
    let (unix, stream) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = socket_with(unix, stream, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            let _ = fs::remove_file(link);
        }
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_path_that_was_removed_leads_to_the_same_socket_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let kept = UnixPath::keep(&path, folder.path());
        fs::remove_file(&path).unwrap();
        kept.restore();
        UnixStream::connect(&path).unwrap();
        drop(kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_that_is_something_else_by_now_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let kept = UnixPath::keep(&path, folder.path());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        kept.restore();
        drop(kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
