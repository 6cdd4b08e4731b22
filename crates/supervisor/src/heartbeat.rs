//! A heartbeat for the service manager's watchdog, from the supervisor's loop.

use std::time::Duration;

use super::Supervisor;

/// What to call, and when.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    pub(super) at: Duration,
    beat: fn(),
}

impl Supervisor {
    /// Calls `beat` at this interval while the supervisor's loop turns.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Option<Duration>, beat: fn()) -> Self {
        self.heartbeat = every.map(|every| Heartbeat {
            every,
            at: Duration::ZERO,
            beat,
        });
        self
    }

    /// Calls it if it is due.
    pub(super) fn send_heartbeat(&mut self, now: Duration) {
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|it| it.at <= now) {
            heartbeat.at = now + heartbeat.every;
            (heartbeat.beat)();
        }
    }
}
