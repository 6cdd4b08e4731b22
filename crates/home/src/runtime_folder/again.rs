//! A folder that another version of maitred has made, whose place this one has taken.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{LIBRARY, LOCK, RuntimeFolder};

impl RuntimeFolder {
    /// The folder that another program has made, whose place this one has taken, with its lock. The library in it
    /// becomes that of this version: processes that start from now on load it.
    ///
    /// # Errors
    /// If it is not that lock, or nothing can be written.
    pub fn again(path: PathBuf, lock: OwnedFd) -> anyhow::Result<Self> {
        let lock = File::from(lock);
        let named = fs::symlink_metadata(path.join(LOCK));
        let named = named.with_context(|| format!("looking at {}", path.display()))?;
        let held = lock.metadata().context("looking at the lock")?;
        if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
            bail!("{} was not handed over", path.display());
        }
        let folder = Self { path, lock };
        folder
            .renew_library()
            .context("writing the preload library")?;
        Ok(folder)
    }

    /// Puts this version's library in the place of another one's, for the same users.
    fn renew_library(&self) -> std::io::Result<()> {
        let library = self.library();
        if fs::read(&library)? == LIBRARY {
            return Ok(());
        }
        let before = fs::metadata(&library)?;
        let new = library.with_extension("new");
        // A program that was killed here has left it.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o500)
            .open(&new)?;
        file.write_all(LIBRARY)?;
        if before.gid() != file.metadata()?.gid() {
            std::os::unix::fs::fchown(&file, None, Some(before.gid()))?;
        }
        file.set_permissions(before.permissions())?;
        // A process that loads it at this moment finds one of them.
        fs::rename(&new, &library)
    }

    /// The number of the lock's descriptor.
    pub fn lock(&self) -> RawFd {
        self.lock.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Processes that start from now on load this version's library, with the rights that they had for the other
    /// one, and nothing else has changed.
    #[test]
    fn the_library_is_renewed_and_who_may_load_it_stays() {
        let place = tempfile::Builder::new()
            .prefix("m")
            .tempdir_in("/tmp")
            .unwrap();
        let made = RuntimeFolder::create_in(place.path()).unwrap();
        let (path, library) = (made.path().to_owned(), made.library());
        made.open_to_all().unwrap();
        let lock = || OwnedFd::from(made.lock.try_clone().unwrap());
        for text in [LIBRARY, b"another version's", b"", LIBRARY] {
            fs::set_permissions(&library, fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(&library, text).unwrap();
            fs::set_permissions(&library, fs::Permissions::from_mode(0o555)).unwrap();
            // An update was interrupted here.
            fs::write(path.join("libmaitred.new"), "half").unwrap();
            let again = RuntimeFolder::again(path.clone(), lock()).unwrap();
            assert_eq!(again.name(), made.name());
            assert!(fs::read(&library).unwrap() == LIBRARY);
            let mode = fs::metadata(&library).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o555);
        }
        let other = File::open(&library).unwrap();
        assert!(RuntimeFolder::again(path, other.into()).is_err());
    }
}
