//! Descriptors for those who register, when no others are left: a worker that is not heard would go on
//! without us.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::fcntl_dupfd_cloexec;
use wire::Request;

/// What a question about a port needs: what came along, the caller's handle and a copy for the
/// dispatcher, its folder in `/proc`, a socket of ours, both ends of a channel, and a copy. More would be missing to all others: it is always
/// held.
pub(super) const NEEDED: usize = 8;

/// The connection of the caller itself, where no other descriptor is left for that.
const CALLER: usize = 1;

/// After so much it is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// So many may wait for that.
const MOST: usize = 64;

/// A caller, and what it has said, as far as that has been read.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) caller: OwnedFd,
    pub(super) said: Option<(Request, Option<OwnedFd>)>,
}

/// Descriptors that stand for nothing, and those who wait for some.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    held: Vec<OwnedFd>,
    put_off: VecDeque<Heard>,
    again_at: Option<Instant>,
}

impl Reserve {
    /// Takes as many as there are, up to what is needed; whether that is enough for a question.
    pub(super) fn fill(&mut self, copies_of: impl AsFd) -> bool {
        while self.held.len() < NEEDED + CALLER {
            match fcntl_dupfd_cloexec(&copies_of, 0) {
                Ok(copy) => self.held.push(copy),
                Err(_) => break,
            }
        }
        self.held.len() >= NEEDED
    }

    /// Makes way for a question. Whether there is room for it.
    pub(super) fn release(&mut self, copies_of: impl AsFd) -> bool {
        let enough = self.fill(copies_of);
        self.held.clear();
        enough
    }

    /// Makes way for a caller, if enough is left for its question. Whether there is room.
    pub(super) fn lend(&mut self, copies_of: impl AsFd) -> bool {
        self.fill(copies_of);
        let complete = self.held.len() >= NEEDED + CALLER;
        if complete {
            self.held.clear();
        }
        complete
    }

    /// Lets a caller wait. One too many comes back.
    pub(super) fn put_off(&mut self, heard: Heard) -> Option<Heard> {
        self.pause();
        self.put_off.push_back(heard);
        (self.put_off.len() > MOST)
            .then(|| self.put_off.pop_front())
            .flatten()
    }

    /// It is tried again after a while.
    pub(super) fn pause(&mut self) {
        self.again_at.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// Whether it is being waited.
    pub(super) fn pauses(&self) -> bool {
        self.again_at.is_some()
    }

    /// How long to wait.
    pub(super) fn timeout(&self) -> Option<Duration> {
        Some(self.again_at?.saturating_duration_since(Instant::now()))
    }

    /// Those whose turn it is again, once the time has come.
    pub(super) fn due(&mut self) -> Option<VecDeque<Heard>> {
        self.again_at.take_if(|at| *at <= Instant::now())?;
        Some(std::mem::take(&mut self.put_off))
    }
}
