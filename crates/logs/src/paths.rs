//! Where logs lie: pm2's names.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use telemetry::ids::InstanceId;

/// The files of one instance. What is `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Its standard output.
    pub out: Option<PathBuf>,
    /// Its standard error.
    pub err: Option<PathBuf>,
    /// Both.
    pub combined: Option<PathBuf>,
}

impl Files {
    /// Where logs lie by default in this folder: `name-out.log` and `name-error.log`.
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        Self {
            out: Some(folder.join(format!("{name}-out.log"))),
            err: Some(folder.join(format!("{name}-error.log"))),
            combined: None,
        }
    }

    /// The files of one instance of it, if they are not to be merged: in front of the extension
    /// `.log` stands its id. A file with another name is for all instances, as with pm2.
    pub fn of_instance(&self, id: InstanceId) -> Self {
        let numbered = |path: &Option<PathBuf>| path.as_deref().map(|path| with_id(path, id));
        Self {
            out: numbered(&self.out),
            err: numbered(&self.err),
            combined: numbered(&self.combined),
        }
    }
}

fn with_id(path: &Path, id: InstanceId) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let Some(stem) = bytes.strip_suffix(b".log") else {
        return path.to_owned();
    };
    // A number that is there already is replaced.
    let digits = stem.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, _) = stem.split_at(stem.len() - digits);
    let stem = match before.strip_suffix(b"-") {
        Some(before) if digits > 0 => before,
        _ => stem,
    };
    let mut name = OsStr::from_bytes(stem).to_owned().into_vec();
    name.extend_from_slice(format!("-{id}.log").as_bytes());
    PathBuf::from(std::ffi::OsString::from_vec(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_pm2() {
        let files = Files::in_folder(Path::new("/h/logs"), "my-app-1");
        assert_eq!(files.out, Some("/h/logs/my-app-1-out.log".into()));
        assert_eq!(files.err, Some("/h/logs/my-app-1-error.log".into()));
        let of_two = files.of_instance(InstanceId(2));
        assert_eq!(of_two.out, Some("/h/logs/my-app-1-out-2.log".into()));
        assert_eq!(of_two.combined, None);
    }

    #[test]
    fn the_id_goes_before_the_extension() {
        for (path, expected) in [
            ("/l/a.log", "/l/a-3.log"),
            ("/l/a-12.log", "/l/a-3.log"),
            ("/l/a12.log", "/l/a12-3.log"),
            ("/l/a.txt", "/l/a.txt"),
            ("/dev/stdout", "/dev/stdout"),
        ] {
            assert_eq!(
                with_id(Path::new(path), InstanceId(3)),
                Path::new(expected),
                "{path}"
            );
        }
    }
}
