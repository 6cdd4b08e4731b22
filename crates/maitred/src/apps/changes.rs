//! Waiting until something has happened to an app.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Known;
use home::control::Subscription;
use home::now_ms;

/// The first pause between two looks at an app that nobody tells of; each is twice as long as the last.
const FIRST: Duration = Duration::from_millis(20);

/// The longest. Also an app that is followed is looked at so often: what is stopped while it waits for
/// its next start has no event of its own.
const LONGEST: Duration = Duration::from_secs(5);

/// What happens to an app, as its supervisor tells it.
pub(super) struct Changes<'a> {
    known: &'a Known,
    subscription: Option<Subscription>,
    /// From when on events are wanted, in milliseconds since 1970.
    since: u64,
    pause: Duration,
}

impl<'a> Changes<'a> {
    /// Of what happens from now on, nothing is missed.
    pub(super) fn of(known: &'a Known) -> Self {
        let mut changes = Self {
            known,
            subscription: None,
            since: now_ms(),
            pause: FIRST,
        };
        changes.follow();
        changes
    }

    /// Asks the supervisor, if there is one.
    fn follow(&mut self) {
        let socket = self.known.folder.connect().ok();
        self.subscription = socket.and_then(|it| Subscription::new(it, self.since).ok());
    }

    /// Waits until something may have happened, and for no longer than `most`.
    pub(super) fn wait(&mut self, most: Duration) {
        let Some(subscription) = &mut self.subscription else {
            // It is being started, or started again, or too old to tell.
            std::thread::sleep(self.pause.min(most));
            self.pause = (self.pause * 2).min(LONGEST);
            return self.follow();
        };
        let limit = Timespec::try_from(most.min(LONGEST)).ok();
        let mut fds = [PollFd::new(subscription, PollFlags::IN)];
        // If it cannot be waited for, it is looked at again.
        let ready = poll(&mut fds, limit.as_ref()).unwrap_or(0);
        if ready == 0 {
            return;
        }
        match subscription.read() {
            (_, Ok(())) => self.pause = FIRST,
            // It has ended. What takes its place tells what happens from now on.
            (_, Err(_)) => {
                self.subscription = None;
                self.since = now_ms();
            }
        }
    }
}
