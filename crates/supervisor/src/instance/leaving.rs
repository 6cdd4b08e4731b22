//! How a process ends: one way for all that calls for it.
//!
//! ```text
//!  to end ───▶ Draining ──drained, drain_timeout, or cut short──▶ Asked ──kill_timeout──▶ Killed
//! ```
//!
//! While it drains it gets nothing new, and does what it has begun. What is not in progress goes to
//! others, or is closed where nobody follows. A process whose connections cannot be seen is asked at
//! once.

use std::time::Duration;

use super::terms::{Cause, Effect, Event, Rules, Run, Step};
use super::{Lifecycle, Next};

/// A drain that takes longer than this is reported.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// A process on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) run: Run,
    cause: Cause,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It does what it has begun.
    Draining {
        until: Duration,
        tell_at: Option<Duration>,
    },
    Asked {
        kill_at: Duration,
    },
    Killed,
}

impl Cause {
    /// What a command that ends a process is the cause of.
    pub(super) fn of(event: Event) -> Self {
        match event {
            Event::Remove => Self::Removed,
            Event::Restart | Event::Renew => Self::Restarted,
            _ => Self::Stopped,
        }
    }
}

impl Leaving {
    /// A process that drains from now on.
    pub(super) fn begin(run: Run, cause: Cause, rules: &Rules, now: Duration) -> Self {
        let until = now + rules.drain_time();
        let tell_at = Some(now + TOLD_AFTER);
        let phase = Phase::Draining { until, tell_at };
        Self { run, cause, phase }
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// When it wants to hear of the time.
    pub(super) fn next_time(&self) -> Option<Duration> {
        match self.phase {
            Phase::Draining { until, tell_at } => Some(tell_at.map_or(until, |at| at.min(until))),
            Phase::Asked { kill_at } => Some(kill_at),
            Phase::Killed => None,
        }
    }

    /// What it has begun is done, or not waited for any more.
    fn ask(&mut self, step: &mut Step<'_>) {
        if self.is_draining() {
            step.effects.push(Effect::Ask(self.run.id));
            let kill_at = step.now + step.rules.kill_timeout;
            self.phase = Phase::Asked { kill_at };
        }
    }

    /// A command has come that ends processes, too.
    fn hear(&mut self, cause: Cause, again: bool, step: &mut Step<'_>) {
        if !self.is_draining() {
            return;
        }
        if self.cause == cause {
            if again {
                self.ask(step);
            }
        } else if self.cause.waits_for_opaque() || cause == Cause::Stopped {
            // What was waited for with patience is in the way of somebody now.
            self.cause = cause;
            let drain = Effect::Drain(self.run.id, cause);
            step.effects.push(drain);
        }
    }

    fn check(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        match &mut self.phase {
            Phase::Draining { until, .. } if *until <= now => self.ask(step),
            Phase::Draining { until, tell_at } => {
                if tell_at.take_if(|at| *at <= now).is_some() {
                    let left = until.saturating_sub(now).as_millis();
                    let left = u64::try_from(left).unwrap_or(u64::MAX);
                    let waits = Effect::Waits(self.run.id, self.cause, left);
                    step.effects.push(waits);
                }
            }
            Phase::Asked { kill_at } if *kill_at <= now => {
                step.effects.push(Effect::Kill(self.run.id));
                self.phase = Phase::Killed;
            }
            Phase::Asked { .. } | Phase::Killed => {}
        }
    }
}

impl Lifecycle {
    /// A process is to end.
    pub(super) fn leave(&mut self, run: Run, cause: Cause, step: &mut Step<'_>) {
        step.effects.push(Effect::Drain(run.id, cause));
        let mut leaving = Leaving::begin(run, cause, step.rules, step.now);
        leaving.check(step);
        self.leaving.push(leaving);
    }

    /// Whether a process that leaves has to be gone before another one starts.
    pub(super) fn is_kept_waiting(&self, rules: &Rules) -> bool {
        let beside = |leaving: &Leaving| rules.overlap && leaving.cause == Cause::Replaced;
        !self.leaving.iter().all(beside)
    }

    /// Does with those that leave what an event brings; whether it was about one of them alone.
    pub(super) fn hear_of_leaving(&mut self, event: Event, step: &mut Step<'_>) -> bool {
        match event {
            Event::Exited { run, status } => {
                let mut all = self.leaving.iter();
                let Some(at) = all.position(|leaving| leaving.run.id == run) else {
                    return false;
                };
                let left = self.leaving.swap_remove(at);
                step.tell(left.run, status, Next::Stopped);
                true
            }
            Event::Drained { run } => {
                let mut all = self.leaving.iter_mut();
                if let Some(leaving) = all.find(|leaving| leaving.run.id == run) {
                    leaving.ask(step);
                }
                true
            }
            Event::Up { run, .. }
            | Event::Listens { run, .. }
            | Event::Unwell { run }
            | Event::Unfit { run } => self.leaving.iter().any(|leaving| leaving.run.id == run),
            Event::Time => {
                for leaving in &mut self.leaving {
                    leaving.check(step);
                }
                false
            }
            Event::Stop | Event::Remove | Event::Restart | Event::Renew => {
                for leaving in &mut self.leaving {
                    let again = event != Event::Renew;
                    leaving.hear(Cause::of(event), again, step);
                }
                false
            }
            Event::Cut => {
                for leaving in &mut self.leaving {
                    leaving.ask(step);
                }
                true
            }
            Event::Start
            | Event::Reload
            | Event::TryOut
            | Event::NoRoom { .. }
            | Event::Due
            | Event::Hurry { .. } => false,
        }
    }
}
