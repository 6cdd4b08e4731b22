//! The life of one instance, as a state machine without I/O and clock.
//!
//! ```text
//!            start              exited, to be restarted
//!   Waiting ───────▶ Running ─────────────────────────────▶ Waiting (until a moment)
//!      │                │ exited                               │
//!      │ stop           ├──────▶ Ended(status)   not to be     │
//!      ▼                │                        restarted     │
//!   Ended               └──────▶ Errored         unstable too ─┘ often
//! ```
//!
//! A process that cannot even be started counts as one that ended at once.

use std::time::Duration;

use crate::config::{Pause, Restart};
use crate::events::Next;

/// A pause that grows by half each time does so up to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
}

impl Status {
    /// The exit code that a shell would report.
    pub(crate) fn exit_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

/// Where an instance stands. Times are since any fixed moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To be started at this time.
    Waiting { until: Duration },
    /// A process runs.
    Running { pid: i32, since: Duration },
    /// It has ended, and that is all.
    Ended(Status),
    /// It crashed too often.
    Errored,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    state: State,
    restart: Restart,
    /// Unstable runs in a row.
    unstable: u32,
}

impl Instance {
    /// An instance that is to be started at once.
    pub(crate) fn new(restart: Restart, now: Duration) -> Self {
        Self {
            state: State::Waiting { until: now },
            restart,
            unstable: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The process, if one runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Waiting { .. } | State::Ended(_) | State::Errored => None,
        }
    }

    /// A process has been started for it.
    pub(crate) fn started(&mut self, pid: i32, now: Duration) {
        self.state = State::Running { pid, since: now };
    }

    /// Its process has ended, or could not be started. What follows, and how long it ran.
    pub(crate) fn exited(&mut self, status: Status, stopping: bool, now: Duration) -> (Next, u64) {
        let uptime = match self.state {
            State::Running { since, .. } => now.saturating_sub(since),
            State::Waiting { .. } | State::Ended(_) | State::Errored => Duration::ZERO,
        };
        let (state, next) = self.after(status, stopping, uptime, now);
        self.state = state;
        (next, u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX))
    }

    /// It shall not be started any more.
    pub(crate) fn stop(&mut self) {
        match self.state {
            State::Waiting { .. } => self.state = State::Ended(Status::Code(0)),
            State::Running { .. } | State::Ended(_) | State::Errored => {}
        }
    }

    fn after(
        &mut self,
        status: Status,
        stopping: bool,
        uptime: Duration,
        now: Duration,
    ) -> (State, Next) {
        if stopping {
            return (State::Ended(status), Next::Stopped);
        }
        let enough =
            matches!(status, Status::Code(code) if self.restart.stop_exit_codes.contains(&code));
        if !self.restart.auto || enough {
            return (State::Ended(status), Next::Ended);
        }
        if uptime >= self.restart.min_uptime {
            self.unstable = 0;
        }
        if self.unstable >= self.restart.max_unstable {
            let attempts = self.unstable;
            return (State::Errored, Next::Errored { attempts });
        }
        let delay = match self.restart.pause {
            Pause::Fixed(pause) => pause,
            Pause::Growing(first) => pause(first, self.unstable),
        };
        self.unstable += 1;
        let next = Next::Restart {
            delay: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            attempt: self.unstable,
            max: self.restart.max_unstable,
        };
        let until = now.saturating_add(delay);
        (State::Waiting { until }, next)
    }
}

/// The pause before the restart that follows so many others.
fn pause(first: Duration, earlier: u32) -> Duration {
    (0..earlier)
        .try_fold(first, |pause, _| {
            let longer = pause + pause / 2;
            (longer < LONGEST_PAUSE).then_some(longer)
        })
        .unwrap_or(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const RESTART: Restart = Restart {
        auto: true,
        autostart: true,
        max_unstable: 3,
        min_uptime: Duration::from_secs(1),
        pause: Pause::Growing(Duration::from_millis(100)),
        stop_exit_codes: BTreeSet::new(),
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn crash(instance: &mut Instance, at: Duration, uptime: Duration) -> Next {
        instance.started(1, at);
        instance.exited(Status::Code(1), false, at + uptime).0
    }

    #[test]
    fn pauses_grow_and_the_last_crash_is_an_error() {
        let mut instance = Instance::new(RESTART, ms(0));
        for (attempt, delay) in [(1, 100), (2, 150), (3, 225)] {
            let next = crash(&mut instance, ms(0), ms(5));
            let max = 3;
            assert_eq!(
                next,
                Next::Restart {
                    delay,
                    attempt,
                    max
                }
            );
            assert_eq!(
                instance.state(),
                State::Waiting {
                    until: ms(5 + delay)
                }
            );
        }
        let next = crash(&mut instance, ms(0), ms(5));
        assert_eq!(next, Next::Errored { attempts: 3 });
        assert_eq!(instance.state(), State::Errored);
    }

    #[test]
    fn a_stable_run_forgives_the_crashes_before_it() {
        let mut instance = Instance::new(RESTART, ms(0));
        for _ in 0..20 {
            crash(&mut instance, ms(0), ms(5));
            let next = crash(&mut instance, ms(0), ms(1000));
            assert!(matches!(next, Next::Restart { attempt: 1, .. }), "{next:?}");
        }
    }

    #[test]
    fn pauses_have_an_end() {
        assert_eq!(pause(ms(100), 1000), LONGEST_PAUSE);
        assert_eq!(pause(ms(0), 3), ms(0));
    }

    #[test]
    fn some_exit_codes_are_the_end() {
        let restart = Restart {
            stop_exit_codes: BTreeSet::from([1]),
            ..RESTART
        };
        let mut instance = Instance::new(restart, ms(0));
        assert_eq!(crash(&mut instance, ms(0), ms(5)), Next::Ended);
        assert_eq!(instance.state(), State::Ended(Status::Code(1)));
    }

    #[test]
    fn while_the_app_stops_nothing_is_started_again() {
        let mut instance = Instance::new(RESTART, ms(0));
        instance.started(1, ms(0));
        let (next, uptime) = instance.exited(Status::Signal(2), true, ms(7));
        assert_eq!((next, uptime), (Next::Stopped, 7));
        let mut waiting = Instance::new(RESTART, ms(0));
        waiting.stop();
        assert_eq!(waiting.state(), State::Ended(Status::Code(0)));
    }

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(Status::Code(3).exit_code(), 3);
        assert_eq!(Status::Signal(9).exit_code(), 137);
        assert_eq!(Status::Code(-1).exit_code(), 255);
    }
}
