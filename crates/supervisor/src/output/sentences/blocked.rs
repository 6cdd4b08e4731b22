//! Sentences about event loops that stand still.

use super::{Sentences, seconds};
use telemetry::ids::Instance;

/// The end of what has lasted for so long is told, in milliseconds.
const LONG: u64 = 10_000;

/// So many processes are remembered: what is told of again after that is no harm.
const MOST: usize = 1000;

impl Sentences {
    /// A process is blocked. One that does long work again and again is told of once.
    pub(super) fn blocked(&mut self, instance: Instance, pid: i32) -> Option<String> {
        if self.blocked.len() >= MOST {
            self.blocked.clear();
        }
        let name = &self.name;
        self.blocked.insert(pid).then(|| {
            format!(
                "{name}-{instance} (PID {pid}) is blocked: its event loop stands still, so it answers \
                 nobody. `maitred ls` shows for how long"
            )
        })
    }

    /// It goes on, after so many milliseconds.
    pub(super) fn unblocked(&self, instance: Instance, pid: i32, lasted: u64) -> Option<String> {
        let (name, time) = (&self.name, seconds(lasted));
        (lasted >= LONG)
            .then(|| format!("{name}-{instance} (PID {pid}) goes on: it was blocked for {time}"))
    }
}
