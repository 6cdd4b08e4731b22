//! A private folder for one running supervisor: the door, and the preload library. A supervisor in the
//! background has a second control socket there, by which it is found when the home folder is gone.
//!
//! Supervisor and guard hold a lock in it, which the kernel drops with the last of them. So a
//! folder whose lock is free was left behind by two that were killed in the same moment, and the
//! next one that is made removes it, with what the workers had started and is still there. The
//! lock is the first thing in a folder and the last that goes, so that one of which the making or
//! the removal was interrupted is known by that, too.

mod again;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use config::RUN_VAR;
use process::tree;
use rustix::fs::{FlockOperation, StatVfsMountFlags, flock, statvfs};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The library, as it was built together with this executable.
pub const LIBRARY: &[u8] = include_bytes!(env!("MAITRED_PRELOAD"));

/// What all these folders are called, before a number.
const PREFIX: &str = "maitred-";

/// What is locked as long as the folder is in use.
const LOCK: &str = "lock";

/// What the lock is called until it is held.
const NEW_LOCK: &str = "lock.new";

/// Names the folder of the app that is run.
const APP: &str = "app";

/// How many names are tried for a new folder.
const TRIES: u32 = 8;

/// How many workers may stand before the door at once.
const DOOR_BACKLOG: i32 = 1024;

/// The folder, with what lies in it.
#[derive(Debug)]
pub struct RuntimeFolder {
    path: PathBuf,
    /// Held.
    lock: File,
}

impl RuntimeFolder {
    /// Makes a new folder that only this user may enter, and writes the library into it.
    ///
    /// # Errors
    /// If there is no place whose path fits into `LD_PRELOAD` and a socket's address, and from
    /// which a library may be loaded.
    pub fn create() -> anyhow::Result<Self> {
        let mut tried = Vec::new();
        for place in places() {
            match Self::create_in(&place) {
                Ok(folder) => {
                    tell_of_passed_over(&tried);
                    return Ok(folder);
                }
                Err(reason) => tried.push(format!("{}: {reason:#}", place.display())),
            }
        }
        bail!(
            "no place for a private folder:\n  {}\nSet XDG_RUNTIME_DIR or TMPDIR to a folder that \
             you may write to, with a short path without spaces and colons, on a file system that \
             is not mounted noexec",
            tried.join("\n  ")
        );
    }

    fn create_in(place: &Path) -> anyhow::Result<Self> {
        let bytes = place.as_os_str().as_bytes();
        if !place.is_absolute() || bytes.iter().any(|byte| b" :\t\n$".contains(byte)) {
            bail!("LD_PRELOAD cannot hold this path");
        }
        if bytes.len() > 64 {
            bail!("the path is too long for a Unix socket");
        }
        if let Some(found) = safe_files::interference(place).context("looking at the folder")? {
            bail!("{found}");
        }
        let flags = statvfs(place).context("looking at the file system")?.f_flag;
        if flags.contains(StatVfsMountFlags::NOEXEC) {
            bail!("mounted noexec, so that no library can be loaded from it");
        }
        remove_left_behind(place);
        let folder = Self::locked_in(place)?;
        DirBuilder::new()
            .mode(0o700)
            .create(folder.links())
            .context("creating the folder for links")?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o500)
            .open(folder.library())
            .and_then(|mut file| file.write_all(LIBRARY))
            .context("writing the preload library")?;
        Ok(folder)
    }

    /// A new folder, with nothing but its lock in it.
    fn locked_in(place: &Path) -> anyhow::Result<Self> {
        let mut tries = 0..TRIES;
        loop {
            let mut nonce = [0; 8];
            rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())
                .context("drawing a name")?;
            let path = place.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(nonce)));
            DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .context("creating the folder")?;
            match lock_in(&path) {
                Ok(lock) => return Ok(Self { path, lock }),
                // As long as there is no lock, another start takes it for one that was left behind.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock)
                        && tries.next().is_some() =>
                {
                    remove(&path);
                }
                Err(error) => {
                    remove(&path);
                    return Err(error).context("locking the folder");
                }
            }
        }
    }

    /// Lets the processes of another group enter, and load the library. All stays ours: they can
    /// neither put anything into the folder, nor take anything out of it.
    ///
    /// # Errors
    /// If this process may not do that.
    pub fn open_to(&self, gid: u32) -> anyhow::Result<()> {
        for (path, mode) in [(self.library(), 0o550), (self.path.clone(), 0o710)] {
            std::os::unix::fs::lchown(&path, None, Some(gid))
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
                .with_context(|| format!("opening {} to group {gid}", path.display()))?;
        }
        Ok(())
    }

    /// Lets processes of every user load the library and reach the registration socket: an app that
    /// root runs may give up its rights by itself, before it binds or after it has forked. Nobody can
    /// list the folder, and the socket answers only processes that descend from the supervisor.
    ///
    /// # Errors
    /// If this process may not do that.
    pub fn open_to_all(&self) -> anyhow::Result<()> {
        for (path, mode) in [(self.library(), 0o555), (self.path.clone(), 0o711)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .with_context(|| format!("opening {} to the app's processes", path.display()))?;
        }
        Ok(())
    }

    /// Notes the folder of the app in the home, so that the supervisor is found when that is gone.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn note_app(&self, app: &Path) -> anyhow::Result<()> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path.join(APP))
            .and_then(|mut file| file.write_all(app.as_os_str().as_bytes()))
            .context("noting the app's folder")
    }

    /// Its name, which no other has.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the library lies.
    pub fn library(&self) -> PathBuf {
        self.path.join("libmaitred.so")
    }

    /// Where workers find the door.
    pub fn door(&self) -> PathBuf {
        self.path.join("door")
    }

    /// Where links to the app's own sockets are kept, for nobody but us.
    pub fn links(&self) -> PathBuf {
        self.path.join("links")
    }

    /// Opens the door, for processes of this user alone; `None` stands for our own.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn open_door(&self, user: Option<u32>) -> anyhow::Result<OwnedFd> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let door = self.door();
        // A supervisor that was killed may have left it.
        let _ = fs::remove_file(&door);
        rustix::net::bind(&socket, &SocketAddrUnix::new(&door)?)
            .with_context(|| format!("binding to {}", door.display()))?;
        // Processes that root starts may become another user by themselves.
        let many = user.is_none() && rustix::process::geteuid().is_root();
        let mode = if many { 0o666 } else { 0o600 };
        rustix::fs::chmod(&door, rustix::fs::Mode::from_raw_mode(mode))?;
        if let Some(user) = user {
            std::os::unix::fs::lchown(&door, Some(user), None)
                .with_context(|| format!("giving {} to user {user}", door.display()))?;
        }
        rustix::net::listen(&socket, DOOR_BACKLOG)?;
        Ok(socket)
    }
}

/// The folders of this user's supervisors in the background, each with the folder of its app.
pub fn of_apps() -> Vec<(PathBuf, PathBuf)> {
    let mut found = BTreeMap::new();
    for folder in places().iter().flat_map(|place| ours_in(place)) {
        if let Ok(app) = fs::read(folder.join(APP)) {
            found.insert(folder, OsString::from_vec(app).into());
        }
    }
    found.into_iter().collect()
}

/// Names the places that the user has chosen, and that were not used.
fn tell_of_passed_over(tried: &[String]) {
    for reason in tried {
        eprintln!("maitred: no private folder in {reason}");
    }
}

/// Removes a folder, its lock last: what is left when that is interrupted is known to be left.
pub fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        // What cannot be removed does no harm.
        let _ = match entry.file_name() {
            name if name == LOCK => continue,
            _ if is_folder => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
    }
    let _ = fs::remove_file(folder.join(LOCK));
    let _ = fs::remove_dir(folder);
}

/// Makes the lock of a folder. It has its name only when it is held, so that nobody takes it for a
/// free one.
fn lock_in(path: &Path) -> std::io::Result<File> {
    let new = path.join(NEW_LOCK);
    let mut options = OpenOptions::new();
    let lock = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&new, path.join(LOCK))?;
    Ok(lock)
}

/// Removes the folders of this user that nobody holds any more, after the processes that bear their
/// names: they would keep ports open that are wanted. What cannot be removed does no harm.
fn remove_left_behind(place: &Path) {
    for folder in ours_in(place) {
        if let Some(claim) = claim(&folder) {
            let name = folder.file_name().unwrap_or_default();
            let end = [b".", name.as_encoded_bytes()].concat();
            tree::kill_marked(|entry| {
                let value = entry.strip_prefix(RUN_VAR.as_bytes());
                value.is_some_and(|it| it.first() == Some(&b'=') && it.ends_with(&end))
            });
            remove(&folder);
            drop(claim);
        } else {
            // Only one that is empty goes. Whoever is just making it tries another one.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folders of this kind and of this user in a place.
fn ours_in(place: &Path) -> impl Iterator<Item = PathBuf> {
    let own = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let ours = entries.filter(move |entry| {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        number.is_some_and(|it| it.len() == 16 && it.bytes().all(is_hexadecimal))
            // Not that of what a link leads to.
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own)
    });
    ours.map(|entry| entry.path())
}

fn is_hexadecimal(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Takes a folder that was left behind, because nobody holds its lock, or the lock alone is gone. As
/// long as what comes back is held, nobody else can take the folder.
fn claim(folder: &Path) -> Option<Claim> {
    // What a folder holds beside its lock came when that was there: so this is looked at first.
    let has_more = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name() != LOCK && entry.file_name() != NEW_LOCK);
    let locked = |name: &str| -> std::io::Result<Claim> {
        let lock = File::open(folder.join(name))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Claim { _lock: Some(lock) })
    };
    match locked(LOCK) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Where it is just being made, whoever makes it finds this one held, and tries another.
            let unused = locked(NEW_LOCK).ok();
            unused.or_else(|| has_more.then_some(Claim { _lock: None }))
        }
        lock => lock.ok(),
    }
}

/// The right to remove a folder, and its lock, if it has one.
struct Claim {
    _lock: Option<File>,
}

/// Where a private folder may be made, the best first.
fn places() -> Vec<PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"]
        .iter()
        .filter_map(std::env::var_os)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    named
        .chain(["/tmp", "/dev/shm", "/var/tmp"].map(PathBuf::from))
        .chain(home)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let place = tempfile::Builder::new()
            .prefix("m")
            .tempdir_in("/tmp")
            .unwrap();
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("door"), "").unwrap();
            path
        };
        let left = make("maitred-0123456789abcdef");
        fs::write(left.join(LOCK), "").unwrap();
        // Of these two the removal was interrupted, and of the third the making.
        let half = make("maitred-1123456789abcdef");
        let empty = make("maitred-3123456789abcdef");
        fs::remove_file(empty.join("door")).unwrap();
        let unlocked = make("maitred-4123456789abcdef");
        fs::rename(unlocked.join("door"), unlocked.join(NEW_LOCK)).unwrap();
        let begun = make("maitred-5123456789abcdef");
        fs::rename(begun.join("door"), begun.join(NEW_LOCK)).unwrap();
        let begins = File::open(begun.join(NEW_LOCK)).unwrap();
        flock(&begins, FlockOperation::NonBlockingLockExclusive).unwrap();
        let others = make("maitred-test-abcdef");
        fs::write(others.join(LOCK), "").unwrap();
        let held = RuntimeFolder::create_in(place.path()).unwrap();
        let link = place.path().join("maitred-2123456789abcdef");
        std::os::unix::fs::symlink(&others, &link).unwrap();
        let next = RuntimeFolder::create_in(place.path()).unwrap();
        for path in [&left, &half, &empty, &unlocked] {
            assert!(!path.exists(), "{}", path.display());
        }
        for path in [&begun, &others, &link, held.path(), next.path()] {
            assert!(path.exists(), "{}", path.display());
        }
        let path = held.path().to_owned();
        drop(held);
        RuntimeFolder::create_in(place.path()).unwrap();
        assert!(!path.exists());
    }

    /// Whoever removes what was left behind must not take what another one is just making for it.
    #[test]
    fn those_that_are_made_at_the_same_time_stay() {
        let place = tempfile::Builder::new()
            .prefix("m")
            .tempdir_in("/tmp")
            .unwrap();
        // Few at a time, so that each look at all of them is short, and meets one in its making.
        let make = || {
            for _ in 0..200 {
                let folder = RuntimeFolder::create_in(place.path()).unwrap();
                std::thread::yield_now();
                for path in [folder.path().join(LOCK), folder.library(), folder.links()] {
                    assert!(path.exists(), "{}", path.display());
                }
                remove(folder.path());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(make);
            }
        });
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
