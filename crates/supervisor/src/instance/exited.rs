//! What follows when a process has ended: a restart after a pause, or rest.

use std::time::Duration;

use telemetry::events::{Exit, Next};

use super::Lifecycle;
use super::debt::Lived;
use super::terms::{Rest, Run, State, Step};

/// Where there was no room for a process, it is tried again after this.
const NO_ROOM: Duration = Duration::from_secs(1);

impl Lifecycle {
    /// A process that was to run has ended.
    pub(super) fn ended(&mut self, run: Run, status: Exit, step: &mut Step<'_>) -> State {
        let restart = &step.rules.restart;
        let wanted = matches!(status, Exit::Code(code) if restart.stop_exit_codes.contains(&code));
        if !restart.auto || wanted {
            step.tell(run, status, Next::Ended);
            if std::mem::take(&mut self.due) {
                return self.begin(step.now);
            }
            return State::Resting(Rest::Ended(status));
        }
        let lived = Lived {
            uptime: step.now.saturating_sub(run.since),
            served: run.listens_since.map(|at| step.now.saturating_sub(at)),
        };
        let Some(delay) = self.debt.after(lived, restart, step.now) else {
            let attempts = self.debt.runs();
            self.due = false;
            step.tell(run, status, Next::Errored { attempts });
            return State::Resting(Rest::Errored);
        };
        self.follows = true;
        let next = Next::Restart {
            delay: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            attempt: self.debt.runs(),
            max: restart.max_unstable,
        };
        step.tell(run, status, next);
        State::Waiting {
            until: step.now.saturating_add(delay),
        }
    }

    /// There was no room for a process. That counts for nothing: it may be started soon.
    pub(super) fn try_again(run: Run, status: Exit, step: &mut Step<'_>) -> State {
        if !step.rules.restart.auto {
            step.tell(run, status, Next::Ended);
            return State::Resting(Rest::Ended(status));
        }
        let delay = u64::try_from(NO_ROOM.as_millis()).unwrap_or(u64::MAX);
        step.tell(run, status, Next::Retry { delay });
        State::Waiting {
            until: step.now.saturating_add(NO_ROOM),
        }
    }
}
