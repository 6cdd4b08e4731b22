//! An instance whose processes another supervisor has started.

use std::time::Duration;

use super::leaving::Leaving;
use super::{Cause, Generation, Instance, Rules, Run, State};

impl Run {
    /// A process that runs already.
    pub(crate) fn survived(generation: Generation, since: Duration, up: bool) -> Self {
        Self {
            generation,
            since,
            up,
            up_at: up.then_some(since),
            // Who listens is told soon.
            listens: false,
            listens_since: None,
        }
    }
}

impl Instance {
    /// Goes on with processes that run already: one that serves, if there is one, and those that are to end
    /// for this cause. Whoever says so has them drain.
    pub(crate) fn survive(
        &mut self,
        last: Generation,
        current: Option<Run>,
        leaving: &[Run],
        cause: Cause,
        rules: &Rules,
        now: Duration,
    ) {
        self.last = last;
        if let Some(run) = current {
            self.state = State::Running(run);
        }
        let leaving = leaving
            .iter()
            .map(|run| Leaving::begin(*run, cause, rules, now));
        self.leaving.extend(leaving);
    }

    /// The number of its newest process.
    pub(crate) fn last(&self) -> Generation {
        self.last
    }

    /// Its newest process, if that is still to serve.
    pub(crate) fn newest(&self) -> Option<Run> {
        match self.state {
            State::Running(run) | State::Replacing { new: run, .. } => Some(run),
            State::Resting(_) | State::Waiting { .. } => None,
        }
    }
}
