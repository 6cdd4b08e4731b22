//! What the balancer sees and does in the simulated world: workers with event loops, and their
//! channels.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::num::NonZeroUsize;

use balance::{
    Channels, ConnectionPolicy, ConnectionSettings, Last, Look, MemberId, Nanos, Refusal, Untaken,
};
use fastrand::Rng;

pub(crate) const US: Nanos = 1_000;
pub(crate) const MS: Nanos = 1_000_000;

/// A connection: its number, in the order of arrival.
pub(crate) type Connection = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Connection(Connection),
    Probe,
}

/// What a worker's loop does. A worker takes all that lies in its channel, and then works through
/// what it took, before it looks again: as runtimes do that accept until there is no more.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) channel: VecDeque<Message>,
    pub(crate) taken: VecDeque<Connection>,
    /// Taken, too, but their clients have sent nothing yet.
    pub(crate) silent: BTreeSet<Connection>,
    /// What it was sent last.
    pub(crate) last: Option<Connection>,
    /// Until when it works on the first of `taken`.
    pub(crate) busy_until: Option<Nanos>,
    pub(crate) stopped: bool,
    /// It was woken, and has its processor then.
    pub(crate) runs_at: Option<Nanos>,
    /// What it had computed before the present piece of work, and when that began.
    pub(crate) computed: Nanos,
    pub(crate) began: Nanos,
    /// Its loop blocks in a sleep, which can be seen, and not in a computation.
    pub(crate) sleeps: bool,
    /// Nobody can see what it does.
    pub(crate) blind: bool,
    /// It accepts without waiting, and so can have probes.
    pub(crate) probes: bool,
    pub(crate) watched: bool,
    /// It has died, and the balancer is being told.
    pub(crate) dead: bool,
    /// When its channel last took no more.
    pub(crate) refused_at: Option<Nanos>,
    pub(crate) idle_since: Option<Nanos>,
}

impl Worker {
    pub(crate) fn new(random: &mut Rng, odd: bool, now: Nanos) -> Self {
        Self {
            channel: VecDeque::new(),
            taken: VecDeque::new(),
            silent: BTreeSet::new(),
            last: None,
            busy_until: None,
            stopped: false,
            runs_at: None,
            computed: 0,
            began: now,
            sleeps: random.bool(),
            blind: odd && random.u64(..4) == 0,
            probes: !(odd && random.u64(..6) == 0),
            watched: false,
            dead: false,
            refused_at: None,
            idle_since: Some(now),
        }
    }

    /// What has become of a connection that it has taken.
    fn state_of(&self, connection: Connection) -> Last {
        let working = usize::from(self.busy_until.is_some());
        if self.silent.contains(&connection) {
            Last::Silent
        } else if self.taken.iter().skip(working).any(|it| *it == connection) {
            Last::Unread
        } else {
            Last::Read
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.busy_until.is_none() && self.taken.is_empty() && !self.stopped
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Arrive,
    /// A worker looks at its channel, or has finished a piece of work.
    Loop(MemberId),
    /// The client of a connection that a worker has taken sends its request.
    Request(MemberId, Connection),
    /// The kernel tells that a watched worker has taken something.
    Taken(MemberId),
    /// The kernel tells that a connection has ended.
    Ended(Connection),
    Tick,
    Join,
    Crash,
    Stop,
    Continue(MemberId),
}

/// What the balancer sees and does.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) random: Rng,
    pub(crate) now: Nanos,
    pub(crate) workers: BTreeMap<MemberId, Worker>,
    pub(crate) events: BinaryHeap<std::cmp::Reverse<(Nanos, u64, Event)>>,
    pub(crate) event: u64,
    /// Accepted by us, and neither in a channel nor taken: what the central queue must hold.
    pub(crate) central: BTreeSet<Connection>,
    /// Sent to a worker that was at work, which could be seen, and when.
    pub(crate) sent_behind_work: BTreeMap<Connection, Nanos>,
    pub(crate) taken_by: BTreeMap<Connection, MemberId>,
    /// Sent, not taken back, and not known to have ended.
    pub(crate) open: BTreeMap<Connection, MemberId>,
    /// How long connections are kept after their work is done, at the most; without end if 0.
    pub(crate) kept: Nanos,
    pub(crate) refused: u64,
    pub(crate) typical_work: Nanos,
    pub(crate) settings: ConnectionSettings,
    /// A channel now and then takes no more, as when too many descriptors are on their way.
    pub(crate) refusing: bool,
    /// How long other programs keep a worker that was woken from a processor, at the most.
    pub(crate) starving: Nanos,
    /// How long after a connection was taken its request comes, at the most.
    pub(crate) thinking: Nanos,
}

impl Floor {
    pub(crate) fn at(&mut self, delay: Nanos, event: Event) {
        self.event += 1;
        self.events
            .push(std::cmp::Reverse((self.now + delay, self.event, event)));
    }

    pub(crate) fn work(&mut self) -> Nanos {
        let typical = self.typical_work;
        if self.random.u64(..10) == 0 {
            typical * 20
        } else {
            typical / 2 + self.random.u64(..typical)
        }
    }

    /// Something was put into a channel: an idle worker sees it soon.
    pub(crate) fn wake(&mut self, id: MemberId) {
        let worker = &self.workers[&id];
        if worker.is_idle() && worker.runs_at.is_none() {
            let most = if self.starving > 0 && self.random.bool() {
                self.starving
            } else {
                50 * US
            };
            let delay = US + self.random.u64(..most);
            let at = self.now + delay;
            self.workers.get_mut(&id).expect("it was there").runs_at = Some(at);
            self.at(delay, Event::Loop(id));
        }
    }

    /// A worker is sent a request over a connection that it has taken.
    pub(crate) fn request(&mut self, id: MemberId, connection: Connection) {
        if self.workers.contains_key(&id) {
            self.wake(id);
            let worker = self.workers.get_mut(&id).expect("it was there before");
            worker.silent.remove(&connection);
            worker.taken.push_back(connection);
        }
    }

    /// The worker's loop turns.
    pub(crate) fn turn(&mut self, id: MemberId) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.stopped
            || worker.runs_at.is_some_and(|at| at > now)
            || worker.busy_until.is_some_and(|until| until > now)
        {
            return;
        }
        worker.runs_at = None;
        if worker.busy_until.is_some() && !worker.sleeps {
            worker.computed += now - worker.began;
        }
        let ended = match worker.busy_until.take() {
            Some(_) => worker.taken.pop_front(),
            None => None,
        };
        let took_something = worker.taken.is_empty() && !worker.channel.is_empty();
        if worker.taken.is_empty() {
            let took = !worker.channel.is_empty();
            let mut silent = Vec::new();
            while let Some(message) = worker.channel.pop_front() {
                if let Message::Connection(connection) = message {
                    if self.thinking > 0 {
                        worker.silent.insert(connection);
                        silent.push(connection);
                    } else {
                        worker.taken.push_back(connection);
                    }
                    self.sent_behind_work.remove(&connection);
                    let before = self.taken_by.insert(connection, id);
                    assert_eq!(before, None, "{connection} was given twice");
                }
            }
            let watched = worker.watched;
            for connection in silent {
                let delay = self.random.u64(..self.thinking);
                self.at(delay, Event::Request(id, connection));
            }
            if took && watched {
                let delay = US + self.random.u64(..100 * US);
                self.at(delay, Event::Taken(id));
            }
        }
        if let Some(ended) = ended
            && self.kept > 0
        {
            let delay = self.random.u64(..self.kept);
            self.at(delay, Event::Ended(ended));
        }
        let work = self.work();
        let worker = self.workers.get_mut(&id).expect("it was there before");
        if worker.taken.is_empty() {
            let since = worker.idle_since.filter(|_| !took_something);
            worker.idle_since = since.or(Some(now));
        } else {
            worker.idle_since = None;
            worker.began = now;
            worker.busy_until = Some(now + work);
            self.at(work, Event::Loop(id));
        }
    }
}

impl Floor {
    pub(crate) fn open_at(&self, id: MemberId) -> usize {
        self.open.values().filter(|member| **member == id).count()
    }

    /// A member gets a connection: it is not at its limit, and where that is the policy nobody
    /// has fewer that could have got it.
    pub(crate) fn check_open_counts(&self, member: MemberId) {
        let open = self.open_at(member);
        let limit = self.limit();
        assert!(open < limit, "{member:?} is over its limit");
        if self.settings.policy != ConnectionPolicy::LeastConn {
            return;
        }
        for (other, worker) in &self.workers {
            // One that was full may have room again; that is found out only now and then.
            let full = worker.dead
                || worker.channel.len() >= 32
                || worker.refused_at.is_some_and(|at| self.now - at < 2 * MS);
            let theirs = self.open_at(*other);
            assert!(
                theirs >= open || full,
                "{other:?} has {theirs} open, {member:?} {open}"
            );
        }
    }

    pub(crate) fn limit(&self) -> usize {
        let limit = self.settings.max_connections;
        limit.map_or(usize::MAX, NonZeroUsize::get)
    }
}

impl Channels for Floor {
    type Connection = Connection;

    fn look(&mut self, member: MemberId) -> Look {
        let worker = &self.workers[&member];
        if worker.blind {
            Look::Unknown
        } else if worker.is_idle() && worker.runs_at.is_some_and(|at| at > self.now) {
            Look::Running
        } else if worker.is_idle() || worker.stopped {
            Look::Waiting
        } else if worker.sleeps {
            Look::Away
        } else {
            Look::Running
        }
    }

    fn computed(&mut self, member: MemberId) -> Option<Nanos> {
        let worker = &self.workers[&member];
        let now = match worker.busy_until {
            Some(_) if !worker.sleeps && !worker.stopped => self.now - worker.began,
            _ => 0,
        };
        (!worker.blind).then_some(worker.computed + now)
    }

    fn last(&mut self, member: MemberId) -> Last {
        let worker = &self.workers[&member];
        let Some(last) = worker.last else {
            return Last::Unknown;
        };
        if worker.blind {
            return Last::Unknown;
        }
        // Another worker may have it by now, or none.
        let holder = self.taken_by.get(&last).and_then(|id| self.workers.get(id));
        match holder {
            None if self.taken_by.contains_key(&last) => Last::Read,
            None if self.thinking > 0 => Last::Silent,
            None => Last::Unread,
            Some(holder) => holder.state_of(last),
        }
    }

    fn untaken(&mut self, member: MemberId) -> Untaken {
        let channel = &self.workers[&member].channel;
        let probe = channel.contains(&Message::Probe);
        Untaken {
            connections: channel.len() - usize::from(probe),
            probe,
        }
    }

    fn send(&mut self, member: MemberId, connection: Connection) -> Result<(), Connection> {
        if self.refusing && self.random.u64(..500) == 0 {
            let worker = self.workers.get_mut(&member).expect("a member is alive");
            worker.refused_at = Some(self.now);
            return Err(connection);
        }
        self.check_open_counts(member);
        self.open.insert(connection, member);
        assert!(
            !self.taken_by.contains_key(&connection),
            "{connection} was given twice"
        );
        self.central.remove(&connection);
        if let Some(oldest) = self.central.first() {
            assert!(connection < *oldest, "{connection} overtook {oldest}");
        }
        let worker = self.workers.get_mut(&member).expect("a member is alive");
        worker.channel.push_back(Message::Connection(connection));
        worker.last = Some(connection);
        if worker.busy_until.is_some() && !worker.blind && !worker.stopped {
            self.sent_behind_work.insert(connection, self.now);
        }
        self.wake(member);
        Ok(())
    }

    fn take_back(&mut self, member: MemberId) -> Option<Connection> {
        let worker = self.workers.get_mut(&member)?;
        while let Some(message) = worker.channel.pop_front() {
            if let Message::Connection(connection) = message {
                worker.last = None;
                self.open.remove(&connection);
                self.sent_behind_work.remove(&connection);
                self.central.insert(connection);
                return Some(connection);
            }
        }
        None
    }

    fn probe(&mut self, member: MemberId) -> bool {
        let worker = self.workers.get_mut(&member).expect("a member is alive");
        if !worker.probes {
            return false;
        }
        assert!(
            !worker.channel.contains(&Message::Probe),
            "two probes in one channel"
        );
        worker.channel.push_back(Message::Probe);
        self.wake(member);
        true
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        self.workers
            .get_mut(&member)
            .expect("a member is alive")
            .watched = on;
        if on {
            // An epoll tells the present state once.
            self.at(US, Event::Taken(member));
        }
    }

    fn refuse(&mut self, connection: Connection, _why: Refusal) {
        assert!(
            self.central.remove(&connection),
            "{connection} was not ours"
        );
        self.refused += 1;
    }
}
