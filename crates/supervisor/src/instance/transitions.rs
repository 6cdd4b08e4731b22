//! Where each event leads from each state.

use std::time::Duration;

use telemetry::events::{Exit, Next};

use super::Lifecycle;
use super::debt::Debt;
use super::terms::{Cause, Event, Outcome, Rest, Run, RunId, State, Step};

impl Lifecycle {
    pub(super) fn transition(&mut self, event: Event, step: &mut Step<'_>) -> State {
        match event {
            Event::Start => self.start(step),
            Event::Stop | Event::Remove => self.stop(Cause::of(event), step),
            Event::Restart | Event::Renew => self.restart(step),
            Event::Reload => self.reload(None, step),
            Event::TryOut => self.reload(Some(step.rules.trial()), step),
            Event::Exited { run, status } => self.has_exited(run, status, step),
            Event::NoRoom { run, status } => self.has_no_room(run, status, step),
            Event::Up { run, listening } => self.has_come_up(run, listening, step),
            Event::Listens { run, listening } => self.listens(run, listening, step),
            Event::Unwell { run } => self.is_unwell(run, step),
            Event::Unfit { run } => self.is_unfit(run, step),
            Event::Time => self.look_at_time(step),
            Event::Hurry { by } => self.hurry(by),
            Event::Due => self.is_due(),
            // Of processes that leave alone.
            Event::Drained { .. } | Event::Cut => self.state,
        }
    }

    fn start(&mut self, step: &mut Step<'_>) -> State {
        match self.state {
            State::Resting(_) | State::Waiting { .. } => return self.begin(step.now),
            State::Running(run) if !run.up => {}
            State::Running(Run { listens, .. })
            | State::Replacing {
                old: Run { listens, .. },
                ..
            } => self.settle(Outcome::Up { listens }, step),
        }
        self.state
    }

    fn stop(&mut self, cause: Cause, step: &mut Step<'_>) -> State {
        match self.state {
            // Whatever it rests for: what is stopped is started by a command alone.
            State::Resting(_) | State::Waiting { .. } => self.follows = false,
            State::Running(run) => self.leave(run, cause, step),
            State::Replacing { old, new, .. } => {
                self.leave(old, cause, step);
                self.leave(new, cause, step);
            }
        }
        State::Resting(Rest::Stopped)
    }

    fn restart(&mut self, step: &mut Step<'_>) -> State {
        match self.state {
            State::Resting(_) | State::Waiting { .. } => {}
            State::Running(run) => {
                self.leave(run, Cause::Restarted, step);
                self.follows = true;
            }
            State::Replacing { old, new, .. } => {
                self.leave(old, Cause::Restarted, step);
                self.leave(new, Cause::Restarted, step);
                self.follows = true;
            }
        }
        self.begin(step.now)
    }

    fn reload(&mut self, trial: Option<Duration>, step: &mut Step<'_>) -> State {
        match self.state {
            State::Running(old) if step.rules.overlap => self.replace(old, trial, step),
            State::Replacing { old, new, .. } => {
                self.leave(new, Cause::Replaced, step);
                self.replace(old, trial, step)
            }
            State::Resting(_) | State::Waiting { .. } | State::Running(_) => self.restart(step),
        }
    }

    fn has_exited(&mut self, ended: RunId, status: Exit, step: &mut Step<'_>) -> State {
        match self.state {
            State::Running(run) if run.id == ended => {
                self.settle(Outcome::Exited(status), step);
                self.ended(run, status, step)
            }
            State::Replacing { old, new, .. } if old.id == ended => {
                // The successor has to do as it is.
                step.tell(old, status, Next::Replaced);
                self.restarts += 1;
                State::Running(new)
            }
            State::Replacing { old, new, .. } if new.id == ended => {
                step.tell(new, status, Next::Kept);
                self.settle(new.failed(status, step.now), step);
                State::Running(old)
            }
            _ => self.state,
        }
    }

    fn has_no_room(&mut self, tried: RunId, status: Exit, step: &mut Step<'_>) -> State {
        match self.state {
            State::Running(run) if run.id == tried => {
                self.settle(Outcome::Exited(status), step);
                Self::try_again(run, status, step)
            }
            State::Replacing { old, new, .. } if new.id == tried => {
                step.tell(new, status, Next::Kept);
                self.settle(Outcome::Exited(status), step);
                State::Running(old)
            }
            _ => self.state,
        }
    }

    fn has_come_up(&mut self, up: RunId, listening: bool, step: &mut Step<'_>) -> State {
        let now = step.now;
        match self.state {
            State::Running(run) if run.id == up => {
                let run = run.is_up(listening, now);
                let listens = run.listens;
                self.settle(Outcome::Up { listens }, step);
                State::Running(run)
            }
            State::Replacing {
                old, new, trial, ..
            } if new.id == up => {
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
            State::Replacing {
                old,
                new,
                deadline,
                trial,
            } if old.id == up => State::Replacing {
                old: old.is_up(listening, now),
                new,
                deadline,
                trial,
            },
            _ => self.state,
        }
    }

    fn listens(&mut self, of: RunId, listening: bool, step: &mut Step<'_>) -> State {
        let now = step.now;
        match self.state {
            State::Running(run) if run.id == of => State::Running(run.listening(listening, now)),
            State::Replacing {
                old,
                new,
                deadline,
                trial,
            } if old.id == of => State::Replacing {
                old: old.listening(listening, now),
                new,
                deadline,
                trial,
            },
            State::Replacing {
                old, new, trial, ..
            } if new.id == of && new.up && !listening => {
                let new = new.listening(false, now);
                Self::is_up_no_more(old, new, trial, step)
            }
            _ => self.state,
        }
    }

    fn is_unwell(&mut self, unwell: RunId, step: &mut Step<'_>) -> State {
        match self.state {
            State::Replacing {
                old, new, trial, ..
            } if new.id == unwell && new.up => Self::is_up_no_more(old, new, trial, step),
            // Its replacement is another matter.
            _ => self.state,
        }
    }

    /// On trial, a successor listens no more, or is unwell: it is up when that is over.
    fn is_up_no_more(old: Run, new: Run, trial: Option<Duration>, step: &Step<'_>) -> State {
        State::Replacing {
            old,
            new: Run { up: false, ..new },
            deadline: step.now + step.rules.listen_timeout,
            trial,
        }
    }

    fn is_unfit(&mut self, unfit: RunId, step: &mut Step<'_>) -> State {
        match self.state {
            State::Running(run) if run.id == unfit => {
                self.settle(Outcome::Unfit, step);
                self.leave(run, Cause::Stopped, step);
                State::Resting(Rest::Errored)
            }
            State::Replacing { old, new, .. } if new.id == unfit => {
                self.settle(Outcome::Unfit, step);
                self.leave(new, Cause::Replaced, step);
                State::Running(old)
            }
            // What serves beside its successor was good enough until now.
            _ => self.state,
        }
    }

    fn look_at_time(&mut self, step: &mut Step<'_>) -> State {
        match self.state {
            State::Resting(_) | State::Waiting { .. } => self.state,
            State::Running(run) => self.check(run, step),
            State::Replacing {
                old, new, deadline, ..
            } => {
                let settles = !old.listens && !new.up && !step.rules.wait_ready;
                if settles && new.since + step.rules.settled() <= step.now {
                    self.replaced(old, new.is_up(false, step.now), step)
                } else if new.up && deadline <= step.now {
                    self.replaced(old, new, step)
                } else if deadline <= step.now {
                    self.settle(Outcome::NotUp, step);
                    self.leave(new, Cause::Replaced, step);
                    State::Running(old)
                } else {
                    self.state
                }
            }
        }
    }

    /// Brings a restart that is put off forward.
    fn hurry(&mut self, by: Duration) -> State {
        let State::Waiting { until } = self.state else {
            return self.state;
        };
        self.debt.bring_forward(until);
        State::Waiting {
            until: until.min(by),
        }
    }

    /// A further run follows the present one.
    fn is_due(&mut self) -> State {
        self.due = self.current().is_some();
        self.state
    }

    /// To be started as soon as may be, with a clean slate.
    pub(super) fn begin(&mut self, now: Duration) -> State {
        self.debt = Debt::default();
        // What has crashed and waits for its restart is started instead.
        self.follows &= self.is_leaving();
        State::Waiting { until: now }
    }

    /// Starts a successor beside a process.
    fn replace(&mut self, old: Run, trial: Option<Duration>, step: &mut Step<'_>) -> State {
        let new = self.spawn(step);
        State::Replacing {
            old,
            new,
            deadline: step.now + step.rules.listen_timeout,
            trial,
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
}
