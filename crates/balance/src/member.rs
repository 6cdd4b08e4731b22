//! One worker behind a listener, as the balancer knows it.

use std::collections::VecDeque;

use crate::{Channels, MILLISECOND, Nanos};

/// Names a member; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// So long a member is slow after it left something untaken.
pub(crate) const SLOW_FOR: Nanos = 1000 * MILLISECOND;

/// A slow member may not have read what it took this short a time ago: that it is back at its
/// loop then tells nothing.
pub(crate) const FRESH: Nanos = MILLISECOND / 2;

/// Where nothing tells whether a blocked member has come back, it is tried again after this.
const BLOCKED_FOR: Nanos = 10 * MILLISECOND;

/// A channel that took no more is tried again after this.
const FULL_FOR: Nanos = MILLISECOND;

/// How many connections may lie untaken in one channel.
pub(crate) const DEPTH: usize = 32;

/// What was counted of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberFigures {
    /// Connections sent to it, less those that were taken back.
    pub dispatched: u64,
    /// Connections taken back from it.
    pub taken_back: u64,
    /// Connections that lie in its channel, as last seen.
    pub untaken: usize,
}

/// A connection in a member's channel: all but the connection itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its place among all that arrived.
    pub(crate) ticket: u64,
    pub(crate) arrived: Nanos,
    pub(crate) sent: Nanos,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    /// What lies in its channel, oldest first; true as of the last [`Member::sync`].
    pub(crate) sent: VecDeque<Sent>,
    /// A probe lies there too.
    pub(crate) probed: bool,
    /// The dispatcher is told when it takes something.
    pub(crate) watched: bool,
    /// It left something untaken, and has not been seen at its loop since.
    pub(crate) blocked: bool,
    pub(crate) slow_until: Nanos,
    full_until: Nanos,
    pub(crate) given_at: Nanos,
    /// When it last took something.
    pub(crate) took_at: Nanos,
    /// The smaller, the longer ago it had its turn.
    pub(crate) turn: u64,
    pub(crate) figures: MemberFigures,
}

impl Member {
    pub(crate) fn new(id: MemberId) -> Self {
        Self {
            id,
            sent: VecDeque::new(),
            probed: false,
            watched: false,
            blocked: false,
            slow_until: 0,
            full_until: 0,
            given_at: 0,
            took_at: 0,
            turn: 0,
            figures: MemberFigures::default(),
        }
    }

    pub(crate) fn is_slow(&self, now: Nanos) -> bool {
        now < self.slow_until
    }

    /// Whether it may still have to read what it was given.
    pub(crate) fn is_fresh(&self, now: Nanos) -> bool {
        now < self.fresh_until()
    }

    pub(crate) fn fresh_until(&self) -> Nanos {
        match self.given_at.max(self.took_at) {
            0 => 0,
            at => at + FRESH,
        }
    }

    /// Whether it was found blocked only just now.
    pub(crate) fn is_just_blocked(&self, now: Nanos) -> bool {
        now.saturating_add(SLOW_FOR) < self.slow_until.saturating_add(BLOCKED_FOR)
    }

    pub(crate) fn has_room(&self, now: Nanos) -> bool {
        self.sent.len() < DEPTH && now >= self.full_until
    }

    /// Compares what was sent with what still lies in the channel. Returns whether anything was
    /// taken since: the member has been at its loop.
    pub(crate) fn sync<C: Channels>(&mut self, now: Nanos, channels: &mut C) -> bool {
        if self.sent.is_empty() && !self.probed {
            return false;
        }
        let untaken = channels.untaken(self.id);
        let mut moved = false;
        if self.probed && !untaken.probe {
            self.probed = false;
            moved = true;
        }
        while self.sent.len() > untaken.connections {
            self.sent.pop_front();
            self.took_at = now;
            moved = true;
        }
        self.figures.untaken = self.sent.len();
        if moved {
            self.blocked = false;
        }
        moved
    }

    /// Sends it a connection. Gives it back if the channel is full.
    pub(crate) fn give<C: Channels>(
        &mut self,
        now: Nanos,
        channels: &mut C,
        ticket: u64,
        arrived: Nanos,
        connection: C::Connection,
    ) -> Result<(), C::Connection> {
        if let Err(connection) = channels.send(self.id, connection) {
            self.full_until = now + FULL_FOR;
            return Err(connection);
        }
        self.sent.push_back(Sent {
            ticket,
            arrived,
            sent: now,
        });
        self.given_at = now;
        self.figures.dispatched += 1;
        self.figures.untaken = self.sent.len();
        Ok(())
    }

    /// Takes back what the member has not taken, oldest first.
    pub(crate) fn take_back<C: Channels>(
        &mut self,
        now: Nanos,
        channels: &mut C,
    ) -> Vec<(Sent, C::Connection)> {
        let mut taken = Vec::new();
        // The member may take some in the meantime: what comes out are the youngest ones.
        while let Some(connection) = channels.take_back(self.id) {
            taken.push(connection);
        }
        self.probed = false;
        let first = self.sent.len().saturating_sub(taken.len());
        if first > 0 {
            self.took_at = now;
        }
        let sent = self.sent.drain(..).skip(first);
        let taken: Vec<_> = sent.zip(taken).collect();
        self.figures.taken_back += taken.len() as u64;
        self.figures.dispatched -= taken.len() as u64;
        self.figures.untaken = 0;
        taken
    }
}
