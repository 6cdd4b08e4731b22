//! What an app has used and served over the last minutes: pure, without clock.

use std::collections::VecDeque;

use serde::Serialize;

/// How many values are kept, one for each second: ten minutes.
const KEPT: usize = 600;

/// Over how many seconds waiting times are gathered: one second alone may have few.
const WINDOW: usize = 10;

/// What is measured of an app at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Connections, or requests, that its instances are given a second.
    pub rate: f32,
    /// Half of what was waited for in the last seconds took no longer, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f32>,
    /// The same of 99 in 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f32>,
    /// Percent of one processor, of all instances.
    pub cpu: f32,
    /// Bytes of memory, of all instances.
    pub memory: u64,
    /// Connections, or requests, that instances have.
    pub open: u64,
    /// Those that wait for an instance.
    pub waiting: u64,
    pub restarts: u64,
}

/// The history as columns; what is not known is null.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Columns {
    /// In milliseconds since 1970.
    pub at: Vec<u64>,
    pub rate: Vec<f32>,
    pub p50: Vec<Option<f32>>,
    pub p99: Vec<Option<f32>>,
    pub cpu: Vec<f32>,
    pub memory: Vec<u64>,
    pub open: Vec<u64>,
    pub waiting: Vec<u64>,
    pub restarts: Vec<u64>,
}

/// The last minutes of one app.
#[derive(Debug, Default)]
pub(crate) struct History {
    values: VecDeque<(u64, Figures)>,
    /// What was counted of waits, over the last seconds.
    steps: VecDeque<Vec<u64>>,
}

impl History {
    /// Adds what was measured at a moment, in milliseconds since 1970.
    pub(crate) fn push(&mut self, at: u64, figures: Figures) {
        if self.values.len() >= KEPT {
            self.values.pop_front();
        }
        self.values.push_back((at, figures));
    }

    /// Half, and 99 in 100, of those that waited in the last seconds, in seconds; `steps` is what was
    /// counted until now.
    pub(crate) fn waited(&mut self, steps: Vec<u64>) -> (Option<f32>, Option<f32>) {
        let goes_back = self.steps.back().is_some_and(|last| {
            let mut both = last.iter().zip(&steps);
            steps.len() < last.len() || both.any(|(before, now)| now < before)
        });
        if goes_back {
            // Another supervisor counts from zero.
            self.steps.clear();
        }
        self.steps.push_back(steps);
        if self.steps.len() > WINDOW + 1 {
            self.steps.pop_front();
        }
        let (Some(first), Some(last)) = (self.steps.front(), self.steps.back()) else {
            return (None, None);
        };
        let before = |step| first.get(step).copied().unwrap_or(0);
        let counts = last.iter().enumerate();
        let counts: Vec<_> = counts
            .map(|(step, count)| count.saturating_sub(before(step)))
            .collect();
        (quantile(&counts, 0.5), quantile(&counts, 0.99))
    }

    pub(crate) fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        for (at, figures) in &self.values {
            columns.at.push(*at);
            columns.rate.push(figures.rate);
            columns.p50.push(figures.p50);
            columns.p99.push(figures.p99);
            columns.cpu.push(figures.cpu);
            columns.memory.push(figures.memory);
            columns.open.push(figures.open);
            columns.waiting.push(figures.waiting);
            columns.restarts.push(figures.restarts);
        }
        columns
    }
}

/// The value, in seconds, that this share of those that were counted does not exceed; within a step they
/// are taken to be spread evenly.
fn quantile(counts: &[u64], share: f64) -> Option<f32> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = all as f64 * share;
    let mut below = 0.0;
    for (step, count) in (0i32..).zip(counts) {
        let with = below + *count as f64;
        if with >= wanted && *count > 0 {
            let top = 2f64.powi(step);
            let bottom = if step == 0 { 0.0 } else { top / 2.0 };
            let part = (wanted - below) / *count as f64;
            return Some(((bottom + (top - bottom) * part) / 1e6) as f32);
        }
        below = with;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_ten_minutes() {
        let mut history = History::default();
        for at in 0..2000 {
            let rate = at as f32;
            history.push(
                at,
                Figures {
                    rate,
                    ..Figures::default()
                },
            );
        }
        let columns = history.columns();
        assert_eq!(columns.at.len(), KEPT);
        assert_eq!(columns.at.last(), Some(&1999));
        assert_eq!(columns.rate.first(), Some(&1400.0));
    }

    #[test]
    fn quantiles_are_those_of_the_last_seconds() {
        let mut history = History::default();
        assert_eq!(history.waited(vec![0; 12]), (None, None));
        // A hundred of 512 to 1024 µs.
        let mut steps = vec![0; 12];
        steps[10] = 100;
        let (half, most) = history.waited(steps.clone());
        assert_eq!(half, Some(768e-6));
        assert!(most.is_some_and(|most| most > 1000e-6 && most < 1024e-6));
        for _ in 0..=WINDOW {
            history.waited(steps.clone());
        }
        assert_eq!(history.waited(steps), (None, None));
        // A new supervisor counts anew.
        let mut anew = vec![0; 12];
        anew[1] = 3;
        assert_eq!(history.waited(anew.clone()), (None, None));
        anew[1] = 4;
        assert_eq!(history.waited(anew).0, Some(1.5e-6));
    }
}
