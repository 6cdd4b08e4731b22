//! What others see of an instance: what runs, what it waits for, and when it wants to hear of the time.

use std::time::Duration;

use config::Pause;

use super::leaving::Leaving;
use super::{Awaited, Lifecycle, Rules, Run, RunId, State};

impl Lifecycle {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    pub(crate) fn unstable(&self) -> u32 {
        self.debt.runs()
    }

    /// When it is started, if that may be brought forward.
    pub(crate) fn put_off_until(&self, rules: &Rules) -> Option<Duration> {
        match (self.state, rules.restart.pause) {
            (State::Waiting { until }, Pause::Earned(_)) if !self.is_kept_waiting(rules) => {
                Some(until)
            }
            _ => None,
        }
    }

    /// Whether a process of it is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether such a process does what it has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.leaving.iter().any(Leaving::is_draining)
    }

    /// Whether a process of it runs, or a next one follows.
    pub(crate) fn goes_on(&self) -> bool {
        !matches!(self.state, State::Resting(_))
    }

    /// Whether nothing runs, and nothing follows.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Resting(_)) && self.leaving.is_empty()
    }

    /// The process that serves, if one runs.
    pub(crate) fn current(&self) -> Option<Run> {
        match self.state {
            State::Running(run) | State::Replacing { old: run, .. } => Some(run),
            State::Resting(_) | State::Waiting { .. } => None,
        }
    }

    /// Whether a process starts, or is about to.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.state, State::Waiting { .. }) || self.starting().is_some()
    }

    /// The process that comes up, and the one that it replaces, if that runs beside it.
    pub(crate) fn starting(&self) -> Option<(RunId, Option<RunId>)> {
        match self.state {
            State::Running(run) if !run.up => Some((run.id, None)),
            State::Replacing { old, new, .. } => Some((new.id, Some(old.id))),
            State::Resting(_) | State::Waiting { .. } | State::Running(_) => None,
        }
    }

    /// The next moment at which it wants to hear of the time.
    pub(crate) fn next_time(&self, rules: &Rules) -> Option<Duration> {
        let state = match self.state {
            State::Resting(_) => None,
            State::Waiting { until } => (!self.is_kept_waiting(rules)).then_some(until),
            State::Running(run) if run.up => None,
            State::Running(run) if !rules.wait_ready => Some(run.since + rules.settled()),
            State::Running(run) => {
                (self.awaited == Awaited::Up).then_some(run.since + rules.listen_timeout)
            }
            State::Replacing {
                old, new, deadline, ..
            } => {
                let settles = !old.listens && !new.up && !rules.wait_ready;
                let settled = settles.then_some(new.since + rules.settled());
                settled.into_iter().chain([deadline]).min()
            }
        };
        let leaving = self.leaving.iter().filter_map(Leaving::next_time);
        leaving.chain(state).min()
    }
}
