//! Who could put another folder in the place of one, or files into it.

use std::io;
use std::path::{Path, PathBuf};

use super::trust::{Facts, Trust};

/// A folder through which another user could interfere.
#[derive(Debug, PartialEq, Eq)]
pub struct Interference {
    pub(crate) folder: PathBuf,
    /// Its owner, where that is neither root nor this user; `None` where many can write to it.
    pub(crate) owner: Option<u32>,
}

/// Looks whether another user than root could replace a folder of this user, or, where it is a place
/// for such folders, one in it: the owners of all folders above it can, and those who may write to
/// one, unless the sticky bit keeps what is ours.
///
/// # Errors
/// Those of `realpath(3)` and `stat(2)`.
pub fn interference(place: &Path) -> io::Result<Option<Interference>> {
    let trust = Trust {
        uid: rustix::process::geteuid().as_raw(),
        against: None,
    };
    let real = place.canonicalize()?;
    let mut below: Option<Facts> = None;
    for folder in real.ancestors() {
        let facts = Facts::from(&rustix::fs::stat(folder)?);
        let owner = Some(facts.uid).filter(|uid| !trust.is_trusted(*uid));
        let next_is_ours = below.is_none_or(|below| trust.is_trusted(below.uid));
        let kept = facts.is_sticky() && next_is_ours;
        if owner.is_some() || (trust.others_change(&facts) && !kept) {
            let folder = folder.to_owned();
            return Ok(Some(Interference { folder, owner }));
        }
        below = Some(facts);
    }
    Ok(None)
}

impl std::fmt::Display for Interference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = self.folder.display();
        match self.owner {
            Some(uid) => write!(f, "{folder} belongs to user {uid}"),
            None => write!(
                f,
                "other users can write to {folder}, which has no sticky bit"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn others_are_found_in_the_folder_and_above_it() {
        let root = rustix::process::geteuid().is_root();
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("shared/of/ours");
        fs::create_dir_all(&folder).unwrap();
        let shared = top.path().join("shared");
        // Of the folder two above: its mode, its owner, and whether somebody interferes.
        for (mode, owner, expected) in [
            (0o755, 0, false),
            (0o1777, 0, false),
            (0o777, 0, true),
            (0o755, 65534, true),
            (0o1777, 65534, true),
            // Only root's folders are closed to groups.
            (0o775, 0, false),
        ] {
            if owner != 0 && !root {
                continue;
            }
            if root {
                chown(&shared, Some(owner), Some(owner)).unwrap();
            }
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            let found = interference(&folder).unwrap();
            assert_eq!(found.is_some(), expected, "{mode:o} {owner}: {found:?}");
            if let Some(found) = found {
                assert_eq!(found.folder, shared.canonicalize().unwrap());
            }
        }
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(interference(&folder).unwrap().unwrap().owner, None);
    }
}
