//! How what goes on within HTTP/2 calls for its client.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use crate::slab::Key;

/// All bells, and who has been called for and not been driven on yet.
#[derive(Debug, Default)]
pub(crate) struct Bells(Arc<Mutex<Vec<Key>>>);

impl Bells {
    /// A bell that calls for this client.
    pub(crate) fn bell(&self, key: Key) -> Waker {
        let rung = Arc::clone(&self.0);
        Waker::from(Arc::new(Bell { key, rung }))
    }

    /// Takes those who have been called for.
    pub(crate) fn rung(&self) -> Vec<Key> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody has been called for.
    pub(crate) fn is_quiet(&self) -> bool {
        let rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rung.is_empty()
    }
}

struct Bell {
    key: Key,
    rung: Arc<Mutex<Vec<Key>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        // Each is rung once before its client looks again: what listens takes its bell off.
        rung.push(self.key);
    }
}
