//! Metrics as text: OpenMetrics 1.0, and Prometheus' format 0.0.4 for those who ask for no other.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::AppMetrics;
use super::families::{Family, Sample, Value, families};
use crate::figures::WaitFigures;

/// The media type of [`open_metrics`].
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of [`prometheus`].
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which steps of a wait histogram are told: its step `n` ends at `2^n` microseconds, so these are
/// 64 µs, 256 µs, 1 ms … 67 s.
const STEPS: [usize; 11] = [6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26];

type NoLabels = [(&'static str, &'static str); 0];

/// The metrics of these apps as OpenMetrics text.
pub fn open_metrics(apps: Vec<AppMetrics>) -> String {
    let mut written = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut written, &registry(apps));
    written
}

/// The same in Prometheus' text format.
pub fn prometheus(apps: Vec<AppMetrics>) -> String {
    let mut written = String::new();
    let _ = prometheus_text::encode(&mut written, &registry(apps));
    written
}

fn registry(apps: Vec<AppMetrics>) -> Registry {
    let mut registry = Registry::with_prefix("maitred");
    registry.register_collector(Box::new(Apps(apps)));
    registry
}

#[derive(Debug)]
struct Apps(Vec<AppMetrics>);

impl Collector for Apps {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in families() {
            self.encode_family(&family, &mut encoder)?;
        }
        Ok(())
    }
}

impl Apps {
    fn encode_family(&self, family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut samples = self
            .0
            .iter()
            .flat_map(|app| app.samples(family).into_iter().map(move |it| (app, it)))
            .peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let unit = family.unit.as_ref();
        let mut metric = encoder.encode_descriptor(family.name, family.help, unit, family.kind)?;
        for (app, Sample { mut labels, value }) in samples {
            labels.insert(0, ("app".into(), app.app.clone()));
            labels.insert(1, ("namespace".into(), app.namespace.clone()));
            encode_value(metric.encode_family(&labels)?, family.kind, value)?;
        }
        Ok(())
    }
}

fn encode_value(mut encoder: MetricEncoder<'_>, kind: MetricType, value: Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Count(count)) => {
            encoder.encode_counter::<NoLabels, _, f64>(&count, None)
        }
        (MetricType::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabels, _, f64>(&number, None)
        }
        (_, Value::Count(count)) => encoder.encode_gauge(&count),
        (_, Value::Number(number)) => encoder.encode_gauge(&number),
        (_, Value::Wait(waited)) => {
            let sum = waited.total as f64 / 1e9;
            let buckets = buckets(&waited);
            encoder.encode_histogram::<NoLabels>(sum, waited.count, &buckets, None)
        }
    }
}

/// Upper bounds in seconds, and how many waits lie between one and the next.
fn buckets(waited: &WaitFigures) -> Vec<(f64, u64)> {
    let mut buckets = Vec::with_capacity(STEPS.len() + 1);
    let mut told = 0;
    let mut first = 0;
    for last in STEPS {
        let steps = waited.steps.iter().skip(first).take(last + 1 - first);
        let count = steps.sum();
        buckets.push(((1_u64 << last) as f64 / 1e6, count));
        told += count;
        first = last + 1;
    }
    buckets.push((f64::INFINITY, waited.count.saturating_sub(told)));
    buckets
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, InstanceMetrics};
    use super::*;
    use crate::figures::{ListenerFigures, LoopSeenBy, RequestFigures, WorkerFigures};
    use crate::ids::Instance;

    fn app() -> AppMetrics {
        let mut app = AppMetrics {
            app: "a\"\\\n".into(),
            namespace: "default".into(),
            version: "1.2.3".into(),
            ..AppMetrics::default()
        };
        app.instances.push(InstanceMetrics {
            instance: Instance(0),
            up: true,
            started_at: Some(1500),
            ..InstanceMetrics::default()
        });
        let causes = app.tally.restarts.entry(Instance(0)).or_default();
        causes.insert(Cause::Signal, 2);
        let worker = |ordinal| WorkerFigures {
            instance: Instance(0),
            ordinal,
            pid: None,
            dispatched: 5,
            open: 1,
            untaken: 0,
            taken_back: 1,
            requests: None,
            seen_by: LoopSeenBy::Nobody,
        };
        let mut steps = vec![0; 30];
        steps[3] = 1;
        steps[7] = 2;
        steps[28] = 4;
        app.listeners.push(ListenerFigures {
            address: "0.0.0.0:80".into(),
            accepted: 10,
            waiting: 0,
            waiting_for: 0,
            parked: 0,
            waited: WaitFigures {
                count: 7,
                total: 7_000_000_000,
                mean: 1_000_000_000,
                p99: 0,
                longest: 0,
                steps,
            },
            refused: 0,
            requests: Some(RequestFigures {
                answered: 3,
                failed: [(502, 1), (504, 1)].into(),
                ..RequestFigures::default()
            }),
            workers: vec![worker(0), worker(1)],
        });
        app
    }

    #[test]
    fn what_is_written_is_open_metrics() {
        let text = open_metrics(vec![app()]);
        let labels = r#"app="a\"\\\n",namespace="default""#;
        for line in [
            "# TYPE maitred_instance_restarts counter".to_owned(),
            format!(
                r#"maitred_instance_restarts_total{{{labels},instance_number="0",reason="signal"}} 2"#
            ),
            format!(r#"maitred_instance_start_time_seconds{{{labels},instance_number="0"}} 1.5"#),
            format!(
                r#"maitred_worker_connections_total{{{labels},instance_number="0",listener="0.0.0.0:80"}} 12"#
            ),
            format!(
                r#"maitred_requests_total{{{labels},listener="0.0.0.0:80",outcome="failed"}} 2"#
            ),
            format!(r#"maitred_queue_wait_seconds_sum{{{labels},listener="0.0.0.0:80"}} 7.0"#),
            "# UNIT maitred_queue_wait_seconds seconds".to_owned(),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n\n{text}");
        }
    }

    #[test]
    fn a_histogram_counts_each_wait_once() {
        let waited = app().listeners.remove(0).waited;
        let buckets = buckets(&waited);
        assert_eq!(buckets[0], (64e-6, 1));
        assert_eq!(buckets[1], (256e-6, 2));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 4)));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 7);
    }

    #[test]
    fn several_apps_share_the_lines_about_a_metric() {
        let text = open_metrics(vec![app(), AppMetrics::default()]);
        let help = text
            .lines()
            .filter(|it| it.starts_with("# HELP maitred_app_info"));
        assert_eq!(help.count(), 1);
        let samples = text
            .lines()
            .filter(|it| it.starts_with("maitred_app_info{"));
        assert_eq!(samples.count(), 2);
    }

    #[test]
    fn prometheus_names_counters_whole() {
        let text = prometheus(vec![app()]);
        assert!(
            text.contains("# TYPE maitred_connections_total counter"),
            "{text}"
        );
        assert!(!text.contains("# EOF"));
    }

    /// What the dashboard and the alerts ask for exists.
    #[test]
    fn dashboard_and_alerts_name_metrics_that_exist() {
        let known: Vec<_> = families()
            .iter()
            .flat_map(|family| {
                let unit = family
                    .unit
                    .as_ref()
                    .map_or(String::new(), |it| format!("_{}", it.as_str()));
                let name = format!("maitred_{}{unit}", family.name);
                match family.kind {
                    MetricType::Counter => vec![format!("{name}_total")],
                    MetricType::Histogram => vec![format!("{name}_bucket")],
                    _ => vec![name],
                }
            })
            .collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/observability");
        for file in ["grafana.json", "alerts.yaml", "alerts.test.yaml"] {
            let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
            let mut found = 0;
            for (at, _) in text.match_indices("maitred_") {
                let rest = &text[at..];
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let name = &rest[..end.unwrap_or(rest.len())];
                assert!(known.iter().any(|it| it == name), "{file}: {name}");
                found += 1;
            }
            assert!(found > 4, "{file}");
        }
    }

    /// The list in docs/metrics.md is that of the families.
    #[test]
    fn the_reference_is_up_to_date() {
        use std::fmt::Write;
        const MARK: &str = "<!-- from crates/telemetry/src/metrics/families.rs -->\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let kept = std::fs::read_to_string(path).unwrap();
        let (before, _) = kept.split_once(MARK).unwrap();
        let mut text = format!("{before}{MARK}\n| metric | type | |\n|---|---|---|\n");
        for family in families() {
            let unit = family.unit.as_ref();
            let unit = unit.map_or(String::new(), |it| format!("_{}", it.as_str()));
            let (total, kind) = match family.kind {
                MetricType::Counter => ("_total", "counter"),
                MetricType::Histogram => ("", "histogram"),
                _ => ("", "gauge"),
            };
            let name = format!("maitred_{}{unit}{total}", family.name);
            let _ = writeln!(text, "| `{name}` | {kind} | {} |", family.help);
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert!(
            text == kept,
            "docs/metrics.md is out of date: UPDATE_DOCS=1 cargo test -p telemetry"
        );
    }
}
