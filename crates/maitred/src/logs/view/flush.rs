//! Emptying logs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use rustix::fs::OFlags;

use super::Entry;

/// Empties logs; those that are not there, or are no files, are left alone. Says which were
/// emptied.
///
/// # Errors
/// If one cannot be written to.
pub(crate) fn flush(entries: &[Entry]) -> anyhow::Result<Vec<PathBuf>> {
    let paths: BTreeSet<_> = entries.iter().map(|entry| &entry.path).collect();
    let mut flushed = Vec::new();
    for path in paths {
        let opened = File::options()
            .write(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
            .open(path);
        let emptied = opened.and_then(|file| {
            let is_file = file.metadata()?.is_file();
            if is_file {
                file.set_len(0)?;
            }
            Ok(is_file)
        });
        match emptied {
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
    use crate::logs::Stream;
    use crate::logs::view::Voice;

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
                id: 0,
                stream: Stream::Out,
            },
            path,
        });
        assert_eq!(flush(&entries).unwrap(), [folder.path().join("a-out.log")]);
        assert_eq!(fs::read(folder.path().join("a-out.log")).unwrap(), b"");
    }
}
