//! Putting another version of maitred under an app that runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::act::patience;
use super::{Known, OfApp, Selected};
use home::control::{Connection, Fault, Request};
use telemetry::events::Event;

/// The supervisor that follows is waited for so long: it answers when it has taken everything over.
const FOLLOWS: Duration = Duration::from_secs(30);

/// How often is looked whether it is there: nothing tells.
const LOOK: Duration = Duration::from_millis(10);

/// The executable of this command, under which apps are to go on.
///
/// # Errors
/// If it cannot be found, or was removed.
pub(crate) fn own_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("finding maitred's own file")?;
    if !program.exists() {
        bail!(
            "{} was replaced while this command ran; try again",
            program.display()
        );
    }
    Ok(program)
}

impl Selected {
    /// Has the app's supervisor make way for this program.
    ///
    /// # Errors
    /// If it refuses, or another one does not follow.
    pub(super) fn update(
        &self,
        program: &Path,
        progress: &mut dyn FnMut(Event),
    ) -> anyhow::Result<()> {
        let name = &self.known.record.app.name;
        self.known
            .update(program, progress)
            .with_context(|| OfApp(name.clone()))
    }
}

impl Known {
    fn update(&self, program: &Path, progress: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        let before = match self.ask() {
            Ok(snapshot) => snapshot.supervisor,
            Err(Fault::Gone) if !self.folder.is_claimed() => {
                bail!("it is not running: the next start uses this version")
            }
            Err(fault) => return Err(fault.into()),
        };
        let socket = self.folder.connect().map_err(|_| Fault::Gone)?;
        let request = Request::Update {
            program: program.to_owned(),
        };
        let done = Connection::ask(socket, request)?
            // It waits for what is under way.
            .wait_for(patience(&self.record))?
            .finish(progress);
        match done {
            // It has made way, or was killed.
            Err(Fault::Gone) => self.follows(before),
            Err(fault) => Err(fault.into()),
            Ok(_) => bail!("its supervisor did not make way, and does not say why"),
        }
    }

    /// Waits for a supervisor that has taken the place of this one.
    fn follows(&self, before: i32) -> anyhow::Result<()> {
        let until = Instant::now() + FOLLOWS;
        loop {
            match self.ask() {
                Ok(now) if now.supervisor != before && now.follows.is_some() => return Ok(()),
                Ok(now) if now.supervisor != before => bail!(
                    "its supervisor was killed, and another one of maitred {} follows; see {}",
                    now.version,
                    self.folder.log().display()
                ),
                Ok(_) | Err(Fault::Gone) => {}
                Err(fault) => return Err(fault.into()),
            }
            if !self.folder.is_claimed() {
                bail!(
                    "its supervisor has ended with the app; see {}",
                    self.folder.log().display()
                );
            }
            if Instant::now() >= until {
                bail!("no supervisor answers; see {}", self.folder.log().display());
            }
            std::thread::sleep(LOOK);
        }
    }
}
