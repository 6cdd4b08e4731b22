//! Telling the supervisor, without waiting for it.

use balance::Nanos;

use super::clock::Clock;
use super::notice::Notice;
use telemetry::events::Event;

/// Clients that have to wait are mentioned once in this time.
const REMINDER: Nanos = 10_000_000_000;

/// The way to the supervisor. What does not fit into it is dropped.
#[derive(Debug)]
pub(super) struct Notices {
    sender: tokio::sync::mpsc::Sender<Notice>,
    clock: Clock,
    reminded: Option<Nanos>,
}

impl Notices {
    pub(super) fn new(sender: tokio::sync::mpsc::Sender<Notice>, clock: Clock) -> Self {
        Self {
            sender,
            clock,
            reminded: None,
        }
    }

    /// Tells the supervisor; it may be too busy to hear.
    pub(super) fn tell(&self, notice: impl Into<Notice>) {
        self.is_heard(notice);
    }

    /// Whether what is told just now is heard, as far as can be seen: what is not need not be put into words.
    pub(super) fn has_room(&self) -> bool {
        self.sender.capacity() > 0
    }

    /// The same; whether it hears.
    pub(super) fn is_heard(&self, notice: impl Into<Notice>) -> bool {
        self.sender.try_send(notice.into()).is_ok()
    }

    /// Tells that clients have to wait, and why; not each time.
    pub(super) fn remind(&mut self, event: Event) {
        let now = self.clock.now();
        if self.reminded.is_none_or(|last| now - last > REMINDER) {
            self.reminded = Some(now);
            self.tell(event);
        }
    }

    /// Tells that few descriptors are left, or what else keeps connections from being accepted.
    pub(super) fn remind_of_descriptors(&mut self, reason: Option<String>) {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.remind(Event::OutOfDescriptors {
            limit: limit.unwrap_or(0),
            reason,
        });
    }
}
