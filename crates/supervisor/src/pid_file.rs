//! Writing instances' PIDs where the user wants them.

use std::io;
use std::path::Path;

use super::Supervisor;
use config::App;
use safe_files::Rights;
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};

impl Supervisor {
    /// Writes an instance's PID to its file. An app does not end for want of it.
    pub(super) fn write_pid_file(&mut self, app: &App, id: InstanceId, pid: i32) {
        let pid = pid.to_string();
        self.with_pid_file(app, id, |rights, path| rights.replace(path, pid.as_bytes()));
    }

    /// Removes the file of a process that was started as `app` and has ended, unless another
    /// process of its instance has written its own PID there.
    pub(super) fn remove_pid_file(&mut self, app: &App, instance: Instance) {
        let Some(home) = &self.home else {
            return;
        };
        let Some(slot) = self.instances.get(instance) else {
            return;
        };
        let id = slot.id;
        let path = home.pid_file(app, id);
        let mut others = slot.processes.iter();
        if others.all(|process| home.pid_file(&process.app, id) != path) {
            self.with_pid_file(app, id, Rights::remove);
        }
    }

    fn with_pid_file(
        &mut self,
        app: &App,
        id: InstanceId,
        act: impl FnOnce(&Rights, &Path) -> io::Result<()> + Send,
    ) {
        let path = self.home.as_ref().and_then(|home| home.pid_file(app, id));
        let Some(path) = path else {
            return;
        };
        let rights = app.file_rights();
        // This thread hears of the guard's end, and may not take on another's rights.
        let done = std::thread::scope(|scope| {
            let act = || act(&rights, &path);
            let thread = std::thread::Builder::new().spawn_scoped(scope, act)?;
            let panicked = |_| io::Error::other("the thread that writes it has panicked");
            thread.join().map_err(panicked)?
        });
        if let Err(error) = done {
            self.event(Event::PidFileFailing {
                path: path.display().to_string(),
                reason: error.to_string(),
            });
        }
    }
}
