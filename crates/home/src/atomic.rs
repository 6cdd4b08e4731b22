//! Writing a file so that there is a whole one at any moment, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What follows a file's name while it is written, before a number.
const UNFINISHED: &str = ".new-";

/// Removes what was left by those that were killed while they wrote a file, if nobody else may
/// write it at this moment.
pub(super) fn remove_unfinished(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let mut start = name.as_encoded_bytes().to_owned();
    start.extend_from_slice(UNFINISHED.as_bytes());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(&start) {
            // It does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Replaces a file, readable for its owner alone. With a backup, what was there before gets that
/// name.
///
/// # Errors
/// If the folder cannot be written to, or the disk is full; then the old file is still there.
pub(super) fn write(path: &Path, content: &[u8], backup: Option<&Path>) -> io::Result<()> {
    put(path, content, backup, true)
}

/// The same for what is worth nothing after a power cut: nothing waits for the disk.
///
/// # Errors
/// As for [`write`].
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, None, false)
}

fn put(path: &Path, content: &[u8], backup: Option<&Path>, lasts: bool) -> io::Result<()> {
    // Two that write at the same time must not share the file.
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{UNFINISHED}{}", std::process::id()));
    let new = Path::new(&name);
    let written = || -> io::Result<()> {
        // One that is there was left by a process that had our number.
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(new)?;
        file.write_all(content)?;
        if lasts {
            file.sync_data()?;
        }
        if let Some(backup) = backup {
            let _ = fs::remove_file(backup);
            if path.exists() {
                fs::hard_link(path, backup)?;
            }
        }
        fs::rename(new, path)?;
        match path.parent() {
            Some(folder) if lasts => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    let result = written();
    if result.is_err() {
        let _ = fs::remove_file(new);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, backup) = (folder.path().join("a"), folder.path().join("b"));
        for content in ["1", "2", "3"] {
            write(&path, content.as_bytes(), Some(&backup)).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
        assert_eq!(fs::read_to_string(&backup).unwrap(), "2");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"old", None).unwrap();
        let nowhere = folder.path().join("no/such");
        assert!(write(&path, b"new", Some(&nowhere)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
