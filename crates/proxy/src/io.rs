//! What every step works with: the epoll, the time of this turn, and buffers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use balance::Nanos;

/// What is read at once, and so what may wait to be written to a slow reader.
pub(crate) const READ: usize = 64 * 1024;

/// The epoll, the time and the buffers, of which all connections use the same.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) epoll: Arc<OwnedFd>,
    /// What epoll events of the proxy have above the lowest 56 bits of their data.
    pub(crate) kind: u64,
    /// In nanoseconds since any fixed moment.
    pub(crate) now: Nanos,
    /// Takes what a read brings; always of the same length.
    pub(crate) read_buffer: Vec<u8>,
    /// Holds what is written next; empty between steps.
    pub(crate) write_buffer: Vec<u8>,
}

impl Io {
    pub(crate) fn new(epoll: Arc<OwnedFd>, kind: u64) -> Self {
        Self {
            epoll,
            kind,
            now: 0,
            read_buffer: vec![0; READ],
            write_buffer: Vec::with_capacity(READ),
        }
    }
}
