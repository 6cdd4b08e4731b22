//! What is told of the app: on the screen and in its logs, to the commands and those who follow it, and as numbers.

use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::followers::Followers;
use super::operations::Operations;
use super::slot::Slot;
use crate::output::Output;
use config::App;
use process::usage;
use telemetry::events::Event;
use telemetry::metrics::{ByWord, Carried, InstanceMetrics, ProcessMetrics, Tally};

/// Who hears of the app, and what.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) output: Output,
    /// What has happened, in numbers.
    pub(super) tally: Tally,
    /// What the supervisors before this one have told of that.
    pub(super) before: Carried,
    pub(super) followers: Followers,
    pub(super) endpoint: Endpoint,
}

impl Reports {
    /// To the output alone, at first.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            tally: Tally::default(),
            before: Carried::default(),
            followers: Followers::default(),
            endpoint: Endpoint::new(),
        }
    }

    /// Notes what has happened, and tells all who want to know.
    pub(super) fn event(&mut self, event: Event, operations: &Operations) {
        self.tally.event(&event);
        self.output.event(&event);
        operations.progress(&event);
        self.followers.tell(event);
    }

    /// The app is described so from now on.
    pub(super) fn set_app(&mut self, app: &App) {
        self.output.set_app(app);
        self.serve(app.metrics);
    }

    /// Has the metrics endpoint serve at this address, or nowhere.
    pub(super) fn serve(&mut self, address: Option<SocketAddr>) {
        self.endpoint.move_to(address);
    }

    /// The app has stopped; nobody hears more than that.
    pub(super) fn end(&mut self, code: u8) {
        self.output.event(&Event::Stopped { code });
        self.followers.end(code);
    }

    /// What instances have written; nothing is known of one that writes to our own outputs itself.
    pub(super) fn volume(&self, app: &App) -> ByWord {
        if app.pass_through {
            return ByWord::new();
        }
        self.output.volume()
    }

    /// What is measured of an instance.
    pub(super) fn measured(&self, slot: &Slot, now: Duration) -> InstanceMetrics {
        let process = slot.current();
        let lasts = slot.processes.iter().map(|it| it.blocked.counts(now));
        let before = self.tally.blocked.get(&slot.instance);
        let spent = self.tally.cpu.get(&slot.instance).copied();
        let run = slot.processes.iter();
        let run = run.filter_map(|process| usage::cpu_time(process.pid));
        InstanceMetrics {
            instance: slot.instance,
            up: process.is_some(),
            ready: slot.is_ready(),
            healthy: slot.healthy(),
            blocked: process.is_some_and(|process| process.blocked.lasts(now).is_some()),
            blocked_for: before.copied().unwrap_or_default() + lasts.sum::<Duration>(),
            cpu: run
                .fold(spent.unwrap_or_default(), |sum, it| sum + it)
                .as_secs_f64(),
            started_at: process.map(|process| process.started_at),
            process: process.map_or_else(ProcessMetrics::default, |process| used_by(process.pid)),
        }
    }
}

/// What a process uses.
pub(super) fn used_by(pid: i32) -> ProcessMetrics {
    ProcessMetrics {
        cpu: usage::cpu_time(pid).map(|time| time.as_secs_f64()),
        memory: usage::memory(pid),
        descriptors: usage::descriptors(pid),
    }
}
