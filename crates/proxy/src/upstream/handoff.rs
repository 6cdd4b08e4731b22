//! Pairs on their way: which one carries a request, handing a new one to its worker, and taking
//! back what a worker did not take.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use balance::{Look, MemberId, Nanos};
use rustix::io::Errno;

use crate::downstream::client::{Phase, Stage};
use crate::link::Link;
use crate::slab::Key;
use crate::upstream::batch::Post;
use crate::upstream::pool::{self, Ends, Pair};
use crate::{PAIR, Proxy, Workers};

/// Why a request may have to wait.
const OUT_OF_DESCRIPTORS: &str = "maitred has too many open files; raise its limit (ulimit -n)";

/// The same, where a worker is to blame.
const FULL: &str = "the worker has too many open files; raise its limit (ulimit -n)";

/// What lies untaken so long goes to another worker that is free.
const OVERDUE: Nanos = 2_000_000;

/// What becomes of the time that a request may wait, when it comes back from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    BeginsAnew,
    /// The worker could not have taken it.
    GoesOn,
}

impl Proxy {
    /// Sends the client's request to this worker: over an idle pair of this client, or a new one.
    /// `None` if it could not be sent; then the request waits again.
    pub(crate) fn hand<W: Workers>(
        &mut self,
        key: Key,
        member: MemberId,
        workers: &mut W,
    ) -> Option<()> {
        let client = self.clients.get_mut(key)?;
        let Phase::Serving(exchange) = &mut client.phase else {
            return None;
        };
        let sockaddr = client.peer;
        let ends = Ends {
            peer: client.peer.address,
            local: client.local,
        };
        let origin = exchange.origin;
        let bound = exchange.has_body.then_some(origin);
        match std::mem::replace(&mut exchange.stage, Stage::Waiting) {
            Stage::Returned(pair, end) => {
                return self.hand_end(key, member, pair, end, sockaddr.sockaddr(), workers);
            }
            Stage::Waiting => {}
            Stage::With(other, pair) => {
                exchange.stage = Stage::With(other, pair);
                return None;
            }
        }
        exchange.sent_at = self.now;
        let is_whole = exchange.request_done;
        let head = std::mem::take(&mut exchange.head);
        while let Some(pair_key) = {
            let desk = self.desks.get_mut(&member);
            desk.and_then(|desk| desk.take(ends, origin))
        } {
            let Some(pair) = self.pairs.get_mut(pair_key) else {
                continue;
            };
            // What its worker has left, or left undone, is not used. Where that is not known yet,
            // the kernel takes nothing of what is sent.
            let good = pair.leave_at > self.now && pair.link.is_quiet();
            pair.bound = pair.bound.or(bound);
            if good && is_whole {
                pair.client = Some(key);
                pair.asked_at = self.now;
                pair.is_asked = false;
                self.is_with(key, member, pair_key);
                self.posts.push(Post {
                    client: key,
                    member,
                    pair: pair_key,
                    head,
                });
                return Some(());
            }
            if good && pair.link.send(&head, &[], &self.epoll).is_ok() {
                pair.client = Some(key);
                pair.asked_at = self.now;
                self.sent(key, member, pair_key, head);
                return Some(());
            }
            self.pairs.remove(pair_key);
        }
        let made = self.new_pair(member, ends, sockaddr.sockaddr());
        let (pair_key, end) = match made {
            Ok(made) => made,
            Err(trouble) => {
                self.put_head_back(key, head, trouble);
                return None;
            }
        };
        if let Some(pair) = self.pairs.get_mut(pair_key) {
            // It lies in the pair before the worker has it: one that takes it finds the request.
            let _ = pair.link.send(&head, &[], &self.epoll);
            pair.client = Some(key);
            pair.bound = bound;
        }
        match workers.hand(member, end, sockaddr.sockaddr()) {
            Ok(()) => {
                self.handed(member, pair_key);
                self.sent(key, member, pair_key, head);
                Some(())
            }
            Err(end) => {
                drop(end);
                self.pairs.remove(pair_key);
                self.put_head_back(key, head, "the worker's channel takes nothing more");
                None
            }
        }
    }

    fn put_head_back(&mut self, key: Key, head: Vec<u8>, trouble: &'static str) {
        if let Some(client) = self.clients.get_mut(key)
            && let Phase::Serving(exchange) = &mut client.phase
        {
            exchange.head = head;
            exchange.trouble = Some(trouble);
        }
    }

    /// The head is on its way to the worker.
    fn sent(&mut self, key: Key, member: MemberId, pair: Key, head: Vec<u8>) {
        self.is_with(key, member, pair);
        self.keep_head(key, head);
    }

    /// The request is the worker's from now on.
    fn is_with(&mut self, key: Key, member: MemberId, pair: Key) {
        if let Some(desk) = self.desks.get_mut(&member) {
            desk.last = Some(pair);
        }
        if let Some(client) = self.clients.get_mut(key)
            && let Phase::Serving(exchange) = &mut client.phase
        {
            // Its body is not late for having waited with it.
            client.active_at = self.now;
            exchange.stage = Stage::With(member, pair);
        }
    }

    pub(crate) fn new_pair(
        &mut self,
        member: MemberId,
        ends: Ends,
        sockaddr: &[u8],
    ) -> Result<(Key, OwnedFd), &'static str> {
        if !self.has_room_for_pair() {
            return Err(OUT_OF_DESCRIPTORS);
        }
        let gate = self.desks.get(&member).map(|desk| desk.gate);
        let gate = gate.and_then(|gate| self.gates.get(&gate));
        let local = gate.ok_or("the worker has left")?.local(ends.local);
        let number = self.last_pair;
        self.last_pair += 1;
        let (ours, theirs) =
            pool::make(number, sockaddr, &local).map_err(|error| trouble(&error))?;
        let (kind, epoll, now) = (self.kind, &self.epoll, self.now);
        let key = self.pairs.insert(|key| {
            Ok::<_, rustix::io::Errno>(Pair {
                link: Link::new(ours, epoll, kind | PAIR | key.bits())?,
                number,
                member,
                ends,
                bound: None,
                client: None,
                greeting: None,
                leave_at: 0,
                handed_at: now,
                asked_at: now,
                is_asked: true,
            })
        });
        let key = key.map_err(|error| trouble(&error.into()))?;
        Ok((key, theirs))
    }

    /// Gives a pair that came back to another worker, with all that lies in it.
    fn hand_end<W: Workers>(
        &mut self,
        key: Key,
        member: MemberId,
        pair_key: Key,
        end: OwnedFd,
        sockaddr: &[u8],
        workers: &mut W,
    ) -> Option<()> {
        let handed = workers.hand(member, end, sockaddr);
        let client = self.clients.get_mut(key)?;
        let Phase::Serving(exchange) = &mut client.phase else {
            return None;
        };
        match handed {
            Ok(()) => {
                exchange.stage = Stage::With(member, pair_key);
                exchange.sent_at = self.now;
                if let Some(pair) = self.pairs.get_mut(pair_key) {
                    pair.member = member;
                    pair.handed_at = self.now;
                    pair.asked_at = self.now;
                }
                self.handed(member, pair_key);
                Some(())
            }
            Err(end) => {
                exchange.stage = Stage::Returned(pair_key, end);
                None
            }
        }
    }

    pub(crate) fn handed(&mut self, member: MemberId, pair: Key) {
        if let Some(desk) = self.desks.get_mut(&member) {
            desk.untaken.push_back(pair);
            desk.last = Some(pair);
        }
        let at = self.now + OVERDUE;
        self.untaken_at = Some(self.untaken_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Keeps a pair for the client's next request to this worker.
    pub(crate) fn keep_pair(&mut self, member: MemberId, key: Key, time: Duration) {
        let Some(pair) = self.pairs.get_mut(key) else {
            return;
        };
        pair.client = None;
        let clean = pair.link.input.is_empty() && !pair.link.is_ending() && !pair.link.is_clogged();
        pair.leave_at = self
            .now
            .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(0));
        let kept = clean
            && self
                .desks
                .get_mut(&member)
                .is_some_and(|desk| desk.keep(pair, key));
        if !kept {
            self.pairs.remove(key);
        }
    }

    /// Looks after what lies untaken in channels.
    pub(crate) fn look_after_untaken<W: Workers>(&mut self, workers: &mut W) {
        self.untaken_at = None;
        let members: Vec<_> = self
            .desks
            .iter()
            .filter(|(_, desk)| !desk.untaken.is_empty())
            .map(|(member, _)| *member)
            .collect();
        for member in members {
            let lying = workers.untaken(member);
            let Some(desk) = self.desks.get_mut(&member) else {
                continue;
            };
            while desk.untaken.len() > lying {
                desk.untaken.pop_front();
            }
            if desk
                .untaken
                .iter()
                .any(|key| self.pairs.get(*key).is_none())
            {
                self.remove_deserted(member, workers);
            }
            let untaken = self.desks.get(&member).map(|desk| desk.untaken.iter());
            let mut pairs = untaken.into_iter().flatten();
            // No client waits for a greeting.
            let asks = |key: &Key| self.pairs.get(*key).filter(|pair| pair.client.is_some());
            let Some(oldest) = pairs.find_map(asks) else {
                continue;
            };
            let overdue = self.now >= oldest.handed_at + OVERDUE;
            self.untaken_at = Some(self.now + OVERDUE);
            if !overdue {
                continue;
            }
            if workers.is_full(member) {
                self.take_back_from_full(member, workers);
            } else if self.another_is_free(member, workers) {
                self.take_back(member, workers);
            }
        }
    }

    /// Whether another worker behind the same listener could have a request now, and may.
    fn another_is_free<W: Workers>(&self, member: MemberId, workers: &mut W) -> bool {
        use balance::RequestPolicy::{LeastConn, NextAvailable};
        if !matches!(self.settings.balance.policy, NextAvailable | LeastConn) {
            return false;
        }
        let gate = self.desks.get(&member).map(|desk| desk.gate);
        let Some(gate) = gate.and_then(|gate| self.gates.get(&gate)) else {
            return false;
        };
        gate.balancer.members().any(|(id, _, figures)| {
            id != member && figures.in_progress == 0 && workers.look(id) == Look::Waiting
        })
    }

    /// Takes everything back from a worker that has no descriptor left to take it: it goes to
    /// others, under every policy.
    fn take_back_from_full<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        let Some(desk) = self.desks.get(&member) else {
            return;
        };
        let (gate, pairs) = (desk.gate, desk.untaken.clone());
        for pair in pairs {
            let client = self.pairs.get(pair).and_then(|pair| pair.client);
            if let Some(client) = client.and_then(|key| self.clients.get_mut(key))
                && let Phase::Serving(exchange) = &mut client.phase
            {
                exchange.failed = Some(member);
                exchange.trouble = Some(FULL);
            }
        }
        self.take_out(member, workers, Patience::GoesOn);
        if let Some(gate) = self.gates.get_mut(&gate) {
            gate.balancer.full(self.now, member);
        }
    }

    /// Takes everything back that this worker has not taken: it waits again.
    pub(crate) fn take_back<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        self.take_out(member, workers, Patience::BeginsAnew);
    }

    fn take_out<W: Workers>(&mut self, member: MemberId, workers: &mut W, patience: Patience) {
        let Some(desk) = self.desks.get_mut(&member) else {
            return;
        };
        let gate = desk.gate;
        let mut untaken = std::mem::take(&mut desk.untaken);
        let mut back = Vec::new();
        while let Some(end) = workers.take_back(member) {
            back.push(end);
        }
        // The youngest goes first into the queue's front, so that the oldest comes to stand there.
        for end in back.into_iter().rev() {
            let Some(number) = pool::number_of(&end) else {
                continue;
            };
            let known = |key: &Key| self.pairs.get(*key).is_some_and(|it| it.number == number);
            let Some(key) = untaken
                .iter()
                .position(known)
                .and_then(|at| untaken.remove(at))
            else {
                continue;
            };
            let Some(client) = self.pairs.get(key).and_then(|pair| pair.client) else {
                if self.greet_again(key, member, end, workers) {
                    untaken.push_back(key);
                }
                continue;
            };
            self.wait_again(client, member, (key, end), patience);
        }
        // The worker has taken these meanwhile, or there was no descriptor to take them back.
        if let Some(desk) = self.desks.get_mut(&member) {
            desk.untaken = untaken;
        }
        self.free.push(gate);
    }

    /// A request waits again, in the pair that its worker has not taken.
    pub(crate) fn wait_again(
        &mut self,
        client: Key,
        member: MemberId,
        (pair, end): (Key, OwnedFd),
        patience: Patience,
    ) {
        let mut since = self.now;
        let Some(it) = self.clients.get_mut(client) else {
            return;
        };
        let gate = it.gate;
        if let Phase::Serving(exchange) = &mut it.phase {
            exchange.stage = Stage::Returned(pair, end);
            exchange.record.worker = None;
            if patience == Patience::GoesOn {
                since = exchange.waits_since;
            }
            exchange.waits_since = since;
        }
        if let (Some(arrival), Some(gate)) = (self.arrival(client), self.gates.get_mut(&gate)) {
            gate.balancer.came_back(self.now, member, arrival, since);
        }
    }
}

/// Why a connection to a worker could not be made.
fn trouble(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => OUT_OF_DESCRIPTORS,
        Some(Errno::NFILE) => "the system has too many open files",
        Some(Errno::NOBUFS | Errno::NOMEM) => "the kernel has no memory for a connection",
        _ => "the kernel refused to make a connection to a worker",
    }
}
