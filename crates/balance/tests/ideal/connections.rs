//! Connections: each goes to a worker whole, down its channel.

use std::collections::{BTreeMap, VecDeque};

use balance::{
    Channels, Client, ConnectionBalancer, ConnectionPolicy, ConnectionSettings, Last, Look,
    MemberId, Nanos, Refusal, Untaken,
};

use super::clock::{Clock, Latencies};
use super::{Arrival, Row, US, Work};

/// The number of an arrival.
type Connection = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Connection(Connection),
    Probe,
}

#[derive(Default)]
struct Worker {
    /// What it had computed before its present piece of work, and when that began.
    computed: Nanos,
    began: Nanos,
    channel: VecDeque<Message>,
    taken: VecDeque<Connection>,
    working_on: Option<Connection>,
    woken: bool,
    watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(Connection),
    Wake(MemberId),
    Done(MemberId),
    Taken(MemberId),
    Tick,
}

/// What the balancer sees and does.
struct Floor {
    clock: Clock<Event>,
    /// From the dispatcher to a worker's loop, or back.
    way: Nanos,
    computes: bool,
    workers: BTreeMap<MemberId, Worker>,
    latencies: Latencies,
}

impl Floor {
    fn worker(&mut self, id: MemberId) -> &mut Worker {
        self.workers.get_mut(&id).expect("no worker ends here")
    }

    fn wake(&mut self, id: MemberId) {
        let way = self.way;
        let worker = self.worker(id);
        if worker.working_on.is_none() && !worker.woken {
            worker.woken = true;
            self.clock.after(way, Event::Wake(id));
        }
    }

    /// The worker's loop turns: it takes all that lies in its channel, and begins the next piece.
    fn turn(&mut self, id: MemberId) {
        let (now, way) = (self.clock.now, self.way);
        let worker = self.worker(id);
        worker.woken = false;
        if let Some(done) = worker.working_on.take() {
            worker.computed += now - worker.began;
            self.latencies.done(done, now);
        }
        let worker = self.worker(id);
        if worker.taken.is_empty() {
            let took = !worker.channel.is_empty();
            while let Some(message) = worker.channel.pop_front() {
                if let Message::Connection(connection) = message {
                    worker.taken.push_back(connection);
                }
            }
            if took && worker.watched {
                self.clock.after(way, Event::Taken(id));
            }
        }
        let worker = self.worker(id);
        worker.working_on = worker.taken.pop_front();
        if let Some(next) = worker.working_on {
            worker.began = now;
            let work = self.latencies.work(next);
            self.clock.after(work, Event::Done(id));
        }
    }
}

impl Channels for Floor {
    type Connection = Connection;

    fn look(&mut self, member: MemberId) -> Look {
        let computes = self.computes;
        let worker = self.worker(member);
        match worker.working_on {
            Some(_) if computes => Look::Running,
            Some(_) => Look::Away,
            None if worker.woken => Look::Running,
            None => Look::Waiting,
        }
    }

    fn computed(&mut self, member: MemberId) -> Option<Nanos> {
        let (now, computes) = (self.clock.now, self.computes);
        let worker = self.worker(member);
        let present = worker.working_on.map_or(0, |_| now - worker.began);
        Some(if computes {
            worker.computed + present
        } else {
            0
        })
    }

    fn last(&mut self, member: MemberId) -> Last {
        match self.worker(member).taken.is_empty() {
            true => Last::Read,
            false => Last::Unread,
        }
    }

    fn untaken(&mut self, member: MemberId) -> Untaken {
        let channel = &self.worker(member).channel;
        let probe = channel.contains(&Message::Probe);
        Untaken {
            connections: channel.len() - usize::from(probe),
            probe,
        }
    }

    fn send(&mut self, member: MemberId, connection: Connection) -> Result<(), Connection> {
        let message = Message::Connection(connection);
        self.worker(member).channel.push_back(message);
        self.wake(member);
        Ok(())
    }

    fn take_back(&mut self, member: MemberId) -> Option<Connection> {
        while let Some(message) = self.worker(member).channel.pop_front() {
            if let Message::Connection(connection) = message {
                return Some(connection);
            }
        }
        None
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.worker(member).channel.push_back(Message::Probe);
        self.wake(member);
        true
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        self.worker(member).watched = on;
        if on {
            // An epoll tells the present state once.
            self.clock.after(US, Event::Taken(member));
        }
    }

    fn refuse(&mut self, _: Connection, _: Refusal) {
        // It is missed in the end: there is patience without end here.
    }
}

/// The latency of each arrival under the balancer, less the way to a worker that is free.
pub(super) fn balanced(row: &Row, arrivals: &[Arrival]) -> Vec<f64> {
    let way = row.way * US;
    let mut balancer = ConnectionBalancer::new(ConnectionSettings {
        policy: ConnectionPolicy::NextAvailable,
        queue: usize::MAX,
        queue_timeout: Nanos::MAX,
        max_connections: None,
    });
    let mut floor = Floor {
        clock: Clock::new(),
        way,
        computes: row.work == Work::Computing,
        workers: BTreeMap::new(),
        latencies: Latencies::of(arrivals),
    };
    for id in (0..row.workers).map(MemberId) {
        floor.workers.insert(id, Worker::default());
        balancer.join(0, id, id.0, 0, &mut floor);
    }
    floor.clock.after(arrivals[0].at, Event::Arrive(0));
    while let Some(event) = floor.clock.next() {
        let now = floor.clock.now;
        match event {
            Event::Arrive(number) => {
                let client = Client::unknown(number as u64);
                balancer.arrive(now, client, number, &mut floor);
                if let Some(next) = arrivals.get(number + 1) {
                    floor.clock.after(next.at - now, Event::Arrive(number + 1));
                }
            }
            Event::Wake(id) => floor.turn(id),
            Event::Done(id) => {
                floor.turn(id);
                balancer.ended(now, id, &mut floor);
            }
            Event::Taken(id) => balancer.turned(now, id, &mut floor),
            Event::Tick => {}
        }
        if balancer.deadline().is_some_and(|at| at <= now) {
            balancer.tick(now, &mut floor);
        }
        floor.clock.wake_by(balancer.deadline(), Event::Tick);
    }
    floor.latencies.less(way)
}
