//! Paths as a config writes them: from the home folder, and without detours.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::resolve::Surroundings;

/// A path that begins with `~` begins with the home folder of the user who starts the app.
pub(crate) fn expand_home(path: &Path, context: &Surroundings) -> PathBuf {
    match (
        path.strip_prefix("~"),
        context.inherited.get(OsStr::new("HOME")),
    ) {
        (Ok(rest), Some(home)) if !home.is_empty() => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

/// The path without `.` and, where they follow a name, `..`: it need not exist.
pub(crate) fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// The path without `.` and `..`, if it leads to the same file then: where a link is on the way, `..`
/// leads elsewhere.
pub(crate) fn without_detours(path: PathBuf) -> PathBuf {
    let file = |path: &Path| {
        let meta = path.metadata().ok()?;
        Some((meta.dev(), meta.ino()))
    };
    let plain = plain_path(&path);
    if file(&plain) == file(&path) {
        plain
    } else {
        path
    }
}
