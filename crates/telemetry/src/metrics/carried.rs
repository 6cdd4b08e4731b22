//! What supervisors before this one have told of counters: a counter never goes back.
//!
//! What a supervisor tells is kept outside of it. The one that takes its place after it was killed adds that to
//! all that it counts itself; what was counted since it was told last is lost.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prometheus_client::metrics::MetricType;
use serde::{Deserialize, Serialize};

use super::AppMetrics;
use super::families::{Family, Sample, Value, families};
use crate::figures::WaitFigures;

/// The labels of a sample, besides those of its app.
type Labels = Vec<(Cow<'static, str>, String)>;

/// The totals of counters and histograms, by family and labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried(BTreeMap<String, Vec<(Labels, Value)>>);

impl Carried {
    /// All that these metrics tell of what only grows.
    pub fn of(app: &AppMetrics) -> Self {
        let growing = families().into_iter().filter(grows);
        let totals = growing.map(|family| {
            let samples = app.samples(&family).into_iter();
            let samples = samples.map(|it| (it.labels, it.value));
            (family.name.to_owned(), samples.collect::<Vec<_>>())
        });
        Self(totals.filter(|(_, samples)| !samples.is_empty()).collect())
    }
}

/// Whether its values only grow.
fn grows(family: &Family) -> bool {
    matches!(family.kind, MetricType::Counter | MetricType::Histogram)
}

impl AppMetrics {
    /// The samples of a family, with what was told of it before.
    pub(super) fn samples(&self, family: &Family) -> Vec<Sample> {
        let mut samples = (family.samples)(self);
        let before = self.before.0.get(family.name).filter(|_| grows(family));
        if let Some(before) = before {
            let mut left: BTreeMap<&Labels, &Value> = before
                .iter()
                .map(|(labels, value)| (labels, value))
                .collect();
            for sample in &mut samples {
                if let Some(before) = left.remove(&sample.labels) {
                    sample.value.add(before);
                }
            }
            // What there is no more keeps its value.
            samples.extend(left.into_iter().map(|(labels, value)| Sample {
                labels: labels.clone(),
                value: value.clone(),
            }));
        }
        samples
    }
}

impl Value {
    fn add(&mut self, before: &Self) {
        match (self, before) {
            (Self::Count(now), Self::Count(before)) => *now = now.saturating_add(*before),
            (Self::Number(now), Self::Number(before)) => *now += before,
            (Self::Wait(now), Self::Wait(before)) => now.add(before),
            // A newer maitred counts it in another way.
            _ => {}
        }
    }
}

impl WaitFigures {
    /// Adds others; the 99th percentile is the larger one of both.
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        self.mean = self.total.checked_div(self.count).unwrap_or(0);
        self.p99 = self.p99.max(other.p99);
        self.longest = self.longest.max(other.longest);
        let steps = self.steps.len().max(other.steps.len());
        self.steps.resize(steps, 0);
        for (own, others) in self.steps.iter_mut().zip(&other.steps) {
            *own = own.saturating_add(*others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, InstanceMetrics};
    use super::*;
    use crate::ids::Instance;

    fn metrics(restarts: u64, cpu: f64, instances: u32) -> AppMetrics {
        let mut app = AppMetrics {
            instances: (0..instances)
                .map(|number| InstanceMetrics {
                    instance: Instance(number),
                    up: true,
                    cpu,
                    ..InstanceMetrics::default()
                })
                .collect(),
            ..AppMetrics::default()
        };
        let causes = [(Cause::Command, restarts)];
        app.tally
            .restarts
            .insert(Instance(1), causes.into_iter().collect());
        app
    }

    fn told(app: &AppMetrics, family: &str) -> Vec<String> {
        let text = super::super::open_metrics(vec![app.clone()]);
        let begins = format!("maitred_{family}{{");
        let lines = text.lines().filter(|line| line.starts_with(&begins));
        let values = lines.filter_map(|line| line.rsplit_once(' '));
        values.map(|(_, value)| value.to_owned()).collect()
    }

    #[test]
    fn counters_go_on_and_gauges_begin_anew() {
        let first = metrics(3, 1.5, 2);
        let mut second = metrics(1, 0.25, 1);
        second.before = Carried::of(&first);
        assert_eq!(told(&second, "instance_restarts_total"), ["4"]);
        // The instance that there is no more, too.
        assert_eq!(told(&second, "instance_cpu_seconds_total"), ["1.75", "1.5"]);
        assert_eq!(told(&second, "instance_up"), ["1"]);
        // A third one, to which both have been told.
        let kept = serde_json::to_string(&Carried::of(&second)).unwrap();
        let mut third = metrics(1, 0.0, 2);
        third.before = serde_json::from_str(&kept).unwrap();
        assert_eq!(told(&third, "instance_restarts_total"), ["5"]);
        assert_eq!(told(&third, "instance_cpu_seconds_total"), ["1.75", "1.5"]);
    }

    #[test]
    fn waits_are_added() {
        let one = WaitFigures {
            count: 2,
            mean: 5,
            total: 10,
            p99: 8,
            longest: 9,
            steps: vec![1, 1],
        };
        let mut sum = WaitFigures {
            count: 1,
            mean: 2,
            total: 2,
            p99: 2,
            longest: 2,
            steps: vec![1],
        };
        sum.add(&one);
        let expected = WaitFigures {
            count: 3,
            mean: 4,
            total: 12,
            p99: 8,
            longest: 9,
            steps: vec![2, 1],
        };
        assert_eq!(sum, expected);
    }
}
