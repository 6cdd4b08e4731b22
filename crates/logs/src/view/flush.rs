//! Emptying logs.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anyhow::Context;

use super::Entry;

/// Empties logs; those that are not there, or are no files, are left alone. Says which were
/// emptied.
///
/// # Errors
/// If one cannot be written to.
pub fn flush(entries: &[Entry]) -> anyhow::Result<Vec<PathBuf>> {
    let files: BTreeMap<_, _> = entries.iter().map(|entry| (&entry.path, entry)).collect();
    let mut flushed = Vec::new();
    for (path, entry) in files {
        match entry.rights.empty(path) {
            Ok(true) => flushed.push(path.clone()),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("emptying {}", path.display()));
            }
        }
    }
    Ok(flushed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Stream;
    use crate::view::Voice;
    use safe_files::Rights;
    use telemetry::ids::InstanceId;

    #[test]
    fn flushing_empties_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a-out.log"), "1\n").unwrap();
        let paths = [
            folder.path().join("a-out.log"),
            "/dev/null".into(),
            folder.path().join("gone"),
        ];
        let entries = paths.map(|path| Entry {
            app: "a".into(),
            voice: Voice::Worker {
                id: InstanceId(0),
                stream: Stream::Out,
            },
            path,
            rights: Rights::default(),
        });
        assert_eq!(flush(&entries).unwrap(), [folder.path().join("a-out.log")]);
        assert_eq!(fs::read(folder.path().join("a-out.log")).unwrap(), b"");
    }
}
