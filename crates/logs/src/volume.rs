//! How much workers write.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Stream;

/// Counts the bytes that an app's workers write to each stream. The threads that read them share it.
#[derive(Debug, Default)]
pub struct Volume {
    out: AtomicU64,
    err: AtomicU64,
}

impl Volume {
    /// Adds what was read at once.
    pub fn add(&self, stream: Stream, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.of(stream).fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes were read since the supervisor started.
    pub fn bytes(&self, stream: Stream) -> u64 {
        self.of(stream).load(Ordering::Relaxed)
    }

    fn of(&self, stream: Stream) -> &AtomicU64 {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}
