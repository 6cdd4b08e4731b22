//! Files that a config names: logs, pid files, the access log.
//!
//! What stands at such a path may be in the reach of somebody who has fewer rights than we have:
//! the app's own user, if root runs it, or a neighbour. So a path is walked from one open folder to
//! the next, and what was checked is what is used:
//!
//! - For an app of another user the file is opened with that user's rights: the kernel allows what
//!   the user may do, and nothing else.
//! - What that user may not do is done with ours only where neither that user nor everybody can
//!   change a folder of the path, so that nobody but root decides which file it is.
//! - For an app of our own user, links in folders that others can change lead no further than into
//!   their owner's folders, and a file that somebody else may have put there is not used.

#![forbid(unsafe_code)]

mod folder;
mod in_use;
mod interference;
mod outside;
#[cfg(test)]
mod tests;
mod trust;
mod walk;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{OFlags, Stat};
use sys::Identity;

pub use folder::{Folder, How, Opened, Place};
pub use interference::interference;
use trust::Trust;
use walk::End;

/// With whose rights files are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The app's user, if that is not this one.
    app: Option<Arc<Identity>>,
}

impl Rights {
    /// Those of an app's user; `None` stands for this one.
    pub fn of(app: Option<Identity>) -> Self {
        let own = rustix::process::geteuid().as_raw();
        Self {
            app: app.filter(|app| app.uid != own).map(Arc::new),
        }
    }

    /// Opens a file to append to, and makes its folder if that is missing.
    ///
    /// # Errors
    /// Those of `openat(2)`; `PermissionDenied` with the reason if it must not be opened.
    pub fn append(&self, path: &Path) -> io::Result<Opened> {
        self.open(path, How::Append)
    }

    /// Writes a small file that others may read, and makes its folder if that is missing.
    ///
    /// # Errors
    /// As [`Rights::append`].
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let opened = self.open(path, How::Replace(0o644))?;
        let mut file = opened.file;
        if !file.metadata()?.is_file() {
            let reason = format!("{} is not a regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        file.set_len(0)?;
        file.write_all(content)
    }

    /// Empties a file; whether it is one that can be emptied.
    ///
    /// # Errors
    /// As [`Rights::append`]; `NotFound` if it is not there.
    pub fn empty(&self, path: &Path) -> io::Result<bool> {
        let file = self.open(path, How::Empty)?.file;
        let is_file = file.metadata()?.is_file();
        if is_file {
            file.set_len(0)?;
        }
        Ok(is_file)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// Those of `unlinkat(2)`; `PermissionDenied` with the reason if it must not be removed.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.attempt(|user| {
            let place = self.find(path, user, false)?;
            place.folder.remove(&place.name)
        });
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// What stands at a path now.
    ///
    /// # Errors
    /// As [`Rights::append`].
    pub fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        if walk::is_descriptor(path) {
            return Ok(rustix::fs::stat(path).ok());
        }
        let found = self.attempt(|user| {
            let place = self.find(path, user, false)?;
            place.folder.stat(&place.name)
        });
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found,
        }
    }

    fn open(&self, path: &Path, how: How) -> io::Result<Opened> {
        if walk::is_descriptor(path) {
            let file = open_descriptor(path)?;
            return Ok(Opened { file, place: None });
        }
        let make_folders = matches!(how, How::Append | How::Replace(_));
        self.attempt(|user| {
            let place = self.find(path, user, make_folders)?;
            let file = place.folder.open(&place.name, how)?;
            let place = Some(place);
            Ok(Opened { file, place })
        })
    }

    /// Tries with the rights of the app's user, and with ours where those do not suffice.
    fn attempt<T>(&self, act: impl Fn(Option<&Arc<Identity>>) -> io::Result<T>) -> io::Result<T> {
        let Some(app) = &self.app else {
            return act(None);
        };
        match act(Some(app)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => act(None),
            done => done,
        }
    }

    fn find(
        &self,
        path: &Path,
        user: Option<&Arc<Identity>>,
        make_folders: bool,
    ) -> io::Result<Place> {
        let (end, trust) = match user {
            Some(user) => (user.act(|| walk::walk(path, None, make_folders))??, None),
            None => {
                let trust = Trust {
                    uid: rustix::process::geteuid().as_raw(),
                    against: self.app.as_deref().cloned(),
                };
                (walk::walk(path, Some(&trust), make_folders)?, Some(trust))
            }
        };
        Ok(place(end, user.cloned(), trust))
    }
}

/// The place that a path leads to, for somebody who only looks at what is there.
///
/// # Errors
/// Those of `openat(2)`.
pub fn look(path: &Path) -> io::Result<Place> {
    Ok(place(walk::walk(path, None, false)?, None, None))
}

fn place(mut end: End, user: Option<Arc<Identity>>, trust: Option<Trust>) -> Place {
    let name = std::mem::take(&mut end.name);
    let folder = in_use::share(Folder::new(end, user, trust));
    Place { folder, name }
}

/// What `/dev/stdout` and the like stand for.
fn open_descriptor(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = File::options();
    options
        .append(true)
        .custom_flags(flags.bits().cast_signed());
    options.open(path)
}
