//! A member's requests: how many it has, and whether it may be sent more.

use crate::{MILLISECOND, MemberId, Nanos};

/// So many requests ended within a millisecond make a stream.
const STREAM: u32 = 4;

/// A member whose way was full, or that left something lying, is tried again after this.
const PAUSE: Nanos = MILLISECOND;

/// A member that can take nothing is tried again after this.
const FULL: Nanos = 100 * MILLISECOND;

/// What was counted of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFigures {
    /// Requests in progress.
    pub in_progress: usize,
    /// Requests that were given to it.
    pub given: u64,
    /// Requests that ended, however.
    pub ended: u64,
}

/// A worker, as far as requests go.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) key: u64,
    pub(super) figures: RequestFigures,
    /// How many requests ended in the millisecond that began then.
    streak: (Nanos, u32),
    /// The smaller, the longer ago it had its turn.
    pub(super) turn: u64,
    pub(super) probed: bool,
    pub(super) watched: bool,
    /// Gets nothing before this.
    paused_until: Nanos,
}

impl Member {
    pub(super) fn new(id: MemberId, key: u64) -> Self {
        Self {
            id,
            key,
            figures: RequestFigures::default(),
            streak: (0, 0),
            turn: 0,
            probed: false,
            watched: false,
            paused_until: 0,
        }
    }

    /// It has been given a request.
    pub(super) fn given(&mut self, turn: u64) {
        self.turn = turn;
        self.figures.in_progress += 1;
        self.figures.given += 1;
    }

    /// What it was given has not got there: it gets nothing for a moment.
    pub(super) fn gave_back(&mut self, now: Nanos) {
        self.figures.in_progress = self.figures.in_progress.saturating_sub(1);
        self.figures.given = self.figures.given.saturating_sub(1);
        self.paused_until = now + PAUSE;
    }

    /// It can take nothing, and gets nothing for a while.
    pub(super) fn is_full(&mut self, now: Nanos) {
        self.paused_until = now + FULL;
    }

    /// One of its requests is over.
    pub(super) fn ended(&mut self, now: Nanos) {
        self.figures.in_progress = self.figures.in_progress.saturating_sub(1);
        self.figures.ended += 1;
        if now.saturating_sub(self.streak.0) > MILLISECOND {
            self.streak = (now, 0);
        }
        self.streak.1 += 1;
    }

    pub(super) fn streams(&self, now: Nanos) -> bool {
        self.streak.1 >= STREAM && now.saturating_sub(self.streak.0) <= 2 * MILLISECOND
    }

    pub(super) fn has_room(&self, now: Nanos, most: usize) -> bool {
        self.figures.in_progress < most && now >= self.paused_until
    }
}
