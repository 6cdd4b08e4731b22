//! What the dispatcher tells the thread of the registration socket: without waiting, and with few
//! descriptors in between.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rustix::event::{EventfdFlags, eventfd};

use super::super::listeners::ListenerId;

/// How many descriptors of workers may wait to be put away.
const STRAYS: usize = 1024;

/// What the dispatcher tells this thread.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// A process that has asked is gone.
    Ended(i32),
    /// A listener is over.
    Closed(ListenerId),
    /// A worker has sent this, and it is of no use.
    PutAway(OwnedFd),
}

/// What the dispatcher tells this thread by. Without it, the thread ends.
#[derive(Debug)]
pub(in super::super) struct Registration {
    events: Option<mpsc::Sender<Event>>,
    wake: Arc<OwnedFd>,
    /// How many descriptors wait to be put away.
    strays: Arc<AtomicUsize>,
}

impl Registration {
    pub(in super::super) fn tell(&self, event: Event) {
        if matches!(event, Event::PutAway(_))
            && self.strays.fetch_add(1, Ordering::Relaxed) >= STRAYS
        {
            // It is closed here and now.
            self.strays.fetch_sub(1, Ordering::Relaxed);
        } else if let Some(events) = &self.events {
            // A thread that is gone has nothing to forget.
            let _ = events.send(event);
            let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.events = None;
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// What the dispatcher has told this thread.
#[derive(Debug)]
pub(super) struct Inbox {
    events: mpsc::Receiver<Event>,
    wake: Arc<OwnedFd>,
    strays: Arc<AtomicUsize>,
}

/// Both ends.
pub(super) fn line() -> io::Result<(Registration, Inbox)> {
    let (sender, events) = mpsc::channel();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let strays = Arc::new(AtomicUsize::new(0));
    let registration = Registration {
        events: Some(sender),
        wake: wake.clone(),
        strays: strays.clone(),
    };
    let inbox = Inbox {
        events,
        wake,
        strays,
    };
    Ok((registration, inbox))
}

impl Inbox {
    /// Becomes readable when there is a message.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The bell has been heard.
    pub(super) fn heard(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
    }

    /// The next thing that was told.
    pub(super) fn next(&self) -> Result<Event, mpsc::TryRecvError> {
        let event = self.events.try_recv()?;
        if matches!(event, Event::PutAway(_)) {
            self.strays.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(event)
    }
}
