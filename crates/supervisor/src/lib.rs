//! The supervisor of one app: it starts its instances, restarts them, and ends them.
//!
//! One thread with one loop. What is decided about an instance is decided in [`instance`]; this
//! crate acts on it: [`deeds`] does what the state machines ask for, [`notices`] hears what the
//! dispatcher tells, [`readiness`] decides when an instance is up, [`calls`] hears what the command
//! line asks for, [`operations`] are what of that is under way, and [`ending`] ends it all. Workers are started from
//! this thread, for they end with it.

#![forbid(unsafe_code)]

mod address_kind;
mod blocked;
mod boot;
mod calls;
mod clock;
mod deeds;
mod descriptors;
mod dispatch;
mod ended;
mod ending;
mod endpoint;
mod folders;
mod followers;
pub mod guard;
mod health;
mod instance;
mod instances;
mod jobs;
pub mod keeper;
mod listeners;
mod listening;
mod metrics;
mod notices;
mod opening;
mod operations;
pub mod output;
mod parting;
mod pid_file;
mod pipes;
mod proxy_settings;
mod readiness;
mod reaping;
mod renewal;
mod reports;
mod shutdown;
mod silence;
mod slot;
mod span;
mod spawn;
mod starving;
mod strays;
pub mod succession;
mod takeover;
mod timing;
mod update;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Signal, getppid};
use sys::Signalled;
use tokio::sync::mpsc;

use clock::Clock;
use config::App;
use descriptors::Descriptors;
pub use descriptors::{count_open, make_room};
use dispatch::Dispatch;
use ending::listen_for_signals;
use folders::Folders;
use health::Checks;
use home::Exit;
use home::control::{Call, Request, Server};
use instances::Instances;
use keeper::Lifeline;
pub use listeners::{Store, give_up_stored};
use operations::Operations;
use process::tree;
use renewal::Renewal;
use reports::Reports;
use shutdown::{Afterwards, Shutdown};
use spawn::Spawner;
use strays::Strays;
use takeover::Takeover;
use telemetry::events::Event;

/// What the kernel sends us when the guard has ended: a signal that harms nobody.
const GUARD_ENDED: Signal = Signal::CONT;

/// What is above a supervisor.
#[derive(Debug)]
pub enum Above {
    /// Whoever runs an app in the foreground. It has passed on this many descriptors, which stay open
    /// ([`count_open`]).
    Caller { inherited: u64 },
    /// A guard that starts another supervisor when this one is killed.
    Keeper(Box<Lifeline>),
}

/// Runs one app. What concerns one of its parts alone is a method of that part.
#[derive(Debug)]
pub struct Supervisor {
    app: Rc<App>,
    /// Where the app is found, and what is kept of it.
    folders: Folders,
    descriptors: Descriptors,
    /// Starts processes, and hears which of them say that they are ready.
    spawner: Spawner,
    /// Who hears of the app, and what.
    reports: Reports,
    /// The dispatcher, and what it tells.
    dispatch: Dispatch,
    instances: Instances,
    /// What instances have left behind.
    strays: Strays,
    /// What was asked for, and is under way.
    operations: Operations,
    /// What restarts instances without anybody asking.
    renewal: Renewal,
    /// Health checks under way.
    checks: Checks,
    /// How far the end of the app has come.
    shutdown: Shutdown,
    clock: Clock,
    /// What outlives this supervisor, and what it has of the one before it.
    takeover: Takeover,
}

impl Supervisor {
    /// Runs the app to its end; the exit code. When everything is ready to be asked, `ready` is
    /// called.
    ///
    /// # Errors
    /// If the system refuses what is needed to begin with.
    pub fn run(mut self, ready: impl FnOnce()) -> anyhow::Result<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("starting the supervisor's loop")?;
        runtime.block_on(async {
            if let Some((notes, mut left)) = self.takeover.left.take() {
                self.survive(notes, &mut left);
            }
            let mut server = self.folders.serve()?;
            let signals = listen_for_signals()?;
            ready();
            let code = self.supervise(signals, &mut server).await?;
            self.reports.end(code);
            // With it go the listeners: who hears that the app has stopped may use its ports. And
            // what it has still to say of requests is to be written.
            self.dispatch.dispatcher = None;
            self.reports.endpoint.close().await;
            self.reports.output.finish().await;
            self.say_goodbye();
            if let Some(server) = server {
                server.finish().await;
            }
            Ok(code)
        })
    }

    async fn supervise(
        &mut self,
        mut signals: mpsc::Receiver<Signalled>,
        server: &mut Option<Server>,
    ) -> anyhow::Result<u8> {
        let guard = getppid();
        rustix::process::set_parent_process_death_signal(Some(GUARD_ENDED))
            .context("watching the guard")?;
        if let Some(few) = self.descriptors.warning(&self.app, self.instances.len()) {
            self.event(few);
        }
        self.set_triggers();
        self.reports.serve(self.app.metrics);
        self.settle_survivors();
        for instance in std::mem::take(&mut self.instances.wanted) {
            self.step(instance, instance::Event::Start);
        }
        if let Some(answer) = self.operations.awaits_start.take() {
            self.wait_for_all(answer);
        }
        loop {
            // Who hears that an instance is up may see at once what that changes.
            self.tell_what_is_awaited();
            self.close_operations();
            self.tell_what_is_awaited();
            self.note();
            self.go_on_with_update(&mut signals, server).await;
            if let Some(code) = self.outcome() {
                if self.clock.shows_stats() {
                    self.show_figures().await;
                }
                tree::kill_all();
                self.strays.remove_groups();
                return Ok(code);
            }
            // Checked after every event, so that it is seen also if it came before we listened.
            if getppid() != guard {
                // Those that were taken over had the guard for a parent.
                self.instances.signal(Signal::KILL);
                tree::kill_all();
                self.shutdown.afterwards = Afterwards::AsIfCrashed;
                return Ok(Exit::Signal(Signal::KILL.as_raw()).exit_code());
            }
            self.hurry();
            let wake = self.next_check();
            tokio::select! {
                Some(signal) = signals.recv() => self.signalled(signal),
                Some(notice) = self.dispatch.notices.recv() => self.noticed(notice),
                Some(ready) = self.spawner.next_ready() => self.is_ready(ready),
                Some(ended) = self.takeover.next_ended() => self.ended(ended),
                Some(call) = next_call(server) => match server {
                    Some(server) if call.request == Request::Reappear => self.reappear(&call.answer, server),
                    _ => self.called(call).await,
                },
                event = self.reports.output.notice() => self.event(event),
                Some(question) = self.reports.endpoint.next() => self.asked(question).await,
                Some(checked) = self.checks.next() => self.checked(checked),
                call = self.renewal.next() => self.renew(call),
                () = self.clock.sleep_until(wake) => self.check(),
            }
            self.show_figures_in_time().await;
        }
    }

    /// Lets the dispatcher know whether instances start or are about to.
    fn tell_what_is_awaited(&mut self) {
        let awaited = self.instances.are_awaited();
        self.dispatch.expect_workers(awaited);
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Notes what has happened, and tells all who want to know.
    fn event(&mut self, event: Event) {
        self.reports.event(event, &self.operations);
    }

    fn write_record(&mut self) {
        let triggers = self.renewal.is_waiting();
        let all_go = self.shutdown.removes();
        let instances = self.instances.kept(triggers, all_go);
        if let Err(error) = self.folders.write(&self.app, instances) {
            let reason = format!("{error:#}");
            self.event(Event::NotKept { reason });
        }
    }
}

async fn next_call(server: &mut Option<Server>) -> Option<Call> {
    match server {
        Some(server) => server.next().await,
        None => std::future::pending().await,
    }
}
