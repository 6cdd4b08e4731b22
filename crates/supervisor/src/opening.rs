//! How a supervisor begins: with what is kept of its app, and with what another one has left.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{DumpableBehavior, getpid, getppid};
use sys::LeftOpen;

use super::clock::Clock;
use super::descriptors::Descriptors;
use super::dispatch::Dispatch;
use super::folders::Folders;
use super::health::Checks;
use super::instances::Instances;
use super::keeper::{self, Lifeline};
use super::listeners::{Store, give_up_stored};
use super::operations::Operations;
use super::proxy_settings::proxy_settings;
use super::renewal::Renewal;
use super::reports::Reports;
use super::shutdown::Shutdown;
use super::spawn::Spawner;
use super::strays::Strays;
use super::takeover::{self, Takeover};
use super::{Above, Supervisor};
use crate::output::Output;
use config::ExecMode;
use dispatcher::{Dispatcher, HeldBy, RegistrationSettings};
use home::control::Answer;
use home::runtime_folder::RuntimeFolder;
use home::{Claim, Record};
use process::cgroup::Branch;
use telemetry::metrics::Carried;

impl Supervisor {
    /// Opens the door, and makes everything ready to run. With a lifeline, instances outlive this supervisor,
    /// and those of one before it are gone on with.
    ///
    /// # Errors
    /// If the system refuses sockets or threads.
    pub fn new(
        mut record: Record,
        claim: Option<Claim>,
        folder: RuntimeFolder,
        branch: Option<Branch>,
        output: Output,
        of: Above,
    ) -> anyhow::Result<Self> {
        let (inherited, mut lifeline) = match of {
            Above::Caller { inherited } => (inherited, None),
            Above::Keeper(lifeline) => (0, Some(*lifeline)),
        };
        if let Some(lifeline) = &mut lifeline
            && let Some(predecessor) = &mut lifeline.predecessor
        {
            predecessor.make_it_go();
        }
        let (notes, mut left) = lifeline.as_mut().map(Lifeline::take).unwrap_or_default();
        if let Some(notes) = &notes {
            record.instances = notes.kept();
        } else if lifeline.as_ref().is_some_and(Lifeline::follows_another) {
            record.count_crash();
        }
        let app = Rc::new(record.app);
        let folders = Folders::new(claim, folder, &app, record.created_at)?;
        let instances = Instances::new(&record.instances, &app);
        let descriptors = Descriptors {
            managed: folders.claim.is_some(),
            inherited,
        };
        let started = notes.as_ref();
        let started = started.map_or_else(Instant::now, takeover::beginning);
        let mut supervisor = Self {
            spawner: Spawner::new(
                &folders.runtime,
                branch,
                descriptors.managed,
                lifeline.as_ref().map(|lifeline| lifeline.tie),
            )?,
            app,
            folders,
            descriptors,
            reports: Reports::new(output),
            dispatch: Dispatch::new(notes.as_ref().and_then(|notes| notes.door)),
            instances,
            strays: Strays::default(),
            operations: Operations::default(),
            renewal: Renewal::default(),
            checks: Checks::new(),
            shutdown: Shutdown::new(),
            clock: Clock::new(started),
            takeover: Takeover::new(lifeline),
        };
        let (descriptors, instances) = (&supervisor.descriptors, supervisor.instances.len());
        let enough = descriptors.suffice_for(&supervisor.app, instances);
        enough.map_err(anyhow::Error::msg)?;
        supervisor.open_door(&mut left)?;
        let listening = left.take_all_that(keeper::is_listener);
        let mut supervisor = supervisor.with_left(listening);
        supervisor.takeover.left = Some((notes.unwrap_or_default(), left));
        Ok(supervisor)
    }

    /// Shows what was counted, so often and at the end.
    pub fn with_stats(mut self, every: Option<Duration>) -> Self {
        self.clock.set_stats(every);
        self
    }

    /// Calls `beat` at this interval while the supervisor's loop turns.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Option<Duration>, beat: fn()) -> Self {
        self.clock.set_heartbeat(every, beat);
        self
    }

    /// Answers when all is up that is started at the beginning, or is known not to be.
    pub fn with_answer(mut self, answer: Option<Answer>) -> Self {
        self.operations.awaits_start = answer;
        self
    }

    /// Counts on from what killed supervisors of the app have told.
    #[must_use]
    pub fn with_counted(mut self, counted: Carried) -> Self {
        self.reports.before = counted;
        self
    }

    /// Takes over the listening sockets that a killed supervisor of the app has left.
    #[must_use]
    pub fn with_left(self, mut sockets: Vec<OwnedFd>) -> Self {
        // The metrics endpoint opens its own again.
        sockets.retain(|socket| {
            let address = rustix::net::getsockname(socket).map(SocketAddr::try_from);
            !matches!(address, Ok(Ok(address)) if Some(address) == self.app.metrics)
        });
        self.adopt(sockets, HeldBy::Us)
    }

    /// Listens at sockets that another process, such as systemd, holds and listens on with later.
    ///
    /// # Errors
    /// If the app shares no sockets.
    pub fn with_lent(self, sockets: Vec<OwnedFd>) -> anyhow::Result<Self> {
        if !sockets.is_empty() && !self.dispatch.shares() {
            bail!("sockets were passed (LISTEN_FDS), and an app in fork mode gets none of them");
        }
        Ok(self.adopt(sockets, HeldBy::Lender))
    }

    /// Has `store` keep the listeners while the app does not run, which has kept `sockets` from its last run. It
    /// gets a copy of each that is new, and gives up those that are shut down.
    #[must_use]
    pub fn with_store(mut self, sockets: Vec<OwnedFd>, store: Option<Store>) -> Self {
        if !self.dispatch.shares() {
            // The app itself opens its ports now.
            give_up_stored(sockets);
            return self;
        }
        self.dispatch.listeners.store = store;
        self.adopt(sockets, HeldBy::Store)
    }

    fn adopt(mut self, sockets: Vec<OwnedFd>, held_by: HeldBy) -> Self {
        let instances = self.instances.numbers();
        self.dispatch.adopt(sockets, held_by, &instances);
        self
    }

    /// Starts the dispatcher, if the app needs one and there is none.
    fn open_door(&mut self, left: &mut LeftOpen) -> anyhow::Result<()> {
        if self.app.exec_mode != ExecMode::Cluster || self.dispatch.shares() {
            return Ok(());
        }
        let requests = self.app.requests.as_ref();
        let requests = requests.map(|requests| proxy_settings(requests, &self.app.balance));
        let mut requests = requests.transpose()?;
        if let Some(requests) = &mut requests {
            if !requests.tls.is_empty() {
                // Its keys are in our memory now: no core dump holds them, and nobody without root's
                // rights can look.
                let behaviour = DumpableBehavior::NotDumpable;
                rustix::process::set_dumpable_behavior(behaviour).context("hiding the TLS keys")?;
            }
            requests.access = self.reports.output.access_log(&self.app)?;
        }
        let user = self.app.identity.as_ref().map(|identity| identity.uid);
        let socket = match self.dispatch.door.and_then(|door| left.take(door)) {
            Some(socket) => socket,
            None => self
                .folders
                .runtime
                .open_door(user)
                .context("opening the door")?,
        };
        self.dispatch.door = Some(socket.as_raw_fd());
        let mut lifeline = self.takeover.lifeline.as_mut();
        let memo = lifeline.as_ref().map(|it| it.channels.share());
        let predecessor = lifeline.as_mut().and_then(|it| it.predecessor.as_mut());
        let predecessor = predecessor.and_then(|it| it.clients.take());
        let dispatcher = Dispatcher::start(
            dispatcher::Settings {
                balance: self.descriptors.bounded(&self.app, self.instances.len()),
                keep_alive: Some(self.app.balance.keep_alive).filter(|time| !time.is_zero()),
                requests,
                registration: RegistrationSettings {
                    socket,
                    ancestor: getppid().unwrap_or_else(getpid),
                    private_ports: self.app.private_ports.clone(),
                    private_paths: self.app.private_paths.clone(),
                    per_request: self.app.requests.is_some(),
                    privileged_ports: self.app.privileged_ports(),
                    links: self.folders.runtime.links(),
                },
                memo,
                predecessor,
            },
            self.dispatch.notices_in.clone(),
            left,
        );
        self.dispatch.dispatcher = Some(dispatcher.context("starting the dispatcher")?);
        Ok(())
    }
}
