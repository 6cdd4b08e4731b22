//! Requests: each goes to a worker over a pair that is open already, at once, or down its channel,
//! where it is staged until the worker's loop comes back. That it is over is heard by its response.

use std::collections::{BTreeMap, VecDeque};

use balance::{
    Arrival as Request, Client, Look, Loops, MemberId, Nanos, Next, Placed, RequestBalancer,
    RequestPolicy, RequestSettings, Ticket,
};

use super::clock::{Clock, Latencies};
use super::{Arrival, MS, Row, US, Work};

/// The number of an arrival.
type Number = usize;

/// What a worker was sent counts as seen by a loop that has waited for so long.
const HEEDED: Nanos = 2 * MS;

#[derive(Default)]
struct Worker {
    /// What is staged, and whether a probe lies in the channel.
    staged: Option<Number>,
    probe: bool,
    /// What it was sent or has taken, and has not read.
    unread: VecDeque<Number>,
    /// When it was last sent something.
    asked_at: Nanos,
    working_on: Option<Number>,
    woken: bool,
    watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(Number),
    Wake(MemberId),
    Done(MemberId),
    Ended(MemberId),
    Taken(MemberId),
    Tick,
}

/// What the balancer sees.
struct Floor {
    clock: Clock<Event>,
    /// From the proxy to a worker's loop, or back.
    way: Nanos,
    computes: bool,
    since: Vec<Nanos>,
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

    fn send(&mut self, id: MemberId, number: Number) {
        let now = self.clock.now;
        let worker = self.worker(id);
        worker.unread.push_back(number);
        worker.asked_at = now;
        self.wake(id);
    }

    /// The worker's loop turns: it takes what lies in its channel, and begins the next piece.
    fn turn(&mut self, id: MemberId) {
        let (now, way) = (self.clock.now, self.way);
        let worker = self.worker(id);
        worker.woken = false;
        if let Some(done) = worker.working_on.take() {
            self.latencies.done(done, now);
            self.clock.after(way, Event::Ended(id));
        }
        let worker = self.worker(id);
        if worker.unread.is_empty() {
            let took = worker.probe || worker.staged.is_some();
            worker.probe = false;
            worker.unread.extend(worker.staged.take());
            if took && worker.watched {
                self.clock.after(way, Event::Taken(id));
            }
        }
        let worker = self.worker(id);
        worker.working_on = worker.unread.pop_front();
        if let Some(next) = worker.working_on {
            let work = self.latencies.work(next);
            self.clock.after(work, Event::Done(id));
        }
    }

    fn request(number: Number) -> Request {
        Request {
            ticket: Ticket(number as u64),
            client: Client::unknown(number as u64),
            wants: None,
            failed: None,
        }
    }

    /// Does what the balancer wants, until it wants nothing more.
    fn place(&mut self, balancer: &mut RequestBalancer) {
        while let Some(step) = balancer.next(self.clock.now, self) {
            match step {
                Next::Give(request, id) => self.send(id, request.ticket.0 as usize),
                Next::Stage(request, id) => {
                    let number = request.ticket.0 as usize;
                    let before = self.worker(id).staged.replace(number);
                    assert_eq!(before, None, "two are staged");
                    self.wake(id);
                }
                Next::Recall(id) => match self.worker(id).staged.take() {
                    Some(number) => {
                        let (now, since) = (self.clock.now, self.since[number]);
                        balancer.taken_back(now, id, Self::request(number), since);
                    }
                    None => self.taken(balancer, id),
                },
            }
        }
    }

    fn taken(&mut self, balancer: &mut RequestBalancer, id: MemberId) {
        let now = self.clock.now;
        if balancer.taken(now, id).is_some() {
            self.worker(id).asked_at = now;
        }
    }
}

impl Loops for Floor {
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

    fn unread(&mut self, member: MemberId) -> bool {
        let now = self.clock.now;
        let worker = self.worker(member);
        !worker.unread.is_empty() && now < worker.asked_at + HEEDED
    }

    fn is_staged(&mut self, member: MemberId) -> bool {
        self.worker(member).staged.is_some()
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.worker(member).probe = true;
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
}

/// The latency of each request under the balancer, less the way to a worker that is free.
pub(super) fn balanced(row: &Row, arrivals: &[Arrival]) -> Vec<f64> {
    let way = row.way * US;
    let mut balancer = RequestBalancer::new(RequestSettings {
        policy: RequestPolicy::NextAvailable,
        max_concurrency: usize::MAX,
        queue: usize::MAX,
        queue_timeout: Nanos::MAX,
    });
    let mut floor = Floor {
        clock: Clock::new(),
        way,
        computes: row.work == Work::Computing,
        since: arrivals.iter().map(|arrival| arrival.at).collect(),
        workers: BTreeMap::new(),
        latencies: Latencies::of(arrivals),
    };
    for id in (0..row.workers).map(MemberId) {
        floor.workers.insert(id, Worker::default());
        balancer.join(id, id.0);
    }
    floor.clock.after(arrivals[0].at, Event::Arrive(0));
    while let Some(event) = floor.clock.next() {
        let now = floor.clock.now;
        match event {
            Event::Arrive(number) => {
                match balancer.arrive(now, Floor::request(number), &mut floor) {
                    Placed::At(id) => floor.send(id, number),
                    placed => assert_eq!(placed, Placed::Waits, "the queue has no end"),
                }
                if let Some(next) = arrivals.get(number + 1) {
                    floor.clock.after(next.at - now, Event::Arrive(number + 1));
                }
            }
            Event::Wake(id) | Event::Done(id) => floor.turn(id),
            Event::Ended(id) => balancer.ended(now, id),
            Event::Taken(id) => {
                if balancer.turned(now, id, &mut floor).is_some() {
                    floor.worker(id).asked_at = now;
                }
            }
            Event::Tick => {}
        }
        let due = balancer.deadline().is_some_and(|at| at <= now);
        if due || !matches!(event, Event::Wake(_) | Event::Done(_)) {
            floor.place(&mut balancer);
        }
        floor.clock.wake_by(balancer.deadline(), Event::Tick);
    }
    floor.latencies.less(way)
}
