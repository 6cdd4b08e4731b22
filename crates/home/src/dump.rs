//! What `save` writes, and `kill`: `resurrect` brings it back.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Home, Record, atomic, kept_file};

/// All apps of a home at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dump {
    /// Of the format, for those who come later.
    version: u32,
    pub apps: Vec<Record>,
}

const VERSION: u32 = 1;

/// Which apps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of the last `save`.
    Saved,
    /// Those that the last `kill` has ended.
    Killed,
}

impl Dump {
    pub fn new(apps: Vec<Record>) -> Self {
        let version = VERSION;
        Self { version, apps }
    }

    /// Where it is kept.
    pub(crate) fn path(home: &Home, which: Which) -> PathBuf {
        home.path().join(match which {
            Which::Saved => "dump.json",
            Which::Killed => "killed.json",
        })
    }

    fn backup(home: &Home, which: Which) -> PathBuf {
        Self::path(home, which).with_extension("json.bak")
    }

    /// Writes it. The one before is kept beside it.
    ///
    /// # Errors
    /// If the home cannot be written to, or the disk is full; then the old one is still there.
    pub fn write(&self, home: &Home, which: Which) -> anyhow::Result<PathBuf> {
        home.create()?;
        let path = Self::path(home, which);
        let text = serde_json::to_vec_pretty(self).context("encoding the apps")?;
        atomic::write(&path, &text, Some(&Self::backup(home, which)))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Reads it; where it is damaged, the one before it, and why.
    ///
    /// # Errors
    /// If none was ever written, or neither can be understood.
    pub fn read(home: &Home, which: Which) -> anyhow::Result<(Self, Option<String>)> {
        let path = Self::path(home, which);
        let text = match kept_file::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "nothing was {} yet: {} is not there",
                match which {
                    Which::Saved => "saved",
                    Which::Killed => "ended by `maitred kill`",
                },
                path.display()
            ),
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        match Self::parse(&text) {
            Ok(dump) => Ok((dump, None)),
            Err(error) => {
                let backup = Self::backup(home, which);
                let older = kept_file::read(&backup)
                    .ok()
                    .and_then(|it| Self::parse(&it).ok());
                let damage = format!("{} is damaged ({error:#})", path.display());
                match older {
                    Some(dump) => Ok((dump, Some(damage))),
                    None => bail!("{damage}, and there is no good {}", backup.display()),
                }
            }
        }
    }

    fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let dump: Self = serde_json::from_slice(text)?;
        if dump.version > VERSION {
            bail!("it was written by a newer maitred");
        }
        Ok(dump)
    }

    /// Whether any is kept.
    pub fn exists(home: &Home, which: Which) -> bool {
        Self::path(home, which).exists()
    }

    /// Removes all that is kept; whether there was any.
    ///
    /// # Errors
    /// If the home cannot be written to.
    pub fn clear(home: &Home) -> anyhow::Result<bool> {
        let mut any = false;
        let files = [Which::Saved, Which::Killed]
            .map(|which| [Self::path(home, which), Self::backup(home, which)]);
        for path in files.into_iter().flatten() {
            match fs::remove_file(&path) {
                Ok(()) => any = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("removing {}", path.display()));
                }
            }
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_one_is_replaced_by_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home {
            path: folder.path().to_owned(),
        };
        assert!(Dump::read(&home, Which::Saved).is_err());
        let path = Dump::new(Vec::new()).write(&home, Which::Saved).unwrap();
        Dump::new(Vec::new()).write(&home, Which::Saved).unwrap();
        fs::write(&path, "{").unwrap();
        let (dump, damage) = Dump::read(&home, Which::Saved).unwrap();
        assert!(dump.apps.is_empty());
        assert!(damage.unwrap().contains("dump.json is damaged"));
        assert!(Dump::clear(&home).unwrap());
        assert!(!Dump::clear(&home).unwrap());
        assert!(Dump::read(&home, Which::Saved).is_err());
    }
}
