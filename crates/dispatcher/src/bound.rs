//! How long one call may hold up the dispatcher.
//!
//! Workers have had the descriptors that it closes, and send it some: the last one who closes a socket
//! waits as long as the worker has set SO_LINGER to. What can be told from the outside is closed by
//! another thread, and sockets that carry bytes alone refuse descriptors. What is left (a connection
//! whose worker closes it in the moment in which it is handed off; kernels before 6.16) ends by an
//! alarm.

use std::time::Duration;

use balance::Nanos;

/// So long after the begin of a turn the alarm rings at the latest, and then again. Half of it may be
/// gone when a turn begins, so that the alarm is not set in each.
const LATEST: Nanos = 5_000_000;

/// The alarm, and when it rings.
#[derive(Debug)]
pub(super) struct Bound {
    /// None where the user may have no timer: RLIMIT_SIGPENDING.
    alarm: Option<sys::Alarm>,
    rings_at: Nanos,
}

impl Bound {
    /// For the thread that calls this.
    pub(super) fn of_this_thread() -> Self {
        Self {
            alarm: sys::Alarm::of_this_thread().ok(),
            rings_at: 0,
        }
    }

    /// A turn begins.
    pub(super) fn begin(&mut self, now: Nanos) {
        if self.rings_at < now + LATEST / 2
            && let Some(alarm) = &self.alarm
        {
            alarm.set(Duration::from_nanos(LATEST));
            self.rings_at = now + LATEST;
        }
    }

    /// It has rung while nothing happened: it does not again before something does.
    pub(super) fn rest(&mut self) {
        if let Some(alarm) = &self.alarm {
            alarm.stop();
            self.rings_at = 0;
        }
    }
}
