//! The simulated world: clients that come, troubles that befall workers, and a dispatcher that takes
//! its turns.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::num::NonZeroUsize;

use balance::{Client, ConnectionBalancer, ConnectionPolicy, ConnectionSettings, MemberId, Nanos};
use fastrand::Rng;

use crate::floor::{Connection, Event, Floor, MS, US, Worker};

pub(crate) struct World {
    pub(crate) floor: Floor,
    pub(crate) balancer: ConnectionBalancer<Floor>,
    settings: ConnectionSettings,
    /// Connections that the kernel's backlog holds.
    backlog: u64,
    pub(crate) arrived: u64,
    to_arrive: u64,
    gap: Nanos,
    next_worker: u64,
    ticking: Option<Nanos>,
}

impl World {
    /// A world with everything in it that can happen.
    pub(crate) fn new(mut random: Rng) -> Self {
        let policy = match random.u64(..8) {
            0 => ConnectionPolicy::RoundRobin,
            1 => ConnectionPolicy::IpHash,
            2 => ConnectionPolicy::LeastConn,
            _ => ConnectionPolicy::NextAvailable,
        };
        let settings = ConnectionSettings {
            policy,
            queue: 1 + random.usize(..64),
            queue_timeout: if random.u64(..4) == 0 {
                20 * MS
            } else {
                60_000 * MS
            },
            max_connections: if random.u64(..4) == 0 {
                NonZeroUsize::new(1 + random.usize(..8))
            } else {
                None
            },
        };
        // From microseconds to tens of milliseconds.
        let typical_work = US << random.u64(..15);
        let workers = 1 + random.u64(..8);
        let load = 1 + random.u64(..12);
        let mut world = Self::empty(random, settings, typical_work);
        // The mean work is about three times the typical one.
        world.gap = (3 * typical_work * 10 / load / workers).max(1);
        world.floor.refusing = true;
        world.floor.kept = 1 + world.floor.random.u64(..10 * typical_work);
        world.to_arrive = 1 + world.floor.random.u64(..150);
        for _ in 0..workers {
            let delay = world.floor.random.u64(..MS);
            world.floor.at(delay, Event::Join);
        }
        world.floor.at(0, Event::Arrive);
        for trouble in [Event::Crash, Event::Stop] {
            for _ in 0..world.floor.random.u64(..3) {
                let delay = world.floor.random.u64(..world.gap * world.to_arrive);
                world.floor.at(delay, trouble);
            }
        }
        world
    }

    /// A world of idle workers that answer at once, for [`World::burst`].
    pub(crate) fn idle(random: Rng, policy: ConnectionPolicy, workers: u64) -> Self {
        let settings = ConnectionSettings {
            policy,
            queue: 1000,
            queue_timeout: 60_000 * MS,
            max_connections: None,
        };
        let mut world = Self::empty(random, settings, 200 * MS);
        for _ in 0..workers {
            world.join(false);
        }
        world
    }

    fn empty(random: Rng, settings: ConnectionSettings, typical_work: Nanos) -> Self {
        Self {
            floor: Floor {
                random,
                now: MS,
                workers: BTreeMap::new(),
                events: BinaryHeap::new(),
                event: 0,
                central: BTreeSet::new(),
                sent_behind_work: BTreeMap::new(),
                taken_by: BTreeMap::new(),
                open: BTreeMap::new(),
                kept: MS,
                refused: 0,
                typical_work,
                settings,
                refusing: false,
                starving: 0,
                thinking: 0,
            },
            balancer: ConnectionBalancer::new(settings),
            settings,
            backlog: 0,
            arrived: 0,
            to_arrive: 0,
            gap: MS,
            next_worker: 0,
            ticking: None,
        }
    }

    /// Lets so many connections arrive at once, and everything be done; the workers that had
    /// them.
    pub(crate) fn burst(&mut self, connections: u64) -> BTreeSet<MemberId> {
        let first = self.arrived;
        for _ in 0..connections {
            self.accept();
        }
        self.run();
        self.floor.now += self.floor.random.u64(..10 * MS);
        let served = self.floor.taken_by.range(first..);
        served.map(|(_, worker)| *worker).collect()
    }

    /// From now on other programs keep workers from their processors, and clients from theirs.
    pub(crate) fn starve(&mut self) {
        self.floor.starving = 50 * MS;
        self.floor.thinking = 40 * MS;
    }

    /// Lets so many connections arrive within some time, and everything be done; the workers that
    /// had them.
    pub(crate) fn burst_within(&mut self, within: Nanos, connections: u64) -> BTreeSet<MemberId> {
        let first = self.arrived;
        for _ in 0..connections {
            let next = self.floor.now + self.floor.random.u64(..within / connections);
            self.run_until(next);
            self.accept();
        }
        self.run();
        self.floor.now += self.floor.random.u64(..10 * MS);
        let served = self.floor.taken_by.range(first..);
        served.map(|(_, worker)| *worker).collect()
    }

    /// From now on clients send nothing for hours, and one worker is at work all the time.
    pub(crate) fn silence(&mut self) {
        self.floor.thinking = 3_600_000_000 * MS;
        let busy = self
            .floor
            .workers
            .keys()
            .next()
            .copied()
            .expect("there is one");
        let worker = self.floor.workers.get_mut(&busy).expect("it was there");
        worker.busy_until = Some(self.floor.now + 60_000 * MS);
        worker.taken.push_back(Connection::MAX);
    }

    /// Lets so many connections arrive at once; how long it takes until workers have taken all but
    /// those that lie behind the work of one.
    pub(crate) fn until_taken(&mut self, connections: u64) -> Nanos {
        let (began, first) = (self.floor.now, self.arrived);
        for _ in 0..connections {
            self.accept();
        }
        let workers = self.floor.workers.len() as u64;
        while (self.floor.taken_by.range(first..).count() as u64) + 32 < connections
            && workers > 1
            && self.floor.now < began + 1_000 * MS
        {
            self.run_until(self.floor.now + MS);
        }
        self.floor.now - began
    }

    /// From now on clients keep their connections.
    pub(crate) fn keep(&mut self) {
        self.floor.kept = 0;
    }

    /// One of the open connections ends.
    pub(crate) fn end_any(&mut self) {
        let count = self.floor.open.len() as u64;
        let nth = self.floor.random.u64(..count.max(1)) as usize;
        if let Some(connection) = self.floor.open.keys().nth(nth).copied() {
            self.end(connection);
        }
    }

    /// The fewest and the most connections that any worker has open.
    pub(crate) fn open(&self) -> (usize, usize) {
        let open = self.floor.workers.keys().map(|id| self.floor.open_at(*id));
        let (fewest, most) = (open.clone().min(), open.max());
        (fewest.unwrap_or(0), most.unwrap_or(0))
    }

    /// Lives until everything has ended well.
    pub(crate) fn live(mut self) {
        self.run();
        // Whoever was stopped goes on, and somebody is there to serve the rest.
        for id in self.floor.workers.keys().copied().collect::<Vec<_>>() {
            self.carry_on(id);
        }
        self.join(false);
        self.run();
        assert_eq!(self.balancer.waiting(), 0, "something waits for ever");
        let ended = self.floor.taken_by.len() as u64 + self.floor.refused;
        assert_eq!(ended, self.arrived, "a connection was lost");
        assert_eq!(self.balancer.refused(), self.floor.refused);
    }

    fn run(&mut self) {
        self.run_until(Nanos::MAX);
    }

    fn run_until(&mut self, end: Nanos) {
        while let Some(std::cmp::Reverse((at, _, event))) = self.floor.events.peek().copied()
            && at <= end
        {
            self.floor.events.pop();
            assert!(at >= self.floor.now);
            self.floor.now = at;
            self.happen(event);
            self.check();
            self.plan_tick();
            // Nothing but ticks for a worker that will never move again: the world stands still.
            if self.stands_still() {
                return;
            }
        }
        if end < Nanos::MAX {
            self.floor.now = end;
        }
    }

    fn plan_tick(&mut self) {
        if let Some(deadline) = self.balancer.deadline()
            && self.ticking.is_none_or(|ticking| ticking > deadline)
        {
            self.ticking = Some(deadline);
            let delay = deadline.saturating_sub(self.floor.now);
            self.floor.at(delay, Event::Tick);
        }
    }

    /// Whether only ticks are left, and nobody is there whom they could help.
    fn stands_still(&self) -> bool {
        let only_ticks = self
            .floor
            .events
            .iter()
            .all(|event| event.0.2 == Event::Tick);
        let nobody = self.floor.workers.values().all(|worker| worker.stopped);
        only_ticks && nobody && self.settings.queue_timeout > 1000 * MS
    }

    fn happen(&mut self, event: Event) {
        let now = self.floor.now;
        match event {
            Event::Arrive => {
                if self.to_arrive > 0 {
                    self.to_arrive -= 1;
                    self.accept();
                    // Now and then many at once.
                    let gap = if self.floor.random.u64(..3) == 0 {
                        0
                    } else {
                        self.floor.random.u64(..2 * self.gap)
                    };
                    self.floor.at(gap, Event::Arrive);
                }
            }
            Event::Loop(id) => self.floor.turn(id),
            Event::Request(id, connection) => self.floor.request(id, connection),
            Event::Taken(id) => self.balancer.turned(now, id, &mut self.floor),
            Event::Ended(connection) => self.end(connection),
            Event::Tick => {
                self.ticking = None;
                if self.balancer.deadline().is_some_and(|at| at <= now) {
                    self.balancer.tick(now, &mut self.floor);
                }
            }
            Event::Join => self.join(true),
            Event::Crash => self.crash(),
            Event::Stop => {
                if let Some(id) = self.any_worker() {
                    let worker = self.floor.workers.get_mut(&id).expect("it was picked");
                    worker.stopped = true;
                    worker.idle_since = None;
                    let delay = self.floor.random.u64(..100 * MS);
                    self.floor.at(delay, Event::Continue(id));
                }
            }
            Event::Continue(id) => self.carry_on(id),
        }
        while self.backlog > 0 && self.balancer.room() > 0 {
            self.backlog -= 1;
            self.hand_over();
        }
    }

    fn accept(&mut self) {
        if self.balancer.room() > 0 {
            self.hand_over();
        } else {
            self.backlog += 1;
        }
    }

    fn hand_over(&mut self) {
        let connection = self.arrived;
        self.arrived += 1;
        self.floor.central.insert(connection);
        let client = Client::unknown(self.floor.random.u64(..20));
        let now = self.floor.now;
        // In worlds with any trouble, some come back from workers that have more than others.
        if self.floor.refusing && self.floor.random.u8(..8) == 0 {
            self.balancer
                .arrive_idle(now, client, connection, &mut self.floor);
        } else {
            self.balancer
                .arrive(now, client, connection, &mut self.floor);
        }
        self.plan_tick();
    }

    /// A connection has ended.
    fn end(&mut self, connection: Connection) {
        if let Some(id) = self.floor.open.remove(&connection) {
            if self.floor.open_at(id) + 1 >= self.floor.limit()
                && let Some(worker) = self.floor.workers.get_mut(&id)
            {
                // Until now it could have no more.
                worker.idle_since = worker.idle_since.map(|_| self.floor.now);
            }
            self.balancer.ended(self.floor.now, id, &mut self.floor);
        }
    }

    fn join(&mut self, odd: bool) {
        let id = MemberId(self.next_worker);
        self.next_worker += 1;
        let worker = Worker::new(&mut self.floor.random, odd, self.floor.now);
        self.floor.workers.insert(id, worker);
        self.balancer
            .join(self.floor.now, id, id.0, 0, &mut self.floor);
    }

    /// A worker dies, and another takes its place after a while. What it had taken is answered no
    /// more; what it had not taken must not be lost.
    fn crash(&mut self) {
        if let Some(id) = self.any_worker() {
            let worker = self.floor.workers.get_mut(&id).expect("it was picked");
            worker.dead = true;
            self.balancer.leave(self.floor.now, id, &mut self.floor);
            let worker = self.floor.workers.remove(&id).expect("it was picked");
            assert!(worker.channel.is_empty(), "the channel was not emptied");
            self.floor.open.retain(|_, member| *member != id);
            let delay = self.floor.random.u64(..5 * MS);
            self.floor.at(delay, Event::Join);
        }
    }

    fn carry_on(&mut self, id: MemberId) {
        if let Some(worker) = self.floor.workers.get_mut(&id) {
            worker.stopped = false;
            self.floor.at(US, Event::Loop(id));
        }
    }

    fn any_worker(&mut self) -> Option<MemberId> {
        let count = self.floor.workers.len();
        let nth = self.floor.random.usize(..count.max(1));
        self.floor.workers.keys().nth(nth).copied()
    }
}
