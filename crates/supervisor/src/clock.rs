//! The time since the app was started, and what is due again and again: a heartbeat for the service manager's
//! watchdog, from the supervisor's loop, and what was counted, for whoever runs the app in the foreground.

use std::time::{Duration, Instant};

/// What to call, and when.
#[derive(Debug)]
struct Heartbeat {
    every: Duration,
    at: Duration,
    beat: fn(),
}

/// The supervisor's clock.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    heartbeat: Option<Heartbeat>,
    /// How often to show what was counted, and when next.
    stats: Option<(Duration, Duration)>,
}

impl Clock {
    /// One that counts from this moment on.
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            heartbeat: None,
            stats: None,
        }
    }

    /// The time since the app was started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until so long after the start; forever, if there is no such time.
    pub(super) async fn sleep_until(&self, wake: Option<Duration>) {
        match wake {
            Some(wake) => tokio::time::sleep_until((self.started + wake).into()).await,
            None => std::future::pending().await,
        }
    }

    /// Has `beat` called at this interval.
    pub(super) fn set_heartbeat(&mut self, every: Option<Duration>, beat: fn()) {
        self.heartbeat = every.map(|every| Heartbeat {
            every,
            at: Duration::ZERO,
            beat,
        });
    }

    /// Calls it if it is due.
    pub(super) fn send_heartbeat(&mut self, now: Duration) {
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|it| it.at <= now) {
            heartbeat.at = now + heartbeat.every;
            (heartbeat.beat)();
        }
    }

    /// Has what was counted shown at this interval.
    pub(super) fn set_stats(&mut self, every: Option<Duration>) {
        self.stats = every.map(|every| (every, every));
    }

    /// Whether what was counted is shown at all.
    pub(super) fn shows_stats(&self) -> bool {
        self.stats.is_some()
    }

    /// Whether it is time to show it. Then the next time is set.
    pub(super) fn stats_are_due(&mut self) -> bool {
        let now = self.now();
        let due = self.stats.as_mut().filter(|(_, at)| *at <= now);
        due.map(|(every, at)| *at = now + *every).is_some()
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Duration> {
        let heartbeat = self.heartbeat.as_ref().map(|it| it.at);
        let stats = self.stats.map(|(_, at)| at);
        heartbeat.into_iter().chain(stats).min()
    }
}
