//! The app's folders: the one in the home folder, which only this supervisor writes, and the runtime folder,
//! which goes with it.

use std::path::PathBuf;

use anyhow::Context;

use super::slot::Slot;
use config::{App, Environment};
use home::control::Server;
use home::runtime_folder::RuntimeFolder;
use home::{AppFolder, Claim, Home, Kept, Record};
use logs::Files;
use process::sockets::Holder;
use rustix::process::Pid;
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};
use telemetry::metrics::{AppMetrics, Carried};

/// Where the app is found, and what is kept of it.
#[derive(Debug)]
pub(super) struct Folders {
    /// The app's place in the home folder; one that runs in the foreground has none.
    pub(super) claim: Option<Claim>,
    pub(super) home: Option<Home>,
    pub(super) runtime: RuntimeFolder,
    /// When the app was first started, in milliseconds since 1970.
    pub(super) created_at: u64,
    /// What is measured could not be kept when it was told last.
    fails_to_keep: bool,
}

impl Folders {
    /// The runtime folder is opened to those who run as the app does.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn new(
        claim: Option<Claim>,
        runtime: RuntimeFolder,
        app: &App,
        created_at: u64,
    ) -> anyhow::Result<Self> {
        if let Some(identity) = &app.identity {
            runtime.open_to(identity.gid)?;
        } else if rustix::process::geteuid().is_root() {
            runtime.open_to_all()?;
        }
        Ok(Self {
            home: claim.as_ref().and_then(|claim| Home::of(claim.folder())),
            claim,
            runtime,
            created_at,
            fails_to_keep: false,
        })
    }

    /// Takes commands, if the app has a place in the home folder.
    ///
    /// # Errors
    /// If the sockets cannot be made.
    pub(super) fn serve(&self) -> anyhow::Result<Option<Server>> {
        let Some(claim) = &self.claim else {
            return Ok(None);
        };
        let runtime_folder = AppFolder::new(self.runtime.path().to_owned());
        // The note last: who finds it finds the others, too.
        let sockets = (claim.folder().listen()?, runtime_folder.listen()?);
        self.runtime.note_app(claim.folder().path())?;
        let server = Server::start(sockets.0, sockets.1);
        Ok(Some(server.context("serving the control socket")?))
    }

    /// Writes down the app and its instances.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub(super) fn write(&self, app: &App, instances: Vec<Kept>) -> anyhow::Result<()> {
        let Some(claim) = &self.claim else {
            return Ok(());
        };
        claim.write(&Record {
            app: app.clone(),
            created_at: self.created_at,
            instances,
        })
    }

    /// Keeps what is measured, for a supervisor that takes the place of this one. What there is to tell, if that
    /// fails for the first time.
    pub(super) fn keep_counted(&mut self, metrics: &AppMetrics) -> Option<Event> {
        let kept = self.claim.as_ref()?.keep_counted(&Carried::of(metrics));
        let failed = std::mem::replace(&mut self.fails_to_keep, kept.is_err());
        let error = kept.err().filter(|_| !failed)?;
        let reason = format!("{error:#}");
        Some(Event::NotKept { reason })
    }

    /// Removes the app's folder.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn remove(&mut self) -> anyhow::Result<()> {
        self.claim.take().map_or(Ok(()), Claim::remove)
    }

    /// The app of this home to which a process belongs, if that is another one.
    pub(super) fn other_app_of(&self, holder: &Holder) -> Option<String> {
        let own = self.claim.as_ref()?.folder();
        let other = self.home.as_ref()?.app_of(Pid::from_raw(holder.pid)?)?;
        (other != *own).then_some(())?;
        Some(other.record().ok()?.app.name)
    }

    /// The environment of an instance's processes.
    pub(super) fn environment(&self, app: &App, instance: Instance, id: InstanceId) -> Environment {
        home::environment(self.home.as_ref(), app, instance, id)
    }

    /// Where the output of an instance is kept.
    pub(super) fn log_files(&self, app: &App, id: InstanceId) -> Files {
        let files = self.home.as_ref().map(|home| home.log_files(app, id));
        files.unwrap_or_default()
    }

    /// The files that we write in the app's name.
    pub(super) fn own_files<'a>(
        &self,
        app: &App,
        instances: impl Iterator<Item = &'a Slot>,
    ) -> Vec<PathBuf> {
        let Some(home) = &self.home else {
            return Vec::new();
        };
        let of_slot = |id| {
            let files = home.log_files(app, id);
            [files.out, files.err, files.combined, home.pid_file(app, id)]
        };
        let ids = instances.map(|slot| slot.id);
        ids.flat_map(of_slot).flatten().collect()
    }
}
