//! The folder of one app, and the right to run it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use telemetry::metrics::Carried;

use super::record::Record;
use super::{Home, atomic, kept_file, private_folder, socket};

/// The control socket's name.
pub const CONTROL: &str = "control";

/// What a folder that is being removed is called, before the pid of who does it.
const REMOVED: &str = ".removed-";

/// How often a lock that somebody holds is asked for again.
const AGAIN: Duration = Duration::from_millis(5);

/// The folder of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFolder {
    path: PathBuf,
}

impl AppFolder {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is being removed.
    pub(super) fn is_removed(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(REMOVED.as_bytes())
    }

    /// Where the supervisor writes what it has to say.
    pub fn log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    fn record_path(&self) -> PathBuf {
        self.path.join("app.json")
    }

    /// Whether an app was added here.
    pub fn exists(&self) -> bool {
        self.record_path().exists()
    }

    /// Whether it holds a control socket, of a supervisor that runs or was killed.
    pub fn has_socket(&self) -> bool {
        self.path.join(CONTROL).exists()
    }

    /// The user to whom it belongs, if that is somebody else, and it is closed to us.
    pub fn other_owner(&self) -> Option<u32> {
        let owner = self.path().metadata().ok()?.uid();
        let own = rustix::process::geteuid();
        (owner != own.as_raw() && !own.is_root()).then_some(owner)
    }

    /// What is kept of the app.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn record(&self) -> anyhow::Result<Record> {
        let path = self.record_path();
        let text = kept_file::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} cannot be understood; it may be a newer maitred's",
                path.display()
            )
        })
    }

    fn counted_path(&self) -> PathBuf {
        self.path.join("counted.json")
    }

    /// Connects to the supervisor.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(&self) -> io::Result<UnixStream> {
        socket::connect(&self.path, CONTROL)
    }

    /// Opens the control socket.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn listen(&self) -> anyhow::Result<UnixListener> {
        socket::listen(&self.path, CONTROL)
            .with_context(|| format!("opening {}", self.path.join(CONTROL).display()))
    }

    /// Makes the folder, and gets the right to run the app, as [`AppFolder::claim`].
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn create(&self, patience: Duration) -> anyhow::Result<Option<Claim>> {
        private_folder(&self.path)?;
        self.claim(patience)
    }

    /// Tries for so long to get the right to run the app; `None` if another process has it, or the
    /// folder is gone.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn claim(&self, patience: Duration) -> anyhow::Result<Option<Claim>> {
        let until = Instant::now() + patience;
        loop {
            let path = self.path.join("lock");
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(&path);
            let lock = match opened {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    return Err(error).with_context(|| format!("opening {}", path.display()));
                }
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                // One that was removed meanwhile is not the lock any more.
                Ok(()) if same_file(&lock, &path) => {
                    let folder = self.clone();
                    atomic::remove_unfinished(&folder.record_path());
                    return Ok(Some(Claim { folder, lock }));
                }
                Ok(()) => continue,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("locking {}", path.display()));
                }
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Waits until no supervisor and no guard of it live any more.
    pub fn wait_until_free(&self) {
        // One that cannot be waited for has been removed, with the app.
        let _ = wait_for_lock(&self.path.join("lock"));
    }

    /// Whether a supervisor, or its guard, lives, or somebody is about to start one.
    pub fn is_claimed(&self) -> bool {
        let Ok(lock) = kept_file::open(&self.path.join("lock")) else {
            return false;
        };
        // Shared, so that those who only look do not see each other.
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    }
}

/// Waits until no supervisor and no guard of it live any more.
fn wait_for_lock(path: &Path) -> io::Result<()> {
    let lock = kept_file::open(path)?;
    loop {
        match flock(&lock, FlockOperation::LockShared) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// The right to run an app, and to write its record. It lives as long as any process holds it.
#[derive(Debug)]
pub struct Claim {
    folder: AppFolder,
    lock: File,
}

impl Claim {
    /// Takes over the right from the process that has handed it down.
    pub fn inherited(folder: AppFolder, lock: OwnedFd) -> anyhow::Result<Self> {
        let lock = File::from(lock);
        if !same_file(&lock, &folder.path.join("lock")) {
            bail!("{} was not handed over", folder.path.display());
        }
        Ok(Self { folder, lock })
    }

    pub fn folder(&self) -> &AppFolder {
        &self.folder
    }

    /// For the process that is to have the right from now on.
    ///
    /// # Errors
    /// If no more descriptors are left.
    pub fn hand_down(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Writes the record, unless it is there already: each time the disk is waited for.
    ///
    /// # Errors
    /// If the folder cannot be written to, or the disk is full.
    pub fn write(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.folder.record_path();
        if !self.is_valid() {
            bail!("{} was removed", self.folder.path.display());
        }
        let text = serde_json::to_vec_pretty(record).context("encoding the app")?;
        if kept_file::read(&path).is_ok_and(|now| now == text) {
            return Ok(());
        }
        atomic::write(&path, &text, None).with_context(|| format!("writing {}", path.display()))
    }

    /// The counters that the killed supervisor has reported, if anybody asked for them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn counted(&self) -> anyhow::Result<Carried> {
        let path = self.folder.counted_path();
        // It may have been killed while it wrote.
        atomic::remove_unfinished(&path);
        match kept_file::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Carried::default()),
            text => {
                let text = text.with_context(|| format!("reading {}", path.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
            }
        }
    }

    /// Removes the counters that an earlier supervisor has reported.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn forget_counted(&self) -> io::Result<()> {
        let path = self.folder.counted_path();
        atomic::remove_unfinished(&path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps the counters that are reported now.
    ///
    /// # Errors
    /// If the folder cannot be written to, or the disk is full.
    pub fn keep_counted(&self, counted: &Carried) -> anyhow::Result<()> {
        if !self.is_valid() {
            // Whatever it is, that is told when the record is written.
            return Ok(());
        }
        let path = self.folder.counted_path();
        let text = serde_json::to_vec(counted).context("encoding what was counted")?;
        atomic::replace(&path, &text).with_context(|| format!("writing {}", path.display()))
    }

    /// Makes the folder again, if it was removed, with a lock of its own. The guard has none of it: a
    /// supervisor that is killed then seems to be gone a moment before its workers are.
    ///
    /// # Errors
    /// If the folder cannot be made, or another supervisor has taken its place.
    pub fn restore(&mut self) -> anyhow::Result<()> {
        if self.is_valid() {
            return Ok(());
        }
        if let Some(home) = Home::of(&self.folder) {
            home.create()?;
        }
        match self.folder.create(Duration::ZERO)? {
            Some(claim) => self.lock = claim.lock,
            None => bail!(
                "another supervisor has taken {}",
                self.folder.path.display()
            ),
        }
        Ok(())
    }

    /// Forgets the app. Its folder has another name before it goes, so that no other process finds
    /// a part of it.
    ///
    /// # Errors
    /// If the folder cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        if !self.is_valid() {
            return Ok(());
        }
        let path = &self.folder.path;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let gone = path.with_file_name(format!("{REMOVED}{}-{name}", std::process::id()));
        match fs::rename(path, &gone).and_then(|()| fs::remove_dir_all(&gone)) {
            // Another process has removed it, with all of the home folder perhaps.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("removing {}", path.display())),
        }
    }

    /// Whether the folder is still the one that the right is for. Its lock is gone when the home
    /// folder was removed.
    fn is_valid(&self) -> bool {
        same_file(&self.lock, &self.folder.path.join("lock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_may_run_an_app() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = AppFolder::new(temporary.path().join("api"));
        assert!(!folder.is_claimed());
        assert!(folder.claim(Duration::ZERO).unwrap().is_none());
        assert!(!folder.path().exists());
        let claim = folder.create(Duration::ZERO).unwrap().unwrap();
        assert!(folder.is_claimed());
        assert!(folder.claim(Duration::ZERO).unwrap().is_none());
        let heir = claim.hand_down().unwrap();
        drop(claim);
        assert!(folder.is_claimed());
        let claim = Claim::inherited(folder.clone(), heir).unwrap();
        claim.remove().unwrap();
        assert!(!folder.is_claimed() && !folder.path().exists());
        assert!(folder.create(Duration::ZERO).unwrap().is_some());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }
}
