//! What the dispatcher tells the registration thread: without waiting, and with few descriptors in
//! between.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rustix::event::{EventfdFlags, eventfd};

use super::address::ListenAddress;
use super::ids::ListenerId;
use super::registration::KeptPath;

/// How many descriptors of workers may wait to be put away.
const STRAYS: usize = 1024;

/// What the dispatcher tells the registration thread.
#[derive(Debug)]
pub(super) enum RegistrationEvent {
    /// A process that has asked is gone.
    Ended(i32),
    /// A listener is over.
    Closed(ListenerId),
    /// An earlier supervisor listened at this name of a Unix socket, and was killed.
    Left(ListenAddress),
    /// The path of a listener that was taken over.
    Path(ListenerId, Box<KeptPath>),
    /// Another process goes on: nothing is answered any more, and all paths stay.
    HandedOver,
    /// A worker has sent this, and it is of no use.
    PutAway(OwnedFd),
}

/// The dispatcher's end. Without it, the registration thread ends.
#[derive(Debug)]
pub(super) struct RegistrationEvents {
    events: Option<mpsc::Sender<RegistrationEvent>>,
    wake: Arc<OwnedFd>,
    /// How many descriptors wait to be put away.
    strays: Arc<AtomicUsize>,
}

impl RegistrationEvents {
    pub(super) fn tell(&self, event: RegistrationEvent) {
        if matches!(event, RegistrationEvent::PutAway(_))
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

    /// Closes a descriptor that a worker has had or sent, on a thread that may wait.
    pub(super) fn put_away(&self, descriptor: OwnedFd) {
        self.tell(RegistrationEvent::PutAway(descriptor));
    }
}

impl Drop for RegistrationEvents {
    fn drop(&mut self) {
        self.events = None;
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// The registration thread's end.
#[derive(Debug)]
pub(super) struct Inbox {
    events: mpsc::Receiver<RegistrationEvent>,
    wake: Arc<OwnedFd>,
    strays: Arc<AtomicUsize>,
}

/// Both ends.
pub(super) fn line() -> io::Result<(RegistrationEvents, Inbox)> {
    let (sender, events) = mpsc::channel();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let strays = Arc::new(AtomicUsize::new(0));
    let registration = RegistrationEvents {
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
    pub(super) fn next(&self) -> Result<RegistrationEvent, mpsc::TryRecvError> {
        let event = self.events.try_recv()?;
        if matches!(event, RegistrationEvent::PutAway(_)) {
            self.strays.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(event)
    }
}
