//! One worker behind a listener, as the balancer knows it.

use std::collections::VecDeque;

use super::memory::Memory;
use super::pace::Pace;
use super::queue::Waiting;
use super::{Channels, Last};
use crate::passed_over::PassedOver;
use crate::times::{MILLISECOND, OVERDUE, READING, SLICE, TURN};
use crate::{Client, MemberId, Nanos};

/// A slow member that took so many probes in a row without delay is quick again: one that is at work
/// for half of the time would seem so once in eight times.
const QUICK_TURNS: u32 = 3;

/// A client that has sent nothing for so long may send nothing at all. One whose first packet was
/// lost or held back by a delayed acknowledgement (40 ms on Linux) has sent its request by then.
const SILENT: Nanos = 40 * MILLISECOND;

/// Where nothing tells whether a member has read what it was given, it is taken to have read it after this: a loop
/// that has taken a connection reads from it in its next turn, and may wait for a processor before that.
const UNTOLD: Nanos = SLICE + OVERDUE;

/// Where nothing tells whether a blocked member has come back, it is tried again after this. A try in vain
/// delays a connection by [`OVERDUE`]: a tenth of this time.
const BLOCKED_FOR: Nanos = 10 * OVERDUE;

/// How many connections may be sent to a streaming member before it is asked what it has taken: work for one
/// slice, for which the dispatcher may wait for a processor, and a third more, as some turns are shorter than
/// [`TURN`]. In the simulation of waiting times (`tests/ideal`) 8 to 24 differ by a hundredth in the mean, and
/// with 32 the longest waits grow by half.
const STREAM_AHEAD: usize = 16;

/// What a look has found busy is looked at after the others for so long: more than from one tick
/// to the next, so that each tick looks at others.
const BUSY_FOR: Nanos = 2 * OVERDUE;

/// A channel that took no more is tried again after this, at the next tick, which comes anyway.
const FULL_FOR: Nanos = OVERDUE;

/// How many connections may lie untaken in one channel. The kernel limits how many descriptors of a user lie in
/// sockets, by the limit for open files: the usual 1,024 are enough for 32 full channels.
pub(crate) const DEPTH: usize = 32;

/// What was counted of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFigures {
    /// Connections sent to it, less those that were taken back.
    pub dispatched: u64,
    /// Connections taken back from it.
    pub taken_back: u64,
    /// Connections that were sent to it and have not ended, those in its channel among them.
    pub open: usize,
}

impl ConnectionFigures {
    /// A connection was sent to it.
    #[inline]
    pub fn sent(&mut self) {
        self.dispatched += 1;
        self.open += 1;
    }
}

/// A connection in a member's channel: all but the connection itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its place among all that arrived.
    pub(crate) ticket: u64,
    pub(crate) arrived: Nanos,
    pub(crate) client: Client,
    pub(crate) sent: Nanos,
    pub(crate) basis: Basis,
}

/// What was believed of a member when it was sent a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// It was seen to be free.
    Free,
    /// It computes, and is back at its loop within microseconds.
    Ahead,
    /// It is busy. The connection lies ready for the end of its work, and goes elsewhere as soon as
    /// another member is free.
    Staged,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    /// The same for the worker that follows it in the same place.
    pub(crate) key: u64,
    /// How many connections it may have open.
    limit: usize,
    /// What lies in its channel, oldest first; true as of the last [`Member::sync`].
    pub(crate) sent: VecDeque<Sent>,
    /// A probe lies there too, since then.
    pub(crate) probed: Option<Nanos>,
    /// It could have none when it was last tried.
    takes_no_probes: bool,
    /// Probes in a row that it took without delay.
    quick_turns: u32,
    /// What it had computed when the oldest of what it has not taken was sent, or when it took
    /// something last.
    pub(super) computed_before: Option<Nanos>,
    /// The dispatcher is told when it takes something.
    pub(crate) watched: bool,
    /// Since when something lies in its channel without its loop having turned.
    standing_since: Option<Nanos>,
    /// It left something untaken, and has not been seen at its loop since.
    pub(crate) blocked: bool,
    /// It was found blocked, or at work for longer than a moment, and has not been seen to be quick since.
    slow: bool,
    /// When it was found blocked last.
    blocked_at: Nanos,
    full_until: Nanos,
    /// It is known to have read what it was given.
    settled: bool,
    /// Else it is asked again then: in a flood, not at each arrival.
    ask_at: Nanos,
    pace: Pace,
    /// How many connections it gets at once when many wait and it is free.
    several: usize,
    /// When it last took something.
    pub(crate) took_at: Nanos,
    /// Until then it is taken for busy, since a look, or what it left lying, showed that it was.
    busy_until: Nanos,
    /// The smaller, the longer ago it had its turn.
    pub(crate) turn: u64,
    pub(crate) passed_over: PassedOver,
    pub(crate) figures: ConnectionFigures,
}

impl Member {
    pub(crate) fn new(id: MemberId, key: u64, open: usize, limit: usize) -> Self {
        Self {
            id,
            key,
            limit,
            sent: VecDeque::new(),
            probed: None,
            takes_no_probes: false,
            quick_turns: 0,
            computed_before: None,
            watched: false,
            standing_since: None,
            blocked: false,
            slow: false,
            blocked_at: 0,
            full_until: 0,
            settled: true,
            ask_at: 0,
            took_at: 0,
            busy_until: 0,
            pace: Pace::default(),
            several: 1,
            turn: 0,
            passed_over: PassedOver::default(),
            figures: ConnectionFigures {
                open,
                ..ConnectionFigures::default()
            },
        }
    }

    /// Whether it has as many connections open as it may have.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.figures.open >= self.limit
    }

    /// One of its connections has ended.
    pub(crate) fn ended(&mut self) {
        self.figures.open = self.figures.open.saturating_sub(1);
    }

    /// A look has found it busy: the next few looks had better go to others.
    pub(crate) fn seen_busy(&mut self, now: Nanos) {
        self.busy_until = now + BUSY_FOR;
    }

    /// Whether a look has found it busy just now.
    pub(crate) fn was_busy(&self, now: Nanos) -> bool {
        now < self.busy_until
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// What lay in its channel was taken back, since its loop stands still.
    pub(crate) fn found_blocked(&mut self, now: Nanos) {
        self.blocked = true;
        self.slow = true;
        self.several = 1;
        self.blocked_at = now;
    }

    /// Whether it has read what it was given last, or may never have to: else it is about to begin
    /// a piece of work, whatever its loop does now.
    pub(crate) fn is_settled<C: Channels>(&mut self, now: Nanos, channels: &mut C) -> bool {
        if !self.settled && self.sent.is_empty() && now >= self.ask_at {
            let untold_for = now.saturating_sub(self.took_at);
            self.settled = match channels.last(self.id) {
                Last::Read => true,
                // A loop that has had all this time for it does not want to read.
                Last::Unread | Last::Silent => untold_for >= SILENT,
                Last::Unknown => untold_for >= UNTOLD,
            };
            self.ask_at = now + untold_for.clamp(READING, OVERDUE);
        }
        self.settled
    }

    /// When it is to be asked again whether it has read what it took.
    pub(crate) fn ask_at(&self) -> Nanos {
        self.ask_at
    }

    /// Whether it was found blocked only just now.
    pub(crate) fn is_just_blocked(&self, now: Nanos) -> bool {
        now < self.blocked_at + BLOCKED_FOR
    }

    pub(crate) fn has_room(&self, now: Nanos) -> bool {
        let is_open = !self.is_at_limit() && !self.passed_over.now();
        self.sent.len() < DEPTH && now >= self.full_until && is_open
    }

    /// Compares what was sent with what still lies in the channel.
    pub(crate) fn sync<C: Channels>(&mut self, now: Nanos, memory: &mut Memory, channels: &mut C) {
        if self.sent.is_empty() && self.probed.is_none() {
            return;
        }
        let untaken = channels.untaken(self.id);
        let stood = self.stood(now);
        let mut turned = false;
        if let Some(since) = self.probed.filter(|_| !untaken.probe) {
            self.probed = None;
            turned = true;
            self.turned_after(now.saturating_sub(since));
        }
        while self.sent.len() > untaken.connections {
            if let Some(taken) = self.sent.pop_front()
                && taken.basis == Basis::Staged
            {
                memory.waits.record(now.saturating_sub(taken.arrived));
            }
            self.took_at = now;
            turned = true;
            self.pace.took(now);
        }
        if turned {
            if self.watched {
                memory.runs.record(stood);
            }
            self.progressed();
            let left = !self.sent.is_empty() || self.probed.is_some();
            self.standing_since = left.then_some(now);
        }
    }

    /// How long its loop is known to stand still.
    pub(crate) fn stood(&self, now: Nanos) -> Nanos {
        self.standing_since
            .map_or(0, |since| now.saturating_sub(since))
    }

    /// Whether it would be seen to come back to its loop, and has not.
    pub(crate) fn is_known_busy(&self) -> bool {
        self.probed.is_some() || self.blocked || self.has_staged()
    }

    /// Whether a connection was staged behind its work.
    pub(crate) fn has_staged(&self) -> bool {
        self.oldest_staged().is_some()
    }

    /// The oldest connection that was staged behind its work.
    pub(crate) fn oldest_staged(&self) -> Option<&Sent> {
        self.sent.iter().find(|it| it.basis == Basis::Staged)
    }

    /// It is free though many wait. How many connections it should have at once: each time twice as
    /// many as the time before.
    pub(crate) fn found_waiting(&mut self) -> usize {
        let several = self.several;
        self.several = (2 * several).min(STREAM_AHEAD);
        several
    }

    /// Its work turns out to take longer: what was sent to it lies there as if it had been staged.
    pub(crate) fn stage_all(&mut self) {
        self.several = 1;
        self.slow = true;
        for sent in &mut self.sent {
            sent.basis = Basis::Staged;
        }
    }

    /// Whether it may be sent a connection without asking what it does.
    pub(crate) fn is_streaming(&self, now: Nanos) -> bool {
        self.pace.streams(now)
            && self.sent.len() < STREAM_AHEAD
            && !self.blocked
            && self.untaken_for(now) <= TURN
    }

    /// It has been at its loop.
    fn progressed(&mut self) {
        self.blocked = false;
        self.computed_before = None;
    }

    /// It took a probe after so long a time. Only while it is watched that is known exactly.
    fn turned_after(&mut self, turn: Nanos) {
        if !self.watched {
            return;
        }
        if turn >= OVERDUE {
            self.quick_turns = 0;
        } else {
            self.quick_turns += 1;
            if self.quick_turns >= QUICK_TURNS {
                self.slow = false;
            }
        }
    }

    /// Puts a probe into its channel, if it takes any.
    pub(crate) fn probe<C: Channels>(&mut self, now: Nanos, channels: &mut C) {
        if self.probed.is_none() {
            self.takes_no_probes = !channels.probe(self.id);
            if !self.takes_no_probes {
                self.probed = Some(now);
                self.standing_since.get_or_insert(now);
            } else if self.sent.is_empty() {
                // Nothing would show that it has turned.
                self.standing_since = None;
            }
        }
    }

    /// Whether it has left something lying for longer than it should.
    pub(crate) fn is_overdue(&self, now: Nanos) -> bool {
        self.untaken_for(now) >= OVERDUE
    }

    pub(super) fn untaken_for(&self, now: Nanos) -> Nanos {
        match self.sent.front() {
            Some(oldest) => now.saturating_sub(oldest.sent.max(self.took_at)),
            None => 0,
        }
    }

    /// Sends it a connection. Gives it back if the channel is full.
    pub(crate) fn give<C: Channels>(
        &mut self,
        now: Nanos,
        channels: &mut C,
        basis: Basis,
        waiting: Waiting<C::Connection>,
    ) -> Result<(), Waiting<C::Connection>> {
        let Waiting {
            ticket,
            arrived,
            client,
            connection,
        } = waiting;
        if self.sent.is_empty() && !self.is_streaming(now) {
            self.computed_before = channels.computed(self.id);
        }
        if let Err(connection) = channels.send(self.id, connection) {
            self.full_until = now + FULL_FOR;
            return Err(Waiting {
                ticket,
                arrived,
                client,
                connection,
            });
        }
        self.sent.push_back(Sent {
            ticket,
            arrived,
            client,
            sent: now,
            basis,
        });
        self.standing_since.get_or_insert(now);
        self.settled = false;
        self.ask_at = now;
        self.figures.sent();
        Ok(())
    }

    /// Takes back what the member has not taken, oldest first.
    pub(crate) fn take_back<C: Channels>(
        &mut self,
        now: Nanos,
        channels: &mut C,
    ) -> Vec<Waiting<C::Connection>> {
        let mut taken = Vec::new();
        // The member may take some in the meantime: what comes out are the youngest ones.
        while let Some(connection) = channels.take_back(self.id) {
            taken.push(connection);
        }
        self.probed = None;
        self.computed_before = None;
        let first = self.sent.len().saturating_sub(taken.len());
        if first > 0 {
            self.took_at = now;
            self.standing_since = None;
        } else {
            // It has taken nothing since the first of them was sent, to a settled member.
            self.settled = true;
        }
        let sent = self.sent.drain(..).skip(first);
        let taken: Vec<_> = sent
            .zip(taken)
            .map(|(sent, connection)| Waiting {
                ticket: sent.ticket,
                arrived: sent.arrived,
                client: sent.client,
                connection,
            })
            .collect();
        if !taken.is_empty() {
            self.seen_busy(now);
        }
        self.figures.taken_back += taken.len() as u64;
        self.figures.dispatched -= taken.len() as u64;
        self.figures.open = self.figures.open.saturating_sub(taken.len());
        taken
    }
}
