//! How long connections wait, beside an ideal central queue that hands over in no time: arrivals at
//! random, from printed seeds. The way from the dispatcher to a worker and back costs time here: a
//! worker that ends a piece of work, and finds nothing in its channel, idles until the dispatcher
//! has heard of it and the next one has come. What is recalled pays the same way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use balance::{
    Balancer, Channels, Client, Last, Look, MemberId, Nanos, Policy, Refusal, Settings, Untaken,
};
use random::Random;

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;
const ARRIVALS: usize = 40_000;

/// The number of an arrival.
type Connection = usize;

#[derive(Clone, Copy)]
struct Arrival {
    at: Nanos,
    work: Nanos,
}

/// What workers do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// 5 ms, one in ten 100 ms, asleep: as in the tail benchmark.
    Mixed,
    /// The same, computing.
    Computing,
    /// A millisecond in the mean, exponentially distributed, asleep.
    Short,
}

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
    now: Nanos,
    /// From the dispatcher to a worker's loop, or back.
    way: Nanos,
    computes: bool,
    arrivals: Vec<Arrival>,
    workers: BTreeMap<MemberId, Worker>,
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    event: u64,
    latencies: Vec<Option<Nanos>>,
}

impl Floor {
    fn at(&mut self, delay: Nanos, event: Event) {
        self.event += 1;
        let entry = (self.now + delay, self.event, event);
        self.events.push(Reverse(entry));
    }

    fn worker(&mut self, id: MemberId) -> &mut Worker {
        self.workers.get_mut(&id).expect("no worker ends here")
    }

    fn wake(&mut self, id: MemberId) {
        let way = self.way;
        let worker = self.worker(id);
        if worker.working_on.is_none() && !worker.woken {
            worker.woken = true;
            self.at(way, Event::Wake(id));
        }
    }

    /// The worker's loop turns: it takes all that lies in its channel, and begins the next piece.
    fn turn(&mut self, id: MemberId) {
        let (now, way) = (self.now, self.way);
        let worker = self.worker(id);
        worker.woken = false;
        if let Some(done) = worker.working_on.take() {
            worker.computed += now - worker.began;
            let latency = now - self.arrivals[done].at;
            let before = self.latencies[done].replace(latency);
            assert_eq!(before, None, "{done} was served twice");
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
                self.at(way, Event::Taken(id));
            }
        }
        let worker = self.worker(id);
        worker.working_on = worker.taken.pop_front();
        if let Some(next) = worker.working_on {
            worker.began = now;
            let work = self.arrivals[next].work;
            self.at(work, Event::Done(id));
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
        let (now, computes) = (self.now, self.computes);
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
            self.at(US, Event::Taken(member));
        }
    }

    fn refuse(&mut self, _: Connection, _: Refusal) {
        // It is missed in the end: there is patience without end here.
    }
}

/// The latency of each arrival under the balancer, less the way to a worker that is free.
fn balanced(row: &Row, arrivals: &[Arrival]) -> Vec<f64> {
    let way = row.way * US;
    let mut balancer = Balancer::new(Settings {
        policy: Policy::NextAvailable,
        queue: usize::MAX,
        patience: Nanos::MAX,
        max_connections: None,
    });
    let mut floor = Floor {
        now: 0,
        way,
        computes: row.work == Work::Computing,
        arrivals: arrivals.to_vec(),
        workers: BTreeMap::new(),
        events: BinaryHeap::new(),
        event: 0,
        latencies: vec![None; arrivals.len()],
    };
    for id in (0..row.workers).map(MemberId) {
        floor.workers.insert(id, Worker::default());
        balancer.join(0, id, id.0, 0, &mut floor);
    }
    floor.at(arrivals[0].at, Event::Arrive(0));
    while let Some(Reverse((now, _, event))) = floor.events.pop() {
        floor.now = now;
        match event {
            Event::Arrive(number) => {
                let client = Client::unknown(number as u64);
                balancer.arrive(now, client, number, &mut floor);
                if let Some(next) = arrivals.get(number + 1) {
                    floor.at(next.at - now, Event::Arrive(number + 1));
                }
            }
            Event::Wake(id) => floor.turn(id),
            Event::Done(id) => {
                floor.turn(id);
                balancer.closed(now, id, &mut floor);
            }
            Event::Taken(id) => balancer.turned(now, id, &mut floor),
            Event::Tick => {}
        }
        if balancer.deadline().is_some_and(|at| at <= now) {
            balancer.tick(now, &mut floor);
        }
        // The next deadline is looked at when something happens, or when it is due.
        if let Some(at) = balancer.deadline()
            && floor
                .events
                .peek()
                .is_none_or(|Reverse((next, ..))| *next > at)
        {
            floor.at(at.saturating_sub(now), Event::Tick);
        }
    }
    let latencies = floor.latencies.iter();
    latencies
        .map(|latency| latency.expect("a connection was lost") as f64 - way as f64)
        .collect()
}

/// The same under one queue before all workers, with hand-over in no time.
fn ideal(row: &Row, arrivals: &[Arrival]) -> Vec<f64> {
    let mut free_at: BinaryHeap<_> = (0..row.workers).map(|_| Reverse(0)).collect();
    let serve = |arrival: &Arrival| {
        let Reverse(free) = free_at.pop().expect("there are workers");
        let done = arrival.at.max(free) + arrival.work;
        free_at.push(Reverse(done));
        (done - arrival.at) as f64
    };
    arrivals.iter().map(serve).collect()
}

fn arrivals(seed: u64, row: &Row) -> Vec<Arrival> {
    let mut random = Random::new(seed);
    let mean_work = match row.work {
        Work::Mixed | Work::Computing => 0.9 * 5.0 + 0.1 * 100.0,
        Work::Short => 1.0,
    };
    let mean_gap = mean_work * MS as f64 / (row.workers as f64 * row.load);
    let mut at = 0;
    let next = |_| {
        at += exponential(&mut random, mean_gap);
        let work = match row.work {
            Work::Mixed | Work::Computing if random.once_in(10) => 100 * MS,
            Work::Mixed | Work::Computing => 5 * MS,
            Work::Short => exponential(&mut random, MS as f64),
        };
        Arrival { at, work }
    };
    (0..ARRIVALS).map(next).collect()
}

fn exponential(random: &mut Random, mean: f64) -> Nanos {
    let share = (random.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64;
    (-share.ln() * mean) as Nanos
}

fn mean(latencies: &[f64]) -> f64 {
    latencies.iter().sum::<f64>() / latencies.len() as f64
}

fn quantile(latencies: &[f64], share: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted[at.min(sorted.len() - 1)]
}

/// A load, and what mean, 99th percentile and longest latency may be of the ideal's.
struct Row {
    work: Work,
    workers: u64,
    load: f64,
    /// Microseconds.
    way: Nanos,
    most: [f64; 3],
}

const fn row(work: Work, workers: u64, load: f64, way: Nanos, most: [f64; 3]) -> Row {
    Row {
        work,
        workers,
        load,
        way,
        most,
    }
}

/// All seeds are fixed, so the bounds are what is reached, rounded up.
const TABLE: [Row; 20] = [
    row(Work::Mixed, 8, 0.5, 50, [1.01, 1.01, 1.03]),
    row(Work::Mixed, 8, 0.7, 50, [1.01, 1.01, 1.01]),
    row(Work::Mixed, 8, 0.7, 150, [1.01, 1.01, 1.03]),
    row(Work::Mixed, 8, 0.9, 25, [1.01, 1.02, 1.01]),
    row(Work::Mixed, 8, 0.9, 50, [1.01, 1.02, 1.02]),
    row(Work::Mixed, 8, 0.9, 150, [1.03, 1.03, 1.06]),
    row(Work::Mixed, 8, 0.9, 300, [1.05, 1.04, 1.06]),
    row(Work::Mixed, 8, 0.95, 50, [1.02, 1.01, 1.04]),
    row(Work::Mixed, 8, 0.95, 150, [1.05, 1.03, 1.04]),
    row(Work::Computing, 8, 0.5, 50, [1.01, 1.01, 1.01]),
    row(Work::Computing, 8, 0.7, 50, [1.01, 1.01, 1.01]),
    row(Work::Computing, 8, 0.9, 50, [1.01, 1.02, 1.02]),
    row(Work::Computing, 8, 0.9, 150, [1.03, 1.03, 1.06]),
    row(Work::Short, 8, 0.7, 50, [1.04, 1.03, 1.01]),
    row(Work::Short, 8, 0.9, 25, [1.06, 1.09, 1.02]),
    row(Work::Short, 8, 0.9, 50, [1.12, 1.17, 2.03]),
    row(Work::Short, 8, 0.9, 100, [1.29, 1.38, 2.01]),
    row(Work::Short, 3, 0.7, 50, [1.04, 1.06, 1.24]),
    row(Work::Short, 3, 0.9, 50, [1.13, 1.25, 1.25]),
    row(Work::Mixed, 3, 0.9, 50, [1.02, 1.02, 1.02]),
];

#[test]
fn waiting_is_close_to_that_in_an_ideal_queue() {
    let mut failed = String::new();
    for row in &TABLE {
        for seed in [1, 2] {
            let arrivals = arrivals(seed, row);
            let (ours, best) = (balanced(row, &arrivals), ideal(row, &arrivals));
            let of = [
                mean(&ours) / mean(&best),
                quantile(&ours, 0.99) / quantile(&best, 0.99),
                quantile(&ours, 1.0) / quantile(&best, 1.0),
            ];
            if of.iter().zip(row.most).any(|(of, most)| *of > most) {
                failed += &format!(
                    "{:?} at {} workers, load {}, way {} us, seed {seed}: mean {:.3}, p99 {:.3}, \
                     longest {:.3} of the ideal's\n",
                    row.work, row.workers, row.load, row.way, of[0], of[1], of[2]
                );
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
