//! What is measured of the app, when somebody asks or it is time to show it.

use std::io;
use std::net::SocketAddr;

use process::sockets::listener_at;
use telemetry::events::Event;
use telemetry::metrics::AppMetrics;

use super::Supervisor;
use super::endpoint::{Answer, Question};
use super::folders::Folders;
use super::reports::used_by;

impl Supervisor {
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
                let reason = self.folders.why_unbound(address, &error);
                let address = address.to_string();
                self.event(Event::MetricsFailing { address, reason });
            }
        }
    }

    /// Shows what was counted.
    pub(super) async fn show_figures(&mut self) {
        self.dispatch.count().await;
        let listeners = self.dispatch.figures.clone();
        self.reports.output.event(&Event::Figures { listeners });
    }

    /// Shows what was counted, if it is time.
    pub(super) async fn show_figures_in_time(&mut self) {
        if self.clock.stats_are_due() {
            self.show_figures().await;
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
        let (now, instances) = (self.now(), self.instances.iter());
        AppMetrics {
            app: self.app.name.clone(),
            namespace: self.app.namespace.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor: used_by(i32::try_from(std::process::id()).unwrap_or(0)),
            instances: instances
                .map(|slot| self.reports.measured(slot, now))
                .collect(),
            listeners: self.dispatch.figures.clone(),
            output: self.reports.volume(&self.app),
            tally: self.reports.tally.clone(),
            before: self.reports.before.clone(),
        }
    }

    /// Keeps what is told, for a supervisor that takes the place of this one.
    fn keep_counted(&mut self, metrics: &AppMetrics) {
        if let Some(failing) = self.folders.keep_counted(metrics) {
            self.event(failing);
        }
    }

    /// Whether the app can be sent work: an instance is ready, and the app is not being stopped.
    fn is_ready_for_work(&self) -> bool {
        !self.shutdown.is_ahead() && self.instances.any_ready()
    }
}

impl Folders {
    /// What keeps the metrics from an address, and who, if somebody has it.
    fn why_unbound(&self, address: SocketAddr, error: &io::Error) -> String {
        let holder = match error.kind() {
            io::ErrorKind::AddrInUse => listener_at(address.port()),
            _ => None,
        };
        let Some(holder) = holder else {
            return error.to_string();
        };
        match self.other_app_of(&holder) {
            Some(app) => format!("it is in use by {holder} of the app {app}"),
            None => format!("it is in use by {holder}"),
        }
    }
}
