//! Where the files of an app's instances are: pm2's names, unless the app says otherwise.
//!
//! pm2 makes a hyphen of what is no letter, digit, dot or hyphen in a name, and leaves namespaces
//! out, so that `my_app`, `my app` and another namespace's `my-app` write to one log. Here a log is
//! called as its app's folder is: by the app's name where that is an ordinary one in the default
//! namespace, otherwise with a mark that no other app has.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Home, folder_name};
use config::{App, ExecMode, Place};
use logs::Files;
use telemetry::ids::InstanceId;

impl Home {
    /// The logs of an instance.
    pub fn log_files(&self, app: &App, id: InstanceId) -> Files {
        if app.logs.disabled {
            return Files::default();
        }
        let name = folder_name(&app.namespace, &app.name);
        let logs = self.path.join("logs");
        let usual = Files::in_folder(&logs, &name);
        let place = |place: &Place, usual: Option<PathBuf>| match place {
            Place::Home => usual,
            Place::File(path) => Some(path.clone()),
            Place::Nowhere => None,
        };
        let files = Files {
            out: place(&app.logs.out, usual.out),
            err: place(&app.logs.err, usual.err),
            // Only who asks for it has one.
            combined: place(&app.logs.combined, Some(logs.join(format!("{name}.log")))),
        };
        let only = app.exec_mode == ExecMode::Fork && app.instances == 1;
        if app.logs.merge || only {
            files
        } else {
            files.of_instance(id)
        }
    }

    /// Where the pid of an instance is written.
    pub fn pid_file(&self, app: &App, id: InstanceId) -> Option<PathBuf> {
        match &app.pid_file {
            Place::Nowhere => None,
            Place::Home => {
                let name = format!("{}-{id}.pid", plain(&app.name));
                Some(self.path.join("pids").join(name))
            }
            Place::File(path) => Some(of_instance(path, id, app.instances == 1)),
        }
    }
}

/// The pid file of one instance: as in pm2, `z.pid` and `z-7.pid` are `z-<id>.pid`, and another
/// name stays as it is. Where several instances would share that, each has its number.
fn of_instance(path: &Path, id: InstanceId, only: bool) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let stem = name.strip_suffix(b".pid");
    if only && stem.is_none() {
        return path.to_owned();
    }
    let mut stem = match stem {
        Some(stem) => {
            let digits = stem
                .iter()
                .rev()
                .take_while(|it| it.is_ascii_digit())
                .count();
            let rest = stem.get(..stem.len() - digits).unwrap_or(stem);
            let bare = rest.strip_suffix(b"-").filter(|_| digits > 0);
            OsStr::from_bytes(bare.unwrap_or(stem)).to_owned()
        }
        None => path.file_stem().unwrap_or_default().to_owned(),
    };
    stem.push(format!("-{id}"));
    if let Some(extension) = path.extension() {
        stem.push(".");
        stem.push(extension);
    }
    path.with_file_name(stem)
}

/// An app's name as a part of a file's name. The number beside it tells which app it is.
fn plain(app: &str) -> String {
    app.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '-',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_called_as_in_pm2() {
        for (written, only, expected) in [
            ("/a/z.pid", true, "/a/z-3.pid"),
            ("/a/z.pid", false, "/a/z-3.pid"),
            ("/a/z-0.pid", true, "/a/z-3.pid"),
            ("/a/z-x9.pid", true, "/a/z-x9-3.pid"),
            ("/a/9.pid", true, "/a/9-3.pid"),
            ("/a/z", true, "/a/z"),
            ("/a/z", false, "/a/z-3"),
            ("/a/z.txt", true, "/a/z.txt"),
            ("/a/z.txt", false, "/a/z-3.txt"),
        ] {
            let path = of_instance(Path::new(written), InstanceId(3), only);
            assert_eq!(path, Path::new(expected), "{written}");
        }
    }
}
