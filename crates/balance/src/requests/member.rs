//! A member's requests: how many it has, and whether it may be sent more.

use super::queue::{Place, Waiting};
use super::{Loops, Ticket};
use crate::passed_over::PassedOver;
use crate::runs::{FOLLOWS, Runs};
use crate::times::{MILLISECOND, OVERDUE, READING, TURN};
use crate::{MemberId, Nanos};

/// A quick member that ends nothing for this time may be at work on something else. On average it ends a request
/// in each [`TURN`]; if these times are exponentially distributed, one in 3,000 is eight times as long.
const STREAM: Nanos = 8 * TURN;

/// A member whose channel was full, or that left something lying, is tried again after this, at the next tick.
const PAUSE: Nanos = OVERDUE;

/// A member that can take nothing is tried again after this. Before Linux 6.2 its
/// descriptors have to be counted, which takes 1.6 ms for a thousand: a sixtieth of this time.
const FULL: Nanos = 100 * MILLISECOND;

/// What was counted of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFigures {
    /// Requests in progress.
    pub in_progress: usize,
}

/// A request that lies ready for a member, and can be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    /// Its place in the queue, should it come back.
    pub(super) place: Place,
    pub(super) waiting: Waiting,
}

/// A worker, as far as requests go.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) key: u64,
    pub(super) figures: RequestFigures,
    /// How long it takes for a request while it has any: the mean of the last 32 or so.
    takes: Nanos,
    /// When it last ended a request.
    ended_at: Nanos,
    /// Since when it has worked on what it ends next, at the earliest.
    busy_since: Nanos,
    /// The smaller, the longer ago it had its turn.
    pub(super) turn: u64,
    pub(super) probed: bool,
    pub(super) watched: bool,
    /// Gets nothing before this.
    paused_until: Nanos,
    pub(super) staged: Option<Staged>,
    /// When it began its youngest piece of work, as far as is known.
    pub(super) began_at: Nanos,
    /// It has read what it was sent last, so that what is staged next is not taken together with it.
    settled: bool,
    /// Else it is asked again then.
    ask_at: Nanos,
    /// Its loop stands still for longer than loops usually do.
    pub(super) stands_long: bool,
    pub(super) passed_over: PassedOver,
}

impl Member {
    pub(super) fn new(id: MemberId, key: u64) -> Self {
        Self {
            id,
            key,
            figures: RequestFigures::default(),
            takes: MILLISECOND,
            ended_at: 0,
            busy_since: 0,
            turn: 0,
            probed: false,
            watched: false,
            paused_until: 0,
            staged: None,
            began_at: 0,
            settled: true,
            ask_at: 0,
            stands_long: false,
            passed_over: PassedOver::default(),
        }
    }

    /// It has been given a request.
    pub(super) fn given(&mut self, now: Nanos, turn: u64) {
        self.turn = turn;
        if self.figures.in_progress == 0 {
            self.busy_since = now;
        }
        self.figures.in_progress += 1;
        self.began(now);
    }

    /// A request has been staged: it counts as in progress, though the worker has not begun it.
    pub(super) fn stage(&mut self, staged: Staged, turn: u64) {
        self.turn = turn;
        self.figures.in_progress += 1;
        self.staged = Some(staged);
    }

    /// The worker has taken what was staged.
    pub(super) fn took(&mut self, now: Nanos) -> Option<Staged> {
        let staged = self.staged.take()?;
        self.began(now);
        Some(staged)
    }

    fn began(&mut self, now: Nanos) {
        self.began_at = now;
        self.settled = false;
        self.ask_at = now;
        self.stands_long = false;
    }

    /// Its loop has turned.
    pub(super) fn turned(&mut self) {
        self.probed = false;
        self.stands_long = false;
    }

    /// Whether it has read what it was sent last.
    pub(super) fn is_settled(&mut self, now: Nanos, loops: &mut impl Loops) -> bool {
        if !self.settled && now >= self.ask_at {
            self.settled = !loops.unread(self.id);
            let since = now.saturating_sub(self.began_at);
            self.ask_at = now + since.clamp(READING, MILLISECOND);
        }
        self.settled
    }

    /// When to ask again whether it has read what it was sent.
    pub(super) fn ask_at(&self) -> Option<Nanos> {
        (!self.settled).then_some(self.ask_at)
    }

    /// A request has come back. Returns its place in the queue if it was staged here; else this member
    /// did not take it, and gets nothing for a moment.
    pub(super) fn unstage(&mut self, now: Nanos, ticket: Ticket) -> Option<Place> {
        self.figures.in_progress = self.figures.in_progress.saturating_sub(1);
        let staged = self
            .staged
            .take_if(|it| it.waiting.arrival.ticket == ticket);
        if staged.is_none() {
            self.pause(now);
        }
        Some(staged?.place)
    }

    /// It gets nothing for a moment.
    pub(super) fn pause(&mut self, now: Nanos) {
        self.paused_until = now + PAUSE;
    }

    /// It can take nothing, and gets nothing for a while.
    pub(super) fn is_full(&mut self, now: Nanos) {
        self.paused_until = now + FULL;
    }

    /// One of its requests is over.
    pub(super) fn ended(&mut self, now: Nanos, runs: &mut Runs) {
        let at_work = self
            .figures
            .in_progress
            .saturating_sub(usize::from(self.staged.is_some()));
        if at_work == 1 {
            runs.record(now.saturating_sub(self.began_at));
        }
        self.began_at = now;
        self.stands_long = false;
        self.figures.in_progress = self.figures.in_progress.saturating_sub(1);
        let took = now.saturating_sub(self.busy_since);
        self.takes = self.takes - self.takes / FOLLOWS + took / FOLLOWS;
        self.busy_since = now;
        self.ended_at = now;
    }

    /// A request that was staged is over before the worker has begun it.
    pub(super) fn gone(&mut self) {
        self.staged = None;
        self.figures.in_progress = self.figures.in_progress.saturating_sub(1);
    }

    /// Its requests take so little time that the way to it costs more than waiting: it is sent some
    /// ahead, and nothing is staged, which would take a connection of its own.
    pub(super) fn is_quick(&self) -> bool {
        self.takes < TURN
    }

    pub(super) fn streams(&self, now: Nanos) -> bool {
        self.is_quick() && now.saturating_sub(self.ended_at) <= STREAM
    }

    pub(super) fn has_room(&self, now: Nanos, most: usize) -> bool {
        // What is staged is taken before anything else can be.
        let is_open = now >= self.paused_until && !self.passed_over.now();
        self.figures.in_progress < most && is_open && self.staged.is_none()
    }
}
