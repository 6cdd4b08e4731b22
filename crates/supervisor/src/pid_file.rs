//! Writing instances' PIDs where the user wants them.

use std::io;
use std::path::Path;

use super::folders::Folders;
use super::slot::Slot;
use config::App;
use safe_files::Rights;
use telemetry::events::Event;
use telemetry::ids::InstanceId;

impl Folders {
    /// Writes an instance's PID to its file. An app does not end for want of it.
    ///
    /// # Errors
    /// If it cannot be written: what there is to tell then.
    pub(super) fn write_pid_file(&self, app: &App, id: InstanceId, pid: i32) -> Result<(), Event> {
        let pid = pid.to_string();
        self.with_pid_file(app, id, |rights, path| rights.replace(path, pid.as_bytes()))
    }

    /// Removes the file of a process of this instance that was started as `app` and has ended, unless another
    /// one has written its own PID there.
    ///
    /// # Errors
    /// If it cannot be removed: what there is to tell then.
    pub(super) fn remove_pid_file(&self, app: &App, slot: &Slot) -> Result<(), Event> {
        let Some(home) = &self.home else {
            return Ok(());
        };
        let path = home.pid_file(app, slot.id);
        let mut others = slot.processes.iter();
        if others.all(|process| home.pid_file(&process.app, slot.id) != path) {
            return self.with_pid_file(app, slot.id, Rights::remove);
        }
        Ok(())
    }

    fn with_pid_file(
        &self,
        app: &App,
        id: InstanceId,
        act: impl FnOnce(&Rights, &Path) -> io::Result<()> + Send,
    ) -> Result<(), Event> {
        let path = self.home.as_ref().and_then(|home| home.pid_file(app, id));
        let Some(path) = path else {
            return Ok(());
        };
        let rights = app.file_rights();
        // This thread hears of the guard's end, and may not take on another's rights.
        let done = std::thread::scope(|scope| {
            let act = || act(&rights, &path);
            let thread = std::thread::Builder::new().spawn_scoped(scope, act)?;
            let panicked = |_| io::Error::other("the thread that writes it has panicked");
            thread.join().map_err(panicked)?
        });
        done.map_err(|error| Event::PidFileFailing {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }
}
