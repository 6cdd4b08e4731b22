//! The current folder, as the user has come to it.
//!
//! A shell names it in PWD by the links that led there. `current` of a deploy stays right when the
//! link moves to the next release; what `getcwd` tells is the release of this moment.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

/// The current folder: what PWD says where that is the same folder.
///
/// # Errors
/// If it was removed, or cannot be read.
pub fn here() -> anyhow::Result<PathBuf> {
    let actual = std::env::current_dir().context("finding the current folder")?;
    let named = std::env::var_os("PWD");
    Ok(named_so(&actual, named.as_deref()).unwrap_or(actual))
}

/// A name for a folder, if it is one: absolute, without detours, and leading there.
fn named_so(folder: &Path, name: Option<&OsStr>) -> Option<PathBuf> {
    let name = Path::new(name?);
    let straight = name
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (there, here) = (fs::metadata(name).ok()?, fs::metadata(folder).ok()?);
    let same = (there.dev(), there.ino()) == (here.dev(), here.ino());
    (name.is_absolute() && straight && same).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_only_if_it_leads_there() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        for release in ["1", "2"] {
            fs::create_dir(at(release)).unwrap();
        }
        std::os::unix::fs::symlink("1", at("current")).unwrap();
        let named = |name: &Path| named_so(&at("1"), Some(name.as_os_str()));
        assert_eq!(named(&at("current")), Some(at("current")));
        for other in [at("2"), at("missing"), at("2/../1"), "1".into(), "".into()] {
            assert_eq!(named(&other), None, "{}", other.display());
        }
        assert_eq!(named_so(&at("1"), None), None);
    }
}
