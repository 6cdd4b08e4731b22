//! From what supervisors say to what the dashboard shows.

use super::super::live::sample::{AppSample, Sample};
use super::super::live::summary::summary;
use super::super::shown;
use super::super::usage::Usage;
use crate::apps::{self, Known};
use dashboard::{App, Condition, Figures, Instance, Listener, Seen, Unit, plain};
use home::control::{InstanceView, State};
use telemetry::metrics::AppMetrics;

/// All apps, with what is measured of them.
pub(super) fn all(sample: Sample) -> Vec<Seen> {
    let known: Vec<_> = sample.apps.iter().map(|app| app.known.clone()).collect();
    let metrics = apps::metrics(&known);
    let apps = sample.apps.into_iter().zip(metrics);
    apps.map(|(app, metrics)| one(app, metrics.ok().flatten().as_ref()))
        .collect()
}

fn one(sample: AppSample, metrics: Option<&AppMetrics>) -> Seen {
    let views = || sample.instances.iter().map(|(view, _)| view);
    let Known { record, .. } = &sample.known;
    let unit = match record.app.requests {
        Some(_) => Unit::Requests,
        None => Unit::Connections,
    };
    let listeners = sample.listeners.iter();
    Seen {
        steps: metrics.map_or_else(Vec::new, |metrics| steps(metrics, unit)),
        app: App {
            name: record.app.name.clone(),
            namespace: record.app.namespace.clone(),
            unit,
            condition: views().map(condition).max().unwrap_or_default(),
            status: summary(views()).text,
            is_to_run: sample.is_to_run,
            is_ready: views().any(is_ready),
            version: sample.version.clone(),
            listeners: listeners
                .map(|it| Listener {
                    address: plain(&it.address),
                    workers: it.workers,
                    waiting: it.waiting,
                })
                .collect(),
            instances: sample.instances.iter().map(instance).collect(),
            figures: Figures::default(),
        },
    }
}

fn is_ready(view: &InstanceView) -> bool {
    view.state == State::Online && view.waits_for.is_none() && view.unhealthy.is_none()
}

fn condition(view: &InstanceView) -> Condition {
    if view.blocked.is_some() || view.unhealthy.is_some() {
        return Condition::Bad;
    }
    match view.state {
        State::Online => Condition::Well,
        State::Launching | State::Stopping => Condition::Changing,
        State::Stopped => Condition::Off,
        State::Waiting | State::Errored | State::Crashed | State::Unknown => Condition::Bad,
    }
}

fn instance((view, usage): &(InstanceView, Usage)) -> Instance {
    let reasons = [&view.unhealthy, &view.not_started, &view.not_preloaded];
    let waits = view.waits_for.as_ref().map(|it| format!("waits for {it}"));
    let reason = reasons.into_iter().flatten().next().cloned().or(waits);
    Instance {
        id: view.id.0,
        number: view.instance.0,
        condition: condition(view),
        status: shown::status(view).into(),
        reason: reason.map(|reason| plain(&reason)),
        pid: view.pid,
        since: view.since.filter(|_| view.pid.is_some()),
        restarts: view.restarts,
        blocked: view.blocked,
        open: view.open,
        given: view.given,
        rate: 0.0,
        cpu: usage.cpu as f32,
        memory: usage.memory,
    }
}

/// How long was waited: for responses to begin, or where connections are placed, for a worker.
fn steps(metrics: &AppMetrics, unit: Unit) -> Vec<u64> {
    let mut all = Vec::new();
    for listener in &metrics.listeners {
        let waited = match (unit, &listener.requests) {
            (Unit::Requests, Some(requests)) => &requests.first_byte,
            (Unit::Requests, None) => continue,
            (Unit::Connections, _) => &listener.waited,
        };
        if all.len() < waited.steps.len() {
            all.resize(waited.steps.len(), 0);
        }
        for (sum, count) in all.iter_mut().zip(&waited.steps) {
            *sum += count;
        }
    }
    all
}
