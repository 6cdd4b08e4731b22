//! Where the files of an app's instances are: pm2's names, unless the app says otherwise.

use std::path::PathBuf;

use super::Home;
use crate::config::{App, ExecMode, Place};
use crate::logs::{Files, file_name};

impl Home {
    /// The logs of an instance.
    pub(crate) fn log_files(&self, app: &App, id: u32) -> Files {
        if app.logs.disabled {
            return Files::default();
        }
        let usual = Files::in_folder(&self.path.join("logs"), &app.name);
        let place = |place: &Place, usual: Option<PathBuf>| match place {
            Place::Home => usual,
            Place::File(path) => Some(path.clone()),
            Place::Nowhere => None,
        };
        let files = Files {
            out: place(&app.logs.out, usual.out),
            err: place(&app.logs.err, usual.err),
            combined: place(&app.logs.combined, usual.combined),
        };
        let only = app.exec_mode == ExecMode::Fork && app.instances == 1;
        if app.logs.merge || only {
            files
        } else {
            files.of_instance(id)
        }
    }

    /// Where the pid of an instance is written.
    pub(crate) fn pid_file(&self, app: &App, id: u32) -> Option<PathBuf> {
        match &app.pid_file {
            Place::Nowhere => None,
            Place::Home => {
                let name = format!("{}-{id}.pid", file_name(&app.name));
                Some(self.path.join("pids").join(name))
            }
            Place::File(path) if app.instances == 1 => Some(path.clone()),
            Place::File(path) => {
                let mut stem = path.file_stem().unwrap_or_default().to_owned();
                stem.push(format!("-{id}"));
                if let Some(extension) = path.extension() {
                    stem.push(".");
                    stem.push(extension);
                }
                Some(path.with_file_name(stem))
            }
        }
    }
}
