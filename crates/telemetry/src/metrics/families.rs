//! Which metrics there are: one row for each, with its name, its help, and where its samples come
//! from. Names follow Prometheus' conventions: base units, `_total` behind counters.

use std::borrow::Cow;

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use serde::{Deserialize, Serialize};

use super::{AppMetrics, InstanceMetrics, ProcessMetrics};
use crate::figures::{ListenerFigures, RequestFigures, WaitFigures, WorkerFigures};
use crate::ids::Instance;

/// A metric with all its samples.
pub(super) struct Family {
    /// Without prefix, unit and suffix.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    /// The samples of one app.
    pub(super) samples: fn(&AppMetrics) -> Vec<Sample>,
}

/// One sample, with the labels that it has besides those of its app.
pub(super) struct Sample {
    pub(super) labels: Vec<(Cow<'static, str>, String)>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
    Wait(WaitFigures),
}

type Samples = fn(&AppMetrics) -> Vec<Sample>;

fn counter(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family {
        name,
        unit: None,
        help,
        kind: MetricType::Counter,
        samples,
    }
}

fn gauge(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family {
        name,
        unit: None,
        help,
        kind: MetricType::Gauge,
        samples,
    }
}

impl Family {
    fn seconds(mut self) -> Self {
        self.unit = Some(Unit::Seconds);
        self
    }

    fn bytes(mut self) -> Self {
        self.unit = Some(Unit::Bytes);
        self
    }
}

/// All metrics.
pub(super) fn families() -> Vec<Family> {
    let mut all = of_apps();
    all.extend(of_instances());
    all.extend(of_connections());
    all.extend(of_requests());
    all
}

fn of_apps() -> Vec<Family> {
    vec![
        gauge(
            "app_info",
            "The app, and the version of its supervisor.",
            |app| one(vec![("version", app.version.clone())], Value::Count(1)),
        ),
        counter("reloads", "Reloads, by their outcome.", |app| {
            let outcomes = app.tally.reloads.iter();
            outcomes
                .map(|(outcome, count)| sample(vec![("outcome", outcome.clone())], *count))
                .collect()
        }),
        counter(
            "log",
            "Bytes that the instances have written to their outputs, by the stream.",
            |app| {
                let streams = app.output.iter();
                streams
                    .map(|(stream, bytes)| sample(vec![("stream", stream.clone())], *bytes))
                    .collect()
            },
        )
        .bytes(),
        counter(
            "log_lines_lost",
            "Lines of output that could not be written to a log file.",
            |app| one(Vec::new(), Value::Count(app.tally.lines_lost)),
        ),
        counter(
            "supervisor_cpu",
            "Processor time of the supervisor.",
            |app| used(Vec::new(), &app.supervisor, |it| it.cpu.map(Value::Number)),
        )
        .seconds(),
        gauge(
            "supervisor_resident_memory",
            "Resident memory of the supervisor.",
            |app| {
                used(Vec::new(), &app.supervisor, |it| {
                    it.memory.map(Value::Count)
                })
            },
        )
        .bytes(),
        gauge(
            "supervisor_open_descriptors",
            "Open descriptors of the supervisor.",
            |app| {
                used(Vec::new(), &app.supervisor, |it| {
                    it.descriptors.map(Value::Count)
                })
            },
        ),
    ]
}

fn of_instances() -> Vec<Family> {
    vec![
        gauge(
            "instance_up",
            "Whether the instance's process runs.",
            |app| each(app, |it| Some(Value::Count(u64::from(it.up)))),
        ),
        gauge(
            "instance_ready",
            "Whether the instance is ready for work.",
            |app| each(app, |it| Some(Value::Count(u64::from(it.ready)))),
        ),
        gauge(
            "instance_healthy",
            "Whether the instance passes its health check, where it has one.",
            |app| each(app, |it| Some(Value::Count(u64::from(it.healthy?)))),
        ),
        gauge(
            "instance_blocked",
            "Whether the instance's event loop stands still, for a second or longer.",
            |app| each(app, |it| Some(Value::Count(u64::from(it.blocked)))),
        ),
        counter(
            "instance_blocked",
            "How long the instance's event loop has stood still, of the times that it did so for a \
             second or longer.",
            |app| each(app, |it| Some(Value::Number(it.blocked_for.as_secs_f64()))),
        )
        .seconds(),
        gauge(
            "instance_start_time",
            "When the instance's process was started, since 1970.",
            |app| {
                each(app, |it| {
                    Some(Value::Number(it.started_at? as f64 / 1000.0))
                })
            },
        )
        .seconds(),
        counter(
            "instance_restarts",
            "Processes that were started in the place of another one, by the reason.",
            restarts,
        ),
        counter(
            "instance_cpu",
            "Processor time of the instance's processes.",
            |app| each(app, |it| Some(Value::Number(it.cpu))),
        )
        .seconds(),
        gauge(
            "instance_resident_memory",
            "Resident memory of the instance's process.",
            |app| each(app, |it| it.process.memory.map(Value::Count)),
        )
        .bytes(),
        gauge(
            "instance_open_descriptors",
            "Open descriptors of the instance's process.",
            |app| each(app, |it| it.process.descriptors.map(Value::Count)),
        ),
    ]
}

fn of_connections() -> Vec<Family> {
    vec![
        counter("connections", "Connections accepted.", |app| {
            listeners(app, |it| Some(it.accepted))
        }),
        gauge(
            "connections_waiting",
            "Connections that wait for a worker.",
            |app| listeners(app, |it| Some(it.waiting as u64)),
        ),
        gauge(
            "connections_parked",
            "Connections that the app has closed between two requests, and that are kept for their next one.",
            |app| listeners(app, |it| it.requests.is_none().then_some(it.parked as u64)),
        ),
        counter(
            "connections_refused",
            "Connections closed unserved, after they had waited too long.",
            |app| listeners(app, |it| Some(it.refused)),
        ),
        Family {
            name: "queue_wait",
            unit: Some(Unit::Seconds),
            help: "How long connections or requests waited for a worker, of those that had to.",
            kind: MetricType::Histogram,
            samples: |app| {
                let wait = |it: &ListenerFigures| Value::Wait(it.waited.clone());
                let listeners = app.listeners.iter();
                listeners
                    .map(|it| Sample::new(vec![listener(it)], wait(it)))
                    .collect()
            },
        },
        counter(
            "worker_connections",
            "Connections sent to the instance.",
            |app| workers(app, |it| Some(it.dispatched + it.taken_back)),
        ),
        counter(
            "worker_connections_taken_back",
            "Connections that the instance did not take in time, and that went to another one.",
            |app| workers(app, |it| Some(it.taken_back)),
        ),
        gauge(
            "worker_connections_open",
            "Connections open at the instance.",
            |app| workers(app, |it| it.requests.is_none().then_some(it.open as u64)),
        ),
        gauge(
            "worker_connections_untaken",
            "Connections sent to the instance that it has not accepted yet.",
            |app| workers(app, |it| Some(it.untaken as u64)),
        ),
    ]
}

fn of_requests() -> Vec<Family> {
    vec![
        counter(
            "requests",
            "Requests that have ended, by their outcome.",
            outcomes,
        ),
        counter(
            "requests_failed",
            "Requests that maitred answered itself, by status code.",
            |app| {
                let mut all = Vec::new();
                for (at, requests) in with_requests(app) {
                    for (status, count) in &requests.failed {
                        let labels = vec![listener(at), ("code", status.to_string())];
                        all.push(sample(labels, *count));
                    }
                }
                all
            },
        ),
        counter(
            "responses",
            "Responses to clients, maitred's own among them, by the class of their status code.",
            responses,
        ),
        Family {
            name: "time_to_first_byte",
            unit: Some(Unit::Seconds),
            help: "How long clients waited for an instance's response to begin, from the first byte of \
                   their request; time in the queue is part of it.",
            kind: MetricType::Histogram,
            samples: |app| {
                let requests = with_requests(app);
                requests
                    .map(|(at, requests)| {
                        let waited = Value::Wait(requests.first_byte.clone());
                        Sample::new(vec![listener(at)], waited)
                    })
                    .collect()
            },
        },
        counter(
            "requests_retried",
            "Requests that were sent to a second instance.",
            |app| requests(app, |it| it.retried),
        ),
        gauge(
            "requests_waiting",
            "Requests that wait for an instance.",
            |app| requests(app, |it| it.waiting as u64),
        ),
        gauge(
            "requests_in_progress",
            "Requests that are with instances.",
            |app| requests(app, |it| it.in_progress as u64),
        ),
        counter(
            "worker_requests",
            "Requests given to the instance.",
            |app| workers(app, |it| it.requests.map(|it| it.total)),
        ),
        gauge(
            "worker_requests_in_progress",
            "Requests that the instance has.",
            |app| workers(app, |it| it.requests.map(|it| it.in_progress)),
        ),
        counter(
            "worker_requests_failed",
            "Requests that the instance did not answer, not in time, or not as HTTP.",
            |app| workers(app, |it| it.requests.map(|it| it.failed)),
        ),
    ]
}

/// Labels by their names.
type Named = Vec<(&'static str, String)>;

impl Sample {
    fn new(labels: Named, value: Value) -> Self {
        let labels = labels.into_iter();
        Self {
            labels: labels.map(|(name, it)| (name.into(), it)).collect(),
            value,
        }
    }
}

fn one(labels: Named, value: Value) -> Vec<Sample> {
    vec![Sample::new(labels, value)]
}

fn sample(labels: Named, count: u64) -> Sample {
    Sample::new(labels, Value::Count(count))
}

fn used(
    labels: Named,
    process: &ProcessMetrics,
    value: impl Fn(&ProcessMetrics) -> Option<Value>,
) -> Vec<Sample> {
    let value = value(process);
    value.map_or_else(Vec::new, |value| one(labels, value))
}

fn instance(instance: Instance) -> (&'static str, String) {
    ("instance_number", instance.to_string())
}

fn listener(figures: &ListenerFigures) -> (&'static str, String) {
    ("listener", figures.address.clone())
}

fn each(app: &AppMetrics, value: impl Fn(&InstanceMetrics) -> Option<Value>) -> Vec<Sample> {
    let samples = app
        .instances
        .iter()
        .filter_map(|it| Some(Sample::new(vec![instance(it.instance)], value(it)?)));
    samples.collect()
}

fn restarts(app: &AppMetrics) -> Vec<Sample> {
    let mut all = Vec::new();
    for (at, causes) in &app.tally.restarts {
        for (cause, count) in causes {
            let reason = ("reason", cause.word().to_owned());
            all.push(sample(vec![instance(*at), reason], *count));
        }
    }
    all
}

fn listeners(app: &AppMetrics, count: impl Fn(&ListenerFigures) -> Option<u64>) -> Vec<Sample> {
    let listeners = app.listeners.iter();
    let samples = listeners.filter_map(|it| Some(sample(vec![listener(it)], count(it)?)));
    samples.collect()
}

fn with_requests(app: &AppMetrics) -> impl Iterator<Item = (&ListenerFigures, &RequestFigures)> {
    let listeners = app.listeners.iter();
    listeners.filter_map(|it| Some((it, it.requests.as_ref()?)))
}

fn requests(app: &AppMetrics, count: impl Fn(&RequestFigures) -> u64) -> Vec<Sample> {
    let all = with_requests(app);
    let samples = all.map(|(at, requests)| sample(vec![listener(at)], count(requests)));
    samples.collect()
}

fn outcomes(app: &AppMetrics) -> Vec<Sample> {
    let mut all = Vec::new();
    for (at, requests) in with_requests(app) {
        let failed = requests.failed.values().sum();
        for (outcome, count) in [
            ("answered", requests.answered),
            ("upgraded", requests.upgraded),
            ("aborted", requests.aborted),
            ("failed", failed),
        ] {
            let outcome = ("outcome", outcome.to_owned());
            all.push(sample(vec![listener(at), outcome], count));
        }
    }
    all
}

fn responses(app: &AppMetrics) -> Vec<Sample> {
    let mut all = Vec::new();
    for (at, requests) in with_requests(app) {
        for (class, count) in (1..).zip(requests.responses) {
            let class = ("code", format!("{class}xx"));
            all.push(sample(vec![listener(at), class], count));
        }
    }
    all
}

/// What was counted of each instance at each listener: all its workers together.
fn workers(app: &AppMetrics, count: impl Fn(&WorkerFigures) -> Option<u64>) -> Vec<Sample> {
    let mut all = Vec::new();
    for at in &app.listeners {
        let mut sums = std::collections::BTreeMap::new();
        for worker in &at.workers {
            if let Some(count) = count(worker) {
                *sums.entry(worker.instance).or_insert(0) += count;
            }
        }
        let samples = sums.into_iter();
        all.extend(samples.map(|(it, sum)| sample(vec![instance(it), listener(at)], sum)));
    }
    all
}
