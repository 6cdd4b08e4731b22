//! What `save` writes, and `resurrect` brings back.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Home, Record, atomic};

/// All apps of a home at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dump {
    /// Of the format, for those who come later.
    version: u32,
    pub(crate) apps: Vec<Record>,
}

const VERSION: u32 = 1;

impl Dump {
    pub(crate) fn new(apps: Vec<Record>) -> Self {
        let version = VERSION;
        Self { version, apps }
    }

    /// Where it is kept.
    pub(crate) fn path(home: &Home) -> PathBuf {
        home.path().join("dump.json")
    }

    fn backup(home: &Home) -> PathBuf {
        home.path().join("dump.json.bak")
    }

    /// Writes it. The one before is kept beside it.
    ///
    /// # Errors
    /// If the home cannot be written to, or the disk is full; then the old one is still there.
    pub(crate) fn write(&self, home: &Home) -> anyhow::Result<PathBuf> {
        home.create()?;
        let path = Self::path(home);
        let text = serde_json::to_vec_pretty(self).context("encoding the apps")?;
        atomic::write(&path, &text, Some(&Self::backup(home)))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Reads it; where it is damaged, the one before it, and why.
    ///
    /// # Errors
    /// If none was ever written, or neither can be understood.
    pub(crate) fn read(home: &Home) -> anyhow::Result<(Self, Option<String>)> {
        let path = Self::path(home);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("nothing was saved yet: {} is not there", path.display())
            }
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        match Self::parse(&text) {
            Ok(dump) => Ok((dump, None)),
            Err(error) => {
                let backup = Self::backup(home);
                let older = fs::read(&backup).ok().and_then(|it| Self::parse(&it).ok());
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

    /// Removes what was saved; whether there was any.
    ///
    /// # Errors
    /// If the home cannot be written to.
    pub(crate) fn clear(home: &Home) -> anyhow::Result<bool> {
        let mut any = false;
        for path in [Self::path(home), Self::backup(home)] {
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
        assert!(Dump::read(&home).is_err());
        let path = Dump::new(Vec::new()).write(&home).unwrap();
        Dump::new(Vec::new()).write(&home).unwrap();
        fs::write(&path, "{").unwrap();
        let (dump, damage) = Dump::read(&home).unwrap();
        assert!(dump.apps.is_empty());
        assert!(damage.unwrap().contains("dump.json is damaged"));
        assert!(Dump::clear(&home).unwrap());
        assert!(!Dump::clear(&home).unwrap());
        assert!(Dump::read(&home).is_err());
    }
}
