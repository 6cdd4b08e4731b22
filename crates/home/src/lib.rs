//! The home folder: which apps there are, under which numbers, and what of them is kept.
//!
//! ```text
//! ~/.maitred/              0700
//!   lock                   held while numbers are given out; holds the next one
//!   dump.json              what `save` has written, and dump.json.bak, the one before
//!   killed.json            the same of what `kill` has ended
//!   apps/<name>/           one app
//!     app.json             the record: the resolved app, its instances' numbers and states
//!     lock                 held by the supervisor as long as it, or its guard, lives
//!     control              the supervisor's control socket
//!     supervisor.log       what the supervisor has to say
//! ~/.maitred/logs, pids    what pm2 keeps under these names
//! ```
//!
//! Whether an app has a supervisor is told by the lock alone, which the kernel drops with the last
//! process that holds it: never by a pid or by a socket that somebody may have left.

#![forbid(unsafe_code)]

mod app_folder;
mod atomic;
pub mod control;
mod dump;
mod environment;
mod kept_file;
mod numbers;
mod places;
mod record;
pub mod runtime_folder;
mod socket;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::process::Pid;

pub use app_folder::{AppFolder, CONTROL, Claim};
pub use dump::{Dump, Which};
pub use environment::environment;
pub use numbers::Numbers;
pub use record::{Kept, LastRun, Record, Rest, now_ms};
pub use telemetry::events::Exit;

/// The folder of all apps.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Finds the folder: `MAITRED_HOME`, by default `.maitred` in the user's home.
    ///
    /// # Errors
    /// If neither is known, or another user could interfere with it.
    pub fn find() -> anyhow::Result<Self> {
        let home = Self::named()?;
        let path = &home.path;
        refuse_others(path).with_context(|| {
            format!(
                "{} is not used for maitred's files: another user could run programs with your \
                 rights through them. Run maitred as that user, or set MAITRED_HOME to a folder \
                 that only you can change",
                path.display()
            )
        })?;
        Ok(home)
    }

    /// The folder by its name alone, which may be another user's.
    ///
    /// # Errors
    /// If no name is known.
    pub fn named() -> anyhow::Result<Self> {
        let named = std::env::var_os("MAITRED_HOME").filter(|path| !path.is_empty());
        let path = match named {
            Some(path) => std::path::absolute(path).context("finding MAITRED_HOME")?,
            None => match std::env::home_dir().filter(|home| home.is_absolute()) {
                Some(home) => home.join(".maitred"),
                None => bail!(
                    "no home folder is known: set MAITRED_HOME to a folder for maitred's files"
                ),
            },
        };
        Ok(Self { path })
    }

    /// The home that holds this app's folder.
    pub fn of(app: &AppFolder) -> Option<Self> {
        let path = app.path().parent()?.parent()?.to_owned();
        Some(Self { path })
    }

    /// Makes the folder, if it is not there, so that only its owner may enter.
    ///
    /// # Errors
    /// If it cannot be made or written to, or belongs to somebody else.
    pub fn create(&self) -> anyhow::Result<()> {
        for path in [self.path.clone(), self.apps_folder()] {
            private_folder(&path).with_context(|| {
                format!(
                    "maitred keeps its files in {}; set MAITRED_HOME to a folder that you may \
                     write to",
                    self.path.display()
                )
            })?;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in which each app has its own.
    pub fn apps_folder(&self) -> PathBuf {
        self.path.join("apps")
    }

    /// The folder of an app, whether it is there or not.
    pub fn app(&self, namespace: &str, name: &str) -> AppFolder {
        AppFolder::new(self.apps_folder().join(folder_name(namespace, name)))
    }

    /// The folder of the app to which a process of this user belongs, by the supervisor or guard above
    /// it, or which it is.
    pub fn app_of(&self, pid: Pid) -> Option<AppFolder> {
        let apps = self.apps_folder();
        let family = std::iter::successors(Some(pid), |pid| process::tree::parent(*pid));
        // No family is as large; a number may have gone to another process meanwhile.
        let mut supervised = family.take(100).filter_map(supervised_by);
        supervised
            .find(|folder| folder.parent() == Some(&apps))
            .map(AppFolder::new)
    }

    /// The folders of all apps.
    ///
    /// # Errors
    /// If the home is there, and cannot be read.
    pub fn apps(&self) -> anyhow::Result<Vec<AppFolder>> {
        let folder = self.apps_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| {
                    let folder = folder.display();
                    format!("reading {folder}, where MAITRED_HOME says that the apps are")
                });
            }
        };
        let apps = entries.flatten().map(|entry| AppFolder::new(entry.path()));
        Ok(apps.filter(|app| !app.is_removed()).collect())
    }
}

impl Home {
    /// Removes what is left of apps whose removal was interrupted.
    fn clear_removed(&self) {
        let entries = fs::read_dir(self.apps_folder()).into_iter().flatten();
        for entry in entries.flatten() {
            if AppFolder::new(entry.path()).is_removed() {
                // It does no harm, and may be going at this moment.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Refuses a home folder that somebody else owns, or can write to, or could replace.
fn refuse_others(path: &Path) -> anyhow::Result<()> {
    let Some(there) = path.ancestors().find(|folder| folder.exists()) else {
        return Ok(());
    };
    let meta = fs::metadata(there).with_context(|| format!("looking at {}", there.display()))?;
    let place = if there == path && meta.is_dir() {
        let own = rustix::process::geteuid().as_raw();
        if meta.uid() != own {
            bail!("{} belongs to user {}", path.display(), meta.uid());
        }
        if meta.permissions().mode() & 0o022 != 0 {
            close_if_empty(path)?;
        }
        // What is in it is ours alone now.
        path.canonicalize()?.parent().map(Path::to_owned)
    } else {
        Some(there.to_owned())
    };
    match place
        .map(|place| safe_files::interference(&place))
        .transpose()?
        .flatten()
    {
        Some(found) => bail!("{found}"),
        None => Ok(()),
    }
}

/// The folder that a supervisor or its guard was started for, if a process is one: `maitred supervise
/// FOLDER`.
fn supervised_by(pid: Pid) -> Option<PathBuf> {
    let place = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let is_ours = place.metadata().ok()?.uid() == rustix::process::geteuid().as_raw();
    let line = is_ours
        .then(|| fs::read(place.join("cmdline")).ok())
        .flatten()?;
    match line.split(|byte| *byte == 0).collect::<Vec<_>>()[..] {
        [_, b"supervise", folder, b""] => Some(OsStr::from_bytes(folder).into()),
        _ => None,
    }
}

/// Closes a folder of ours to others, if nobody has put anything into it yet.
fn close_if_empty(path: &Path) -> anyhow::Result<()> {
    let is_empty = || Ok::<_, std::io::Error>(fs::read_dir(path)?.next().is_none());
    let closing = || format!("closing {} to others", path.display());
    if is_empty().with_context(closing)? {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(closing)?;
        if is_empty().with_context(closing)? {
            return Ok(());
        }
    }
    bail!(
        "other users can write to {0}, and it is not empty: look at what is in it, then `chmod 700 \
         {0}`",
        path.display()
    );
}

/// Makes a folder for its owner alone, with those above it.
///
/// # Errors
/// If it cannot be made, or is another user's.
pub(crate) fn private_folder(path: &Path) -> anyhow::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => bail!("{} is not a folder", path.display()),
        Ok(meta) => {
            let own = rustix::process::geteuid();
            if meta.uid() != own.as_raw() {
                bail!("{} belongs to another user", path.display());
            }
            if meta.permissions().mode() & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                    .with_context(|| format!("closing {} to others", path.display()))?;
            }
            Ok(())
        }
        Err(_) => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)
                    .with_context(|| format!("making {}", parent.display()))?;
            }
            match DirBuilder::new().mode(0o700).create(path) {
                // Another maitred was faster.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                made => made.with_context(|| format!("making {}", path.display())),
            }
        }
    }
}

/// The folder's name for an app: its own where that can be one, else as much of it as can, and a
/// number that stands for the whole.
fn folder_name(namespace: &str, name: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(LONGEST)
        .collect();
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains("..");
    if namespace == "default" && kept == name && plain {
        return kept;
    }
    // FNV-1a: spreads well, and is the same in every version of maitred.
    let bytes = namespace.bytes().chain([0]).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}..{hash:016x}", kept.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_folders() {
        assert_eq!(folder_name("default", "api-2.x"), "api-2.x");
        let odd: Vec<_> = [
            ("default", "a/b"),
            ("default", "a_b/"),
            ("default", "a:b"),
            ("other", "api"),
            ("default", ".."),
            ("default", "."),
            ("default", ".hidden"),
            ("default", "a..0000000000000000"),
            ("default", &"x".repeat(300)),
            ("default", ""),
        ]
        .map(|(namespace, name)| folder_name(namespace, name))
        .into();
        for name in &odd {
            assert!(!name.contains('/') && name.len() < 100, "{name}");
            assert!(name.contains("..") && name.len() >= 18, "{name}");
            let same = odd.iter().filter(|other| *other == name).count();
            assert_eq!(same, 1, "{name}");
        }
    }

    #[test]
    fn folders_are_closed_to_others() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        private_folder(&path).unwrap();
        private_folder(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(temporary.path().join("file"), "").unwrap();
        assert!(private_folder(&temporary.path().join("file")).is_err());
    }
}
