//! How long connections and requests wait, beside an ideal central queue that hands over in no time: arrivals at
//! random, from printed seeds. The way from the dispatcher to a worker and back costs time here: a
//! worker that ends a piece of work, and finds nothing in its channel, idles until the dispatcher
//! has heard of it and the next one has come. What is recalled pays the same way.

mod clock;
mod connections;
mod requests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use balance::Nanos;
use fastrand::Rng;

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;
const ARRIVALS: usize = 40_000;

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
    let mut random = Rng::with_seed(seed);
    let mean_work = match row.work {
        Work::Mixed | Work::Computing => 0.9 * 5.0 + 0.1 * 100.0,
        Work::Short => 1.0,
    };
    let mean_gap = mean_work * MS as f64 / (row.workers as f64 * row.load);
    let mut at = 0;
    let next = |_| {
        at += exponential(&mut random, mean_gap);
        let work = match row.work {
            Work::Mixed | Work::Computing if random.u64(..10) == 0 => 100 * MS,
            Work::Mixed | Work::Computing => 5 * MS,
            Work::Short => exponential(&mut random, MS as f64),
        };
        Arrival { at, work }
    };
    (0..ARRIVALS).map(next).collect()
}

fn exponential(random: &mut Rng, mean: f64) -> Nanos {
    let share = (random.u64(..1 << 53) + 1) as f64 / (1u64 << 53) as f64;
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
    /// Of connections, and of requests.
    most: [[f64; 3]; 2],
}

const fn row(
    work: Work,
    workers: u64,
    load: f64,
    way: Nanos,
    connections: [f64; 3],
    requests: [f64; 3],
) -> Row {
    Row {
        work,
        workers,
        load,
        way,
        most: [connections, requests],
    }
}

/// All seeds are fixed, so the bounds are what is reached, rounded up.
#[rustfmt::skip]
const TABLE: [Row; 20] = [
    row(Work::Mixed, 8, 0.5, 50, [1.01, 1.01, 1.08], [1.01, 1.01, 1.18]),
    row(Work::Mixed, 8, 0.7, 50, [1.01, 1.01, 1.06], [1.01, 1.01, 1.06]),
    row(Work::Mixed, 8, 0.7, 150, [1.01, 1.01, 1.21], [1.01, 1.01, 1.07]),
    row(Work::Mixed, 8, 0.9, 25, [1.01, 1.01, 1.02], [1.01, 1.01, 1.13]),
    row(Work::Mixed, 8, 0.9, 50, [1.01, 1.01, 1.03], [1.01, 1.02, 1.13]),
    row(Work::Mixed, 8, 0.9, 150, [1.01, 1.02, 1.01], [1.01, 1.01, 1.04]),
    row(Work::Mixed, 8, 0.9, 300, [1.01, 1.01, 1.01], [1.01, 1.02, 1.02]),
    row(Work::Mixed, 8, 0.95, 50, [1.01, 1.02, 1.01], [1.01, 1.02, 1.02]),
    row(Work::Mixed, 8, 0.95, 150, [1.01, 1.02, 1.04], [1.01, 1.01, 1.04]),
    row(Work::Computing, 8, 0.5, 50, [1.01, 1.01, 1.08], [1.01, 1.01, 1.18]),
    row(Work::Computing, 8, 0.7, 50, [1.01, 1.01, 1.06], [1.01, 1.01, 1.06]),
    row(Work::Computing, 8, 0.9, 50, [1.01, 1.02, 1.03], [1.01, 1.02, 1.13]),
    row(Work::Computing, 8, 0.9, 150, [1.01, 1.02, 1.01], [1.01, 1.01, 1.04]),
    row(Work::Short, 8, 0.7, 50, [1.04, 1.03, 1.01], [1.04, 1.03, 1.01]),
    row(Work::Short, 8, 0.9, 25, [1.04, 1.08, 1.20], [1.04, 1.08, 1.08]),
    row(Work::Short, 8, 0.9, 50, [1.09, 1.09, 1.21], [1.08, 1.09, 1.02]),
    row(Work::Short, 8, 0.9, 100, [1.19, 1.16, 1.27], [1.20, 1.18, 1.17]),
    row(Work::Short, 3, 0.7, 50, [1.03, 1.07, 1.18], [1.03, 1.06, 1.29]),
    row(Work::Short, 3, 0.9, 50, [1.07, 1.13, 1.46], [1.05, 1.05, 1.06]),
    row(Work::Mixed, 3, 0.9, 50, [1.01, 1.01, 1.04], [1.01, 1.01, 1.04]),
];

type Balanced = fn(&Row, &[Arrival]) -> Vec<f64>;

#[test]
fn waiting_is_close_to_that_in_an_ideal_queue() {
    let mut failed = String::new();
    let levels: [(&str, Balanced); 2] = [
        ("connections", connections::balanced),
        ("requests", requests::balanced),
    ];
    for row in &TABLE {
        for seed in [1, 2] {
            let arrivals = arrivals(seed, row);
            let best = ideal(row, &arrivals);
            for ((level, balanced), most) in levels.iter().zip(row.most) {
                let ours = balanced(row, &arrivals);
                let of = [
                    mean(&ours) / mean(&best),
                    quantile(&ours, 0.99) / quantile(&best, 0.99),
                    quantile(&ours, 1.0) / quantile(&best, 1.0),
                ];
                if of.iter().zip(most).any(|(of, most)| *of > most) {
                    failed += &format!(
                        "{level}: {:?} at {} workers, load {}, way {} us, seed {seed}: mean {:.3}, \
                         p99 {:.3}, longest {:.3} of the ideal's\n",
                        row.work, row.workers, row.load, row.way, of[0], of[1], of[2]
                    );
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
