//! The pulse of a server: somebody visits it all the time, and notes the longest wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Place, visit};
use crate::victims::PATIENCE;

/// Between two visits, so that the visitor itself is no load.
const PACE: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Beats {
    count: AtomicU64,
    longest_us: AtomicU64,
    is_over: AtomicBool,
}

/// A visitor in a thread of its own. A visit that fails ends the test.
pub(crate) struct Pulse {
    beats: Arc<Beats>,
    visitor: Option<JoinHandle<()>>,
}

impl Pulse {
    pub(crate) fn of(place: Place) -> Pulse {
        let beats = Arc::new(Beats::default());
        let noted = beats.clone();
        let visitor = thread::spawn(move || {
            while !noted.is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if let Err(error) = visit(&place) {
                    panic!("a visit to {place:?}: {error}");
                }
                let waited = begun.elapsed().as_micros() as u64;
                noted.longest_us.fetch_max(waited, Ordering::Relaxed);
                noted.count.fetch_add(1, Ordering::Relaxed);
                thread::park_timeout(PACE);
            }
        });
        Pulse {
            beats,
            visitor: Some(visitor),
        }
    }

    /// The longest wait since the last question, after at least so many visits more.
    pub(crate) fn longest_after(&self, visits: u64) -> Duration {
        let enough = self.beats.count.load(Ordering::Relaxed) + visits;
        let deadline = Instant::now() + PATIENCE;
        while self.beats.count.load(Ordering::Relaxed) < enough {
            let visitor = self.visitor.as_ref().unwrap();
            assert!(!visitor.is_finished(), "a visit has failed");
            assert!(Instant::now() < deadline, "a visit is not answered");
            thread::yield_now();
        }
        Duration::from_micros(self.beats.longest_us.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beats.is_over.store(true, Ordering::Relaxed);
        if let Some(visitor) = self.visitor.take() {
            visitor.thread().unpark();
            let ended = visitor.join();
            assert!(ended.is_ok() || thread::panicking(), "a visit has failed");
        }
    }
}
