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
//! a number of its own, the generation, so that what is heard late of an earlier one does no
//! harm. A process that cannot even be started counts as one that ended at once, unless maitred or
//! the system is at a limit: that counts for nothing, and it is tried again. How long a restart
//! is put off follows from what an instance owes ([`debt`]).

mod debt;
#[cfg(test)]
mod drains;
mod exited;
mod leaving;
#[cfg(test)]
mod simulation;
mod terms;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
mod view;

use std::time::Duration;

use debt::Debt;
use leaving::Leaving;
use telemetry::events::Next;
use terms::Step;
pub(crate) use terms::{
    Cause, Effect, Event, Generation, Outcome, Rest, Rules, Run, SETTLED, State,
};

/// What the last command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Nothing,
    Up,
    Stopped,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    state: State,
    leaving: Vec<Leaving>,
    awaited: Awaited,
    last: Generation,
    /// Processes that followed one that ran, as pm2 counts them: a start after a stop is none.
    restarts: u32,
    /// The next process is one of them.
    follows: bool,
    debt: Debt,
}

impl Instance {
    /// An instance that rests, with the counts of its earlier life.
    pub(crate) fn new(rest: Rest, restarts: u32, unstable: u32) -> Self {
        Self {
            state: State::Resting(rest),
            leaving: Vec::new(),
            awaited: Awaited::Nothing,
            last: 0,
            restarts,
            follows: false,
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

    fn transition(&mut self, event: Event, step: &mut Step<'_>) -> State {
        let now = step.now;
        match (self.state, event) {
            (
                State::Resting(_) | State::Waiting { .. },
                Event::Start | Event::Restart | Event::Renew | Event::Reload | Event::TryOut,
            ) => self.begin(now),
            (State::Running(run), Event::Start) => {
                if run.up {
                    let listens = run.listens;
                    self.settle(Outcome::Up { listens }, step);
                }
                self.state
            }
            (State::Replacing { old, .. }, Event::Start) => {
                let listens = old.listens;
                self.settle(Outcome::Up { listens }, step);
                self.state
            }

            // Whatever it rests for: what is stopped is started by a command alone.
            (State::Resting(_) | State::Waiting { .. }, Event::Stop | Event::Remove) => {
                self.follows = false;
                State::Resting(Rest::Stopped)
            }
            (State::Running(run), Event::Stop | Event::Remove) => {
                self.leave(run, Cause::of(event), step);
                State::Resting(Rest::Stopped)
            }
            (State::Replacing { old, new, .. }, Event::Stop | Event::Remove) => {
                self.leave(old, Cause::of(event), step);
                self.leave(new, Cause::of(event), step);
                State::Resting(Rest::Stopped)
            }

            (State::Running(old), Event::Reload | Event::TryOut) if step.rules.overlap => {
                self.replace(old, event, step)
            }
            (
                State::Running(run),
                Event::Restart | Event::Renew | Event::Reload | Event::TryOut,
            ) => {
                self.leave(run, Cause::Restarted, step);
                self.follows = true;
                self.begin(now)
            }
            (State::Replacing { old, new, .. }, Event::Reload | Event::TryOut) => {
                self.leave(new, Cause::Replaced, step);
                self.replace(old, event, step)
            }
            (State::Replacing { old, new, .. }, Event::Restart | Event::Renew) => {
                self.leave(old, Cause::Restarted, step);
                self.leave(new, Cause::Restarted, step);
                self.follows = true;
                self.begin(now)
            }

            (State::Running(run), Event::Exited { run: ended, status })
                if run.generation == ended =>
            {
                self.settle(Outcome::Exited(status), step);
                self.ended(run, status, step)
            }
            (State::Replacing { old, new, .. }, Event::Exited { run: ended, status })
                if old.generation == ended =>
            {
                // The successor has to do as it is.
                step.tell(old, status, Next::Replaced);
                self.restarts += 1;
                State::Running(new)
            }
            (State::Replacing { old, new, .. }, Event::Exited { run: ended, status })
                if new.generation == ended =>
            {
                step.tell(new, status, Next::Kept);
                self.settle(new.failed(status, now), step);
                State::Running(old)
            }
            (_, Event::Exited { .. }) => self.state,

            (State::Running(run), Event::NoRoom { run: tried, status })
                if run.generation == tried =>
            {
                self.settle(Outcome::Exited(status), step);
                Self::try_again(run, status, step)
            }
            (State::Replacing { old, new, .. }, Event::NoRoom { run: tried, status })
                if new.generation == tried =>
            {
                step.tell(new, status, Next::Kept);
                self.settle(Outcome::Exited(status), step);
                State::Running(old)
            }
            (_, Event::NoRoom { .. }) => self.state,

            (State::Running(run), Event::Up { run: up, listening }) if run.generation == up => {
                let run = run.is_up(listening, now);
                let listens = run.listens;
                self.settle(Outcome::Up { listens }, step);
                State::Running(run)
            }
            (
                State::Replacing {
                    old, new, trial, ..
                },
                Event::Up { run: up, listening },
            ) if new.generation == up => {
                let up = new.is_up(listening, now);
                match trial {
                    None => self.replaced(old, up, step),
                    Some(_) if new.up => self.state,
                    Some(trial) => State::Replacing {
                        old,
                        new: up,
                        deadline: now + trial,
                        trial: Some(trial),
                    },
                }
            }
            (
                State::Replacing {
                    old,
                    new,
                    deadline,
                    trial,
                },
                Event::Up { run: up, listening },
            ) if old.generation == up => State::Replacing {
                old: old.is_up(listening, now),
                new,
                deadline,
                trial,
            },
            (_, Event::Up { .. }) => self.state,

            (State::Running(run), Event::Listens { run: of, listening })
                if run.generation == of =>
            {
                State::Running(run.listening(listening, now))
            }
            (
                State::Replacing {
                    old,
                    new,
                    deadline,
                    trial,
                },
                Event::Listens { run: of, listening },
            ) if old.generation == of => State::Replacing {
                old: old.listening(listening, now),
                new,
                deadline,
                trial,
            },
            // On trial, it listens no more: it is up when it does again.
            (
                State::Replacing {
                    old, new, trial, ..
                },
                Event::Listens {
                    run: of,
                    listening: false,
                },
            ) if new.generation == of && new.up => State::Replacing {
                old,
                new: Run {
                    up: false,
                    ..new.listening(false, now)
                },
                deadline: now + step.rules.listen_timeout,
                trial,
            },
            (_, Event::Listens { .. }) => self.state,

            (State::Running(run), Event::Unfit { run: unfit }) if run.generation == unfit => {
                self.settle(Outcome::Unfit, step);
                self.leave(run, Cause::Stopped, step);
                State::Resting(Rest::Errored)
            }
            (State::Replacing { old, new, .. }, Event::Unfit { run: unfit })
                if new.generation == unfit =>
            {
                self.settle(Outcome::Unfit, step);
                self.leave(new, Cause::Replaced, step);
                State::Running(old)
            }
            // What serves beside its successor was good enough until now.
            (_, Event::Unfit { .. }) => self.state,

            (State::Running(run), Event::Time) => self.check(run, step),
            (
                State::Replacing {
                    old, new, deadline, ..
                },
                Event::Time,
            ) => {
                let settles = !old.listens && !new.up && !step.rules.wait_ready;
                if settles && new.since + step.rules.settled() <= now {
                    self.replaced(old, new.is_up(false, now), step)
                } else if new.up && deadline <= now {
                    self.replaced(old, new, step)
                } else if deadline <= now {
                    self.settle(Outcome::NotUp, step);
                    self.leave(new, Cause::Replaced, step);
                    State::Running(old)
                } else {
                    self.state
                }
            }
            (State::Waiting { until }, Event::Hurry { by }) => {
                self.debt.bring_forward(until);
                State::Waiting {
                    until: until.min(by),
                }
            }
            (
                State::Resting(_) | State::Running(_) | State::Replacing { .. },
                Event::Hurry { .. },
            ) => self.state,
            (State::Resting(_) | State::Waiting { .. }, Event::Time)
            | (_, Event::Drained { .. } | Event::Cut) => self.state,
        }
    }

    /// To be started as soon as may be, with a clean slate.
    fn begin(&mut self, now: Duration) -> State {
        self.debt = Debt::default();
        // What has crashed and waits for its restart is started instead.
        self.follows &= self.is_leaving();
        State::Waiting { until: now }
    }

    /// Starts a successor beside a process.
    fn replace(&mut self, old: Run, event: Event, step: &mut Step<'_>) -> State {
        let new = self.spawn(step);
        let tries = event == Event::TryOut;
        State::Replacing {
            old,
            new,
            deadline: step.now + step.rules.listen_timeout,
            trial: tries.then(|| step.rules.trial()),
        }
    }

    fn replaced(&mut self, old: Run, new: Run, step: &mut Step<'_>) -> State {
        self.restarts += 1;
        self.debt = Debt::default();
        let listens = new.listens;
        self.settle(Outcome::Up { listens }, step);
        self.leave(old, Cause::Replaced, step);
        State::Running(new)
    }

    /// Looks whether a process that runs has had time enough to be up.
    fn check(&mut self, run: Run, step: &mut Step<'_>) -> State {
        if run.up {
            return self.state;
        }
        if !step.rules.wait_ready {
            if run.since + step.rules.settled() > step.now {
                return self.state;
            }
            let listens = run.listens;
            self.settle(Outcome::Up { listens }, step);
            return State::Running(run.is_up(listens, step.now));
        }
        if run.since + step.rules.listen_timeout <= step.now {
            self.settle(Outcome::NotUp, step);
        }
        self.state
    }

    fn spawn(&mut self, step: &mut Step<'_>) -> Run {
        self.last += 1;
        step.effects.push(Effect::Spawn(self.last));
        Run {
            generation: self.last,
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
