//! A folder of our own for the apps, the generated configuration and the logs,
//! gone when the benchmark ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

pub(crate) struct Scratch(PathBuf);

/// For the end by a signal, which drops nothing.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Takes the folder away, if there is one.
pub(crate) fn remove() {
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Nothing to be done about a folder that does not go away.
    let _ = folder.map(fs::remove_dir_all);
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("maitred-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves a file alone that is there already: a contender that was just
    /// started may be reading it, and would find it empty for a moment.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        if fs::read(&path).is_ok_and(|present| present == text.as_bytes()) {
            return Ok(path);
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove();
    }
}
