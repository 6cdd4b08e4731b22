//! How what goes on within HTTP/2 calls for its client.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use crate::slab::Key;

/// All wakers, and the clients that they have called for and that have not been driven on yet.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Arc<Mutex<Vec<Key>>>);

impl Wakers {
    /// A waker that calls for this client.
    pub(crate) fn waker(&self, key: Key) -> Waker {
        let called = Arc::clone(&self.0);
        Waker::from(Arc::new(ClientWaker { key, called }))
    }

    /// Takes the clients that have been called for.
    pub(crate) fn take(&self) -> Vec<Key> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether no client has been called for.
    pub(crate) fn is_quiet(&self) -> bool {
        let called = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        called.is_empty()
    }
}

struct ClientWaker {
    key: Key,
    called: Arc<Mutex<Vec<Key>>>,
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        // Each calls once before its client looks again: what listens takes its waker off.
        called.push(self.key);
    }
}
