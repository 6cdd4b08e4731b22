//! A sign of life for whoever restarts a process that hangs: the supervisor's loop gives it.

use std::time::Duration;

use super::Supervisor;

/// When to give the next sign.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    pub(super) at: Duration,
    beat: fn(),
}

impl Supervisor {
    /// Calls a function each time that so much time has passed, as long as the supervisor does its work.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Option<Duration>, beat: fn()) -> Self {
        self.heartbeat = every.map(|every| Heartbeat {
            every,
            at: Duration::ZERO,
            beat,
        });
        self
    }

    /// Gives a sign if one is due.
    pub(super) fn give_sign_of_life(&mut self, now: Duration) {
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|it| it.at <= now) {
            heartbeat.at = now + heartbeat.every;
            (heartbeat.beat)();
        }
    }
}
