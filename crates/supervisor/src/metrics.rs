//! What is measured of the app, when somebody asks.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use process::sockets::listener_at;
use process::usage;
use telemetry::events::Event;
use telemetry::metrics::{AppMetrics, ByWord, Carried, InstanceMetrics, ProcessMetrics};

use super::Supervisor;
use super::endpoint::{Answer, Question};
use super::slot::Slot;

impl Supervisor {
    /// Counts on from what killed supervisors of the app have told.
    #[must_use]
    pub fn with_counted(mut self, counted: Carried) -> Self {
        self.counted_before = counted;
        self
    }

    /// Answers what came in over the metrics endpoint.
    pub(super) async fn asked(&mut self, question: Question) {
        match question {
            Question::How(answer) => {
                let is_ready = self.is_ready_for_work();
                let metrics = self.metrics().await;
                // Whoever has hung up meanwhile needs no answer.
                let _ = answer.send(Answer { is_ready, metrics });
            }
            Question::Unbound(address, error) => {
                let reason = self.why_unbound(address, &error);
                let address = address.to_string();
                self.event(Event::MetricsFailing { address, reason });
            }
        }
    }

    /// What keeps the metrics from an address, and who, if somebody has it.
    fn why_unbound(&self, address: SocketAddr, error: &io::Error) -> String {
        let holder = match error.kind() {
            io::ErrorKind::AddrInUse => listener_at(address.port()),
            _ => None,
        };
        let Some(holder) = holder else {
            return error.to_string();
        };
        match self.folders.other_app_of(&holder) {
            Some(app) => format!("it is in use by {holder} of the app {app}"),
            None => format!("it is in use by {holder}"),
        }
    }

    /// What is measured now.
    pub(super) async fn metrics(&mut self) -> AppMetrics {
        self.dispatch.count().await;
        let metrics = self.measured_so_far();
        self.keep_counted(&metrics);
        metrics
    }

    /// Keeps what is measured, with the figures that were asked last.
    pub(super) fn keep_what_is_measured(&mut self) {
        let metrics = self.measured_so_far();
        self.keep_counted(&metrics);
    }

    fn measured_so_far(&self) -> AppMetrics {
        AppMetrics {
            app: self.app.name.clone(),
            namespace: self.app.namespace.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor: used_by(i32::try_from(std::process::id()).unwrap_or(0)),
            instances: self
                .instances
                .iter()
                .map(|slot| self.measured(slot))
                .collect(),
            listeners: self.dispatch.figures.clone(),
            output: self.volume(),
            tally: self.tally.clone(),
            before: self.counted_before.clone(),
        }
    }

    /// Keeps what is told, for a supervisor that takes the place of this one.
    fn keep_counted(&mut self, metrics: &AppMetrics) {
        if let Some(failing) = self.folders.keep_counted(metrics) {
            self.event(failing);
        }
    }

    /// What instances have written; nothing is known of one that writes to our own outputs itself.
    fn volume(&self) -> ByWord {
        if self.app.pass_through {
            return ByWord::new();
        }
        self.output.volume()
    }

    fn measured(&self, slot: &Slot) -> InstanceMetrics {
        let process = slot.current();
        let now = self.now();
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

    /// Whether the app can be sent work: an instance is ready, and the app is not being stopped.
    fn is_ready_for_work(&self) -> bool {
        !self.shutdown.is_ahead() && self.instances.any_ready()
    }
}

fn used_by(pid: i32) -> ProcessMetrics {
    ProcessMetrics {
        cpu: usage::cpu_time(pid).map(|time| time.as_secs_f64()),
        memory: usage::memory(pid),
        descriptors: usage::descriptors(pid),
    }
}
