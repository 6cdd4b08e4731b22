//! The life of one instance, as a state machine without I/O and clock.
//!
//! ```text
//!            Start                  due, and nobody leaves            new one up: the old leaves
//!   Resting ───────▶ Waiting ─────────────────────▶ Running ─Reload─▶ Replacing ───▶ Running
//!      ▲                │  ▲                          │ │                │
//!      │ Stop           │  └───── exited, restarts ───┘ │                └─ new one ended, or was
//!      ├────────────────┘         or Restart            │                   not up in time: it
//!      └──────── exited for good, or Stop ──────────────┘                   leaves, the old stays
//! ```
//!
//! On trial ([`Event::TryOut`]) both serve for a moment when the new one is up. If it ends in that time,
//! the old one stays.
//!
//! What runs and is to end *leaves* ([`leaving`]): it drains, is asked to end, and killed when it takes
//! too long. That goes on beside the states, so that an old process may leave while its successor runs. Each process has
//! a number of its own, its run, so that what is heard late of an earlier one does no
//! harm. A process that cannot even be started counts as one that ended at once, unless maitred or
//! the system is at a limit: that counts for nothing, and it is tried again. How long a restart
//! is put off follows from what an instance owes ([`debt`]).

mod debt;
#[cfg(test)]
mod drains;
#[cfg(test)]
mod due;
mod exited;
mod leaving;
#[cfg(test)]
mod simulation;
mod survival;
mod terms;
#[cfg(test)]
mod tests;
mod transitions;
#[cfg(test)]
mod trial;
mod view;

use std::time::Duration;

use debt::Debt;
use leaving::Leaving;
use telemetry::events::Next;
use terms::Step;
pub(crate) use terms::{Cause, Effect, Event, Outcome, Rest, Rules, Run, RunId, SETTLED, State};

/// What the last command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Nothing,
    Up,
    Stopped,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
    leaving: Vec<Leaving>,
    awaited: Awaited,
    last: RunId,
    /// Processes that followed one that ran, as pm2 counts them: a start after a stop is none.
    restarts: u32,
    /// The next process is one of them.
    follows: bool,
    /// A further run begins when the present one has ended.
    due: bool,
    debt: Debt,
}

impl Lifecycle {
    /// An instance that rests, with the counts of its earlier life.
    pub(crate) fn new(rest: Rest, restarts: u32, unstable: u32) -> Self {
        Self {
            state: State::Resting(rest),
            leaving: Vec::new(),
            awaited: Awaited::Nothing,
            last: RunId::NONE,
            restarts,
            follows: false,
            due: false,
            debt: Debt::of(unstable),
        }
    }

    /// Forgets what has been counted.
    pub(crate) fn reset(&mut self) {
        self.restarts = 0;
        self.debt = Debt::default();
    }

    /// Hears of an event; what is to be done.
    pub(crate) fn step(&mut self, event: Event, rules: &Rules, now: Duration) -> Vec<Effect> {
        let mut step = Step {
            rules,
            now,
            effects: Vec::new(),
        };
        if matches!(
            event,
            Event::Start
                | Event::Stop
                | Event::Remove
                | Event::Restart
                | Event::Renew
                | Event::Reload
                | Event::TryOut
        ) {
            self.settle(Outcome::Superseded, &mut step);
            self.due = false;
            self.awaited = match event {
                Event::Stop | Event::Remove => Awaited::Stopped,
                _ => Awaited::Up,
            };
        }
        if !self.hear_of_leaving(event, &mut step) {
            self.state = self.transition(event, &mut step);
        }
        self.go_on(&mut step);
        step.effects
    }

    fn spawn(&mut self, step: &mut Step<'_>) -> Run {
        self.last = self.last.next();
        step.effects.push(Effect::Spawn(self.last));
        Run {
            id: self.last,
            since: step.now,
            up: false,
            up_at: None,
            listens: false,
            listens_since: None,
        }
    }

    /// What follows from where it stands, whatever brought it there.
    fn go_on(&mut self, step: &mut Step<'_>) {
        match self.state {
            State::Waiting { until } if until <= step.now && !self.is_kept_waiting(step.rules) => {
                let run = self.spawn(step);
                self.restarts += u32::from(std::mem::take(&mut self.follows));
                self.state = State::Running(run);
            }
            State::Resting(_) if self.awaited == Awaited::Stopped && self.leaving.is_empty() => {
                self.settle(Outcome::Stopped, step);
            }
            State::Resting(_)
            | State::Waiting { .. }
            | State::Running(_)
            | State::Replacing { .. } => {}
        }
    }

    fn settle(&mut self, outcome: Outcome, step: &mut Step<'_>) {
        if std::mem::replace(&mut self.awaited, Awaited::Nothing) != Awaited::Nothing {
            step.effects.push(Effect::Settled(outcome));
        }
    }
}
