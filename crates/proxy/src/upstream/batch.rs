//! Heads of requests that go to workers together, at the end of a turn: a worker that is sent
//! several is woken once for them, and interrupts the proxy once. That is a fifth of what a request
//! costs where there are many.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use balance::MemberId;

use super::connection::UpstreamConnection;
use crate::exchange::Exchange;
use crate::slab::{Key, Slab};

/// The batch is sent at the latest with this many heads, so that the first does not wait long for
/// the last.
pub(crate) const TOGETHER: u32 = 64;

/// A buffer that has grown beyond this is not kept for further heads.
const LARGE: usize = 4096;

/// The whole of a request that goes to a worker over a connection that was idle.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) client: Key,
    pub(crate) member: MemberId,
    pub(crate) connection: Key,
    pub(crate) head: Vec<u8>,
}

/// What has become of an entry.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The kernel has taken so much of it.
    Taken(usize),
    /// The worker has left the connection, and nothing has read the request.
    Unread,
    /// Whether it was sent is not known.
    Unknown,
}

/// What is sent at the end of the turn.
#[derive(Debug)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    writer: sys::Batch,
    results: Vec<io::Result<usize>>,
    /// Empty buffers for further requests' heads.
    buffers: Vec<Vec<u8>>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            writer: sys::Batch::new(TOGETHER),
            results: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether enough has come together.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= TOGETHER as usize
    }

    /// An empty buffer for a head.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Sends all entries over their connections; what has become of each. To be given back to
    /// [`Self::reuse`] when it has been seen to.
    pub(crate) fn send(
        &mut self,
        connections: &Slab<UpstreamConnection>,
    ) -> (Vec<Entry>, Vec<io::Result<usize>>) {
        let mut entries = std::mem::take(&mut self.entries);
        // A client that has gone since has taken its connection with it.
        entries.retain(|entry| connections.get(entry.connection).is_some());
        let runs = entries.iter().filter_map(|entry| {
            let connection = connections.get(entry.connection)?;
            Some((connection.link.descriptor()?, entry.head.as_slice()))
        });
        let runs: Vec<(BorrowedFd<'_>, &[u8])> = runs.collect();
        self.writer.write(&runs, &mut self.results);
        (entries, std::mem::take(&mut self.results))
    }

    /// Takes the lists of [`Self::send`] for the next time.
    pub(crate) fn reuse(&mut self, entries: Vec<Entry>, results: Vec<io::Result<usize>>) {
        self.results = results;
        if self.entries.is_empty() {
            self.entries = entries;
        }
    }

    /// A head has been sent: it is kept where it may be sent again, or else its buffer is.
    pub(crate) fn keep_head(
        &mut self,
        exchange: Option<&mut Exchange>,
        mut head: Vec<u8>,
        retries: bool,
    ) {
        match exchange.filter(|exchange| retries && exchange.repeatable) {
            Some(exchange) => exchange.head = head,
            None if self.buffers.len() < TOGETHER as usize && head.capacity() <= LARGE => {
                head.clear();
                self.buffers.push(head);
            }
            None => {}
        }
    }
}

impl Sent {
    pub(crate) fn of(result: io::Result<usize>) -> Self {
        match result {
            Ok(len) => Self::Taken(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Self::Taken(0),
            Err(error) if error.raw_os_error().is_some() => Self::Unread,
            Err(_) => Self::Unknown,
        }
    }
}
