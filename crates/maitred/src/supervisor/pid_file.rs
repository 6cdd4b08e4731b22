//! Writing instances' PIDs where the user wants them.

use std::io;

use super::Supervisor;
use crate::config::App;
use crate::events::Event;

impl Supervisor {
    /// Writes an instance's PID to its file, or removes the file. An app does not end for want of
    /// it.
    pub(super) fn write_pid_file(&mut self, app: &App, id: u32, pid: Option<i32>) {
        let path = self.home.as_ref().and_then(|home| home.pid_file(app, id));
        let Some(path) = path else {
            return;
        };
        let rights = app.file_rights();
        let write = || match pid {
            Some(pid) => rights.replace(&path, pid.to_string().as_bytes()),
            None => rights.remove(&path),
        };
        // This thread hears of the guard's end, and may not take on another's rights.
        let written = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, write)?;
            let panicked = |_| io::Error::other("the thread that writes it has panicked");
            thread.join().map_err(panicked)?
        });
        if let Err(error) = written {
            self.event(Event::PidFileFailing {
                path: path.display().to_string(),
                reason: error.to_string(),
            });
        }
    }
}
