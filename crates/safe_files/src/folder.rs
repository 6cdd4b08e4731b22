//! A folder that is held open, and what is done with the files in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fstatfs, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use sys::Identity;

use super::trust::{Doubt, Facts, Trust};
use super::walk::{self, End, refusal};

/// How often a file is opened again that appears and disappears under a name.
const TRIES: u32 = 16;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To be appended to; a new one is for its owner alone.
    Append,
    /// To be replaced from its beginning; a new one has this mode, less the umask.
    Replace(u32),
    /// To be emptied, if it is there.
    Empty,
    /// To be read, if it is there.
    Read,
    /// A new one, for its owner alone, where none was.
    New,
}

/// A folder, and with whose rights what is in it is used.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    facts: Facts,
    /// Whose rights, where they are not ours: then the kernel decides.
    user: Option<Arc<Identity>>,
    /// Where they are ours, whom else we trust; `None` for somebody who only looks.
    trust: Option<Trust>,
}

impl Folder {
    pub(super) fn new(end: End, user: Option<Arc<Identity>>, trust: Option<Trust>) -> Self {
        Self {
            fd: end.folder,
            facts: end.facts,
            user,
            trust,
        }
    }

    /// Whether this is the same folder, as it was found, and used with the same rights.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let found = |it: &Self| {
            let Facts {
                inode,
                uid,
                gid,
                mode,
                ..
            } = it.facts;
            (inode, uid, gid, mode)
        };
        found(self) == found(other) && self.user == other.user && self.trust == other.trust
    }

    /// Where it is now, for messages.
    pub fn path(&self) -> PathBuf {
        walk::path_of(&self.fd)
    }

    fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.user {
            Some(user) => user.act(act)?,
            None => act(),
        }
    }

    /// Opens a file in it. Never waits for the other side of a named pipe, and never follows a link.
    ///
    /// # Errors
    /// Those of `openat(2)`; `PermissionDenied` with the reason if the file cannot be trusted.
    pub fn open(&self, name: &OsStr, how: How) -> io::Result<File> {
        let (flags, mode) = match how {
            How::Append => (OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, 0o600),
            How::Replace(mode) => (OFlags::WRONLY | OFlags::CREATE, mode),
            How::Empty => (OFlags::WRONLY, 0),
            How::Read => (OFlags::RDONLY, 0),
            How::New => (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600),
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        self.act(|| {
            let Some(trust) = self
                .trust
                .as_ref()
                .filter(|it| it.others_change(&self.facts))
            else {
                let file = openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?;
                return self.check(File::from(file), name);
            };
            for _ in 0..TRIES {
                let started = walk::now();
                // Ours from its beginning, or looked at.
                let there = flags - OFlags::CREATE;
                if !flags.contains(OFlags::EXCL) {
                    match openat(&self.fd, name, there, Mode::empty()) {
                        Ok(file) => {
                            let facts = Facts::from(&fstat(&file)?);
                            let may = trust.use_file(&self.facts, &facts, started);
                            may.map_err(|doubt| refusal(doubt, &self.fd, Some(name)))?;
                            return self.check(File::from(file), name);
                        }
                        Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                let new = flags | OFlags::CREATE | OFlags::EXCL;
                match openat(&self.fd, name, new, Mode::from_raw_mode(mode)) {
                    Err(Errno::EXIST) if how != How::New => {}
                    made => return Ok(File::from(made?)),
                }
            }
            Err(Errno::AGAIN.into())
        })
    }

    /// What holds wherever a file is: with another user's rights only regular files are used, for
    /// that user could hold us up with any other, and none that the kernel offers in `/proc`, whose
    /// `self` is this process.
    fn check(&self, file: File, name: &OsStr) -> io::Result<File> {
        if self.user.is_some() {
            let regular = Facts::from(&fstat(&file)?).kind == FileType::RegularFile;
            let in_proc = fstatfs(&file)?.f_type == rustix::fs::PROC_SUPER_MAGIC;
            if !regular || in_proc {
                return Err(refusal(Doubt::Kind, &self.fd, Some(name)));
            }
        }
        Ok(file)
    }

    /// What stands under a name, if anything does; a link is not followed.
    ///
    /// # Errors
    /// Those of `fstatat(2)`.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match self.act(|| Ok(statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?)) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names in it.
    ///
    /// # Errors
    /// Those of `openat(2)` and `getdents64(2)`.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        self.act(|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let readable = openat(&self.fd, ".", flags, Mode::empty())?;
            let mut names = Vec::new();
            for entry in Dir::new(readable)? {
                let name = entry?;
                let name = OsStr::from_bytes(name.file_name().to_bytes());
                if name != "." && name != ".." {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        })
    }

    /// Gives a file another name, in the place of one that has it already.
    ///
    /// # Errors
    /// Those of `renameat(2)`.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.act(|| Ok(renameat(&self.fd, from, &self.fd, to)?))
    }

    /// Gives a file another name that nothing has.
    ///
    /// # Errors
    /// Those of `renameat2(2)`: `AlreadyExists` if something has it.
    pub fn rename_to_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.act(|| {
            match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
                // Some file systems cannot promise it.
                Err(Errno::INVAL) => match statat(&self.fd, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EXIST.into()),
                    Err(_) => Ok(renameat(&self.fd, from, &self.fd, to)?),
                },
                renamed => Ok(renamed?),
            }
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Those of `unlinkat(2)`.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.act(|| Ok(unlinkat(&self.fd, name, AtFlags::empty())?))
    }
}

/// A file, and where it is.
#[derive(Debug)]
pub struct Opened {
    pub file: File,
    /// Its folder, and its name there. `None` for one of our descriptors, such as `/dev/stdout`.
    pub place: Option<Place>,
}

/// A name in an open folder.
#[derive(Clone, Debug)]
pub struct Place {
    pub folder: Arc<Folder>,
    pub name: OsString,
}
