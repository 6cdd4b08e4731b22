//! Members, queue and events of one listener.

use std::num::NonZeroUsize;

use super::choose::{choose, fewest_open, free};
use super::delay::Delay;
use super::member::{Basis, ConnectionFigures, Member};
use super::memory::Memory;
use super::queue::{Queue, Waiting};
use super::{Channels, ConnectionPolicy, ConnectionSettings, Refusal};
use crate::passed_over;
use crate::times::OVERDUE;
use crate::{Client, MemberId, Nanos, Waits};

/// Divides connections over the members of one listener. See the crate's documentation for the
/// rules.
#[derive(Debug)]
pub struct ConnectionBalancer<C: Channels> {
    pub(crate) settings: ConnectionSettings,
    pub(crate) members: Vec<Member>,
    pub(crate) waiting: Queue<C::Connection>,
    pub(crate) memory: Memory,
    refused: u64,
    /// The next connection's ticket.
    ticket: u64,
    /// When [`ConnectionBalancer::tick`] is due; none while nothing is untaken and nothing waits.
    tick_at: Option<Nanos>,
}

impl<C: Channels> ConnectionBalancer<C> {
    /// A balancer without members.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings,
            members: Vec::new(),
            waiting: Queue::new(),
            memory: Memory::default(),
            refused: 0,
            ticket: 0,
            tick_at: None,
        }
    }

    /// How many more connections may be accepted; others should stay with the kernel.
    pub fn room(&self) -> usize {
        self.settings.queue.saturating_sub(self.waiting.len())
    }

    /// How many connections wait in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the one that has waited longest arrived.
    pub fn oldest(&self) -> Option<Nanos> {
        self.waiting.oldest()
    }

    /// How long connections waited there.
    pub fn waits(&self) -> Waits {
        self.memory.waits
    }

    /// How many connections were given up.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The members, in the order in which they joined, and what was counted of each.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, ConnectionFigures)> + '_ {
        self.members
            .iter()
            .map(|member| (member.id, member.figures))
    }

    /// A worker begins to listen.
    ///
    /// `key` is what clients stick to: a worker that takes another's place has the same. `open` is
    /// how many connections it has already, should it come back.
    pub fn join(&mut self, now: Nanos, id: MemberId, key: u64, open: usize, channels: &mut C) {
        let limit = self.settings.max_connections;
        let limit = limit.map_or(usize::MAX, NonZeroUsize::get);
        self.members.push(Member::new(id, key, open, limit));
        self.pass_over(None, false);
        self.serve(now, channels);
    }

    /// Sets whether a member is well. An unwell member gets nothing while another one is well, and what it has
    /// not taken goes to others.
    pub fn set_well(&mut self, now: Nanos, id: MemberId, well: bool, channels: &mut C) {
        let at = self.place(id);
        if !self.pass_over(at, !well) {
            return;
        }
        for member in &mut self.members {
            if member.passed_over.now() {
                for waiting in member.take_back(now, channels) {
                    self.waiting.insert(waiting);
                }
            }
        }
        self.serve(now, channels);
    }

    fn pass_over(&mut self, at: Option<usize>, unwell: bool) -> bool {
        let all = self.members.iter_mut().map(|it| &mut it.passed_over);
        passed_over::set(all, at, unwell)
    }

    /// A worker has died, or listens no more. What it has not taken goes to others. What was
    /// counted of it comes back.
    pub fn leave(
        &mut self,
        now: Nanos,
        id: MemberId,
        channels: &mut C,
    ) -> Option<ConnectionFigures> {
        let at = self.place(id)?;
        let mut member = self.members.remove(at);
        self.memory.turns.left(at);
        self.pass_over(None, false);
        for waiting in member.take_back(now, channels) {
            self.waiting.insert(waiting);
        }
        self.serve(now, channels);
        Some(member.figures)
    }

    /// A connection has been accepted.
    pub fn arrive(
        &mut self,
        now: Nanos,
        client: Client,
        connection: C::Connection,
        channels: &mut C,
    ) {
        let mut arrived = self.ticketed(now, client, connection);
        if self.waiting.is_empty()
            && !self.has_staged()
            && let Some((at, basis)) = self.choose(now, client, channels)
        {
            match self.give(now, at, basis, arrived, channels) {
                Ok(()) => return,
                Err(back) => arrived = back,
            }
        }
        let is_first = self.waiting.is_empty();
        self.waiting.insert(arrived);
        // Behind others, it can have nothing that they could not have, and all is awaited already.
        if is_first {
            self.serve(now, channels);
        }
    }

    /// A member has given back an idle connection. The member with the fewest open connections gets it, busy
    /// or not. Where something waits, or clients stick to members, it arrives as a new one does.
    pub fn arrive_idle(
        &mut self,
        now: Nanos,
        client: Client,
        connection: C::Connection,
        channels: &mut C,
    ) {
        let sticks = self.settings.policy == ConnectionPolicy::IpHash;
        if sticks || !self.waiting.is_empty() {
            return self.arrive(now, client, connection, channels);
        }
        let Some(at) = fewest_open(now, &mut self.members, &mut self.memory, channels) else {
            return self.arrive(now, client, connection, channels);
        };
        let waiting = self.ticketed(now, client, connection);
        if let Err(back) = self.give(now, at, Basis::Ahead, waiting, channels) {
            self.waiting.insert(back);
            self.serve(now, channels);
        }
    }

    /// A watched member may have taken something.
    pub fn turned(&mut self, now: Nanos, id: MemberId, channels: &mut C) {
        let Some(at) = self.place(id) else {
            return;
        };
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        let probed = member.probed.is_some();
        let was_empty = member.sent.is_empty();
        member.sync(now, &mut self.memory, channels);
        // It has come to the end of its channel with nothing in its hands, and stands at its loop.
        let at_loop = probed && member.probed.is_none() && was_empty;
        if at_loop
            && member.is_settled(now, channels)
            && member.has_room(now)
            && self.settings.policy == ConnectionPolicy::NextAvailable
        {
            self.serve_oldest(now, at, Basis::Free, channels);
        }
        self.serve(now, channels);
    }

    /// A connection that was sent to this member has ended.
    pub fn ended(&mut self, now: Nanos, id: MemberId, channels: &mut C) {
        let Some(member) = self.place(id).and_then(|at| self.members.get_mut(at)) else {
            return;
        };
        let was_at_limit = member.is_at_limit();
        member.ended();
        if was_at_limit && !member.is_at_limit() && !self.waiting.is_empty() {
            self.serve(now, channels);
        }
    }

    /// Whether a connection waits that a member could have if fewer were open: then it matters to
    /// know soon which ones have ended.
    pub fn waits_for_an_end(&self) -> bool {
        !self.waiting.is_empty() && self.members.iter().any(Member::is_at_limit)
    }

    /// When [`ConnectionBalancer::tick`] wants to be called; `None` while there is nothing to watch over.
    pub fn deadline(&self) -> Option<Nanos> {
        self.tick_at
    }

    /// Time has passed: looks after what lies untaken and what has waited too long.
    pub fn tick(&mut self, now: Nanos, channels: &mut C) {
        self.tick_at = None;
        for at in 0..self.members.len() {
            self.take_back_overdue(now, at, channels);
        }
        self.serve(now, channels);
        while let Some(oldest) = self.waiting.oldest()
            && now >= oldest.saturating_add(self.settings.queue_timeout)
            && let Some(waiting) = self.waiting.pop()
        {
            self.refused += 1;
            channels.refuse(waiting.connection, Refusal::QueueTimeout);
        }
        if !self.waiting.is_empty() || self.members.iter().any(|member| !member.sent.is_empty()) {
            self.wake_by(now + OVERDUE);
        }
    }

    /// Ends: everything that no worker has taken, oldest first.
    pub fn end(mut self, now: Nanos, channels: &mut C) -> Vec<C::Connection> {
        for mut member in std::mem::take(&mut self.members) {
            for waiting in member.take_back(now, channels) {
                self.waiting.insert(waiting);
            }
        }
        std::iter::from_fn(|| self.waiting.pop())
            .map(|waiting| waiting.connection)
            .collect()
    }

    fn ticketed(
        &mut self,
        now: Nanos,
        client: Client,
        connection: C::Connection,
    ) -> Waiting<C::Connection> {
        let ticket = self.ticket;
        self.ticket += 1;
        Waiting {
            ticket,
            arrived: now,
            client,
            connection,
        }
    }

    fn place(&self, id: MemberId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    fn wake_by(&mut self, at: Nanos) {
        self.tick_at = Some(self.tick_at.map_or(at, |tick_at| tick_at.min(at)));
    }

    fn choose(&mut self, now: Nanos, client: Client, channels: &mut C) -> Option<(usize, Basis)> {
        choose(
            self.settings.policy,
            now,
            client,
            self.is_pressed(),
            &mut self.members,
            &mut self.memory,
            channels,
        )
    }

    fn give(
        &mut self,
        now: Nanos,
        at: usize,
        basis: Basis,
        waiting: Waiting<C::Connection>,
        channels: &mut C,
    ) -> Result<(), Waiting<C::Connection>> {
        let Some(member) = self.members.get_mut(at) else {
            return Err(waiting);
        };
        member.turn = self.memory.turns.take(at);
        let given = member.give(now, channels, basis, waiting);
        self.wake_by(now + OVERDUE);
        given
    }

    /// Gives what waits to those that can have it, and sees to it that the rest is woken for.
    pub(crate) fn serve(&mut self, now: Nanos, channels: &mut C) {
        while let Some(client) = self.waiting.first().map(|first| first.client) {
            let given = match self.choose(now, client, channels) {
                Some((at, basis)) => self.serve_several(now, at, basis, channels),
                None => false,
            };
            if !given {
                break;
            }
        }
        self.recall_for_free(now, channels);
        self.await_turns(now, channels);
    }

    /// Gives the one that has waited longest to the member at this place.
    pub(crate) fn serve_one(
        &mut self,
        now: Nanos,
        at: usize,
        basis: Basis,
        channels: &mut C,
    ) -> bool {
        let Some(first) = self.waiting.pop() else {
            return false;
        };
        let arrived = first.arrived;
        match self.give(now, at, basis, first, channels) {
            Ok(()) => {
                // Of what is staged, it is recorded when it is taken.
                if basis != Basis::Staged {
                    self.memory.waits.record(now.saturating_sub(arrived));
                }
                true
            }
            Err(first) => {
                self.waiting.insert(first);
                false
            }
        }
    }

    /// While something waits, in the queue or behind a member's work, every member is watched, and
    /// one with an empty channel has a probe in it; when nothing waits any more, nobody is disturbed.
    fn await_turns(&mut self, now: Nanos, channels: &mut C) {
        self.stage(now, channels);
        let wanted = !self.waiting.is_empty() || self.has_staged();
        let probes = wanted && self.settings.policy == ConnectionPolicy::NextAvailable;
        let mut wake_by = now + OVERDUE;
        for member in &mut self.members {
            if member.watched != wanted {
                member.watched = wanted;
                channels.watch(member.id, wanted);
            }
            if !probes || member.probed.is_some() || !member.sent.is_empty() || member.is_at_limit()
            {
                continue;
            }
            if !member.is_settled(now, channels) {
                wake_by = wake_by.min(member.ask_at().max(now));
            } else {
                member.probe(now, channels);
            }
        }
        if wanted {
            self.wake_by(wake_by);
        }
    }

    /// Takes back what the member at this place left lying: at once if it is seen to be blocked, and
    /// else if another is free to have it. A member that is kept from its processor keeps what it
    /// was sent; where the kernel does not tell, the other must have fewer connections open.
    fn take_back_overdue(&mut self, now: Nanos, at: usize, channels: &mut C) {
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        member.sync(now, &mut self.memory, channels);
        if self.settings.policy != ConnectionPolicy::NextAvailable || !member.is_overdue(now) {
            return;
        }
        // What has waited for too long is given up in the queue, wherever it lies.
        let queue_timeout = self.settings.queue_timeout;
        let oldest = member.oldest_staged();
        let is_late = oldest.is_some_and(|it| now >= it.arrived.saturating_add(queue_timeout));
        let usual = !is_late && member.stood(now) <= self.memory.runs.usual();
        let delay = match member.has_staged() {
            true if usual => return,
            true => Delay::Blocked,
            false => member.delay(now, channels),
        };
        if delay == Delay::Blocked && usual {
            member.stage_all();
            return;
        }
        let open = member.figures.open;
        if delay == Delay::Starved {
            return;
        }
        if delay != Delay::Blocked {
            let free = free(now, &mut self.members, &mut self.memory, channels);
            let Some(free) = free.and_then(|(at, _)| self.members.get(at)) else {
                return;
            };
            // What came together stays at several.
            if delay == Delay::Unknown && free.figures.open >= open {
                return;
            }
        }
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        let taken = member.take_back(now, channels);
        if !taken.is_empty() {
            member.blocked = true;
            if delay == Delay::Blocked {
                member.found_blocked(now);
            }
            member.probe(now, channels);
        }
        for waiting in taken {
            self.waiting.insert(waiting);
        }
    }
}
