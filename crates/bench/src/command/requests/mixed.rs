//! Mixed blocking work over a few connections that are kept alive, beside an
//! ideal central queue with the same arrivals.
//!
//! The arrivals are those of the tail benchmark. Each is sent over the first of
//! the connections that has nothing in flight, in the order in which they are
//! due, and its latency counts from that moment: a request that waits for a
//! connection waits as one does in a browser or behind a CDN.
//!
//! The ideal is under the same restriction. With at least as many connections as
//! workers it is the central queue itself: what would wait there waits for its
//! connection instead, in the same order, and by the time that a worker is free
//! so is a connection. With fewer, no more workers than connections can be busy,
//! and the others might as well not be there. The arrivals are as many as those
//! workers can bear.

use anyhow::{Result, bail};

use super::{Arguments, Sample};
use crate::arrivals::{Arrival, poisson};
use crate::contender::Running;
use crate::ideal;
use crate::load::open::{self, Connections, Outcome};
use crate::stats::{mean, percentile, sorted};
use crate::tree;

const FLOOR_LOAD: f64 = 0.03;

/// What a request takes beyond its work where nobody else is there, in
/// microseconds: the mean of those that were alone.
pub(super) fn floor(arguments: &Arguments, clients: u16, running: &Running) -> Result<f64> {
    let arrivals = poisson(
        arguments.seed,
        FLOOR_LOAD,
        servers(arguments, clients),
        arguments.floor_seconds,
    );
    let outcomes = send(running, &arrivals, clients)?;
    let alone: Vec<f64> = arrivals
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.alone)
        .filter_map(|(arrival, outcome)| Some(us(outcome.latency?) - us(arrival.service())))
        .collect();
    if alone.is_empty() {
        bail!("nobody arrives alone in so short a time; give more --floor-seconds");
    }
    Ok(mean(&alone))
}

pub(super) fn sample(
    arguments: &Arguments,
    round: u32,
    clients: u16,
    running: &Running,
    floor: f64,
) -> Result<Sample> {
    let servers = servers(arguments, clients);
    let arrivals = poisson(
        arguments.seed + u64::from(round),
        f64::from(arguments.load) / 100.0,
        servers,
        arguments.mixed_seconds,
    );
    if arrivals.is_empty() {
        bail!("nobody arrives in so short a time; give more --mixed-seconds");
    }
    let balancer = running.balancer();
    let before = tree::cpu_time(&balancer);
    let outcomes = send(running, &arrivals, clients)?;
    let used = tree::cpu_time(&balancer) - before;
    let latencies: Vec<f64> = outcomes
        .iter()
        .filter_map(|outcome| Some(us(outcome.latency?)))
        .collect();
    if latencies.is_empty() {
        bail!("nothing was answered");
    }
    let ideal: Vec<f64> = ideal::central_queue(&arrivals, servers)
        .into_iter()
        .map(us)
        .collect();
    let late: Vec<f64> = outcomes.iter().map(|outcome| us(outcome.late)).collect();
    let spoiled = percentile(&sorted(&late), 0.99) > open::LATE_MS * 1000.0;
    let in_order = sorted(&latencies);
    Ok(Sample {
        rate: latencies.len() as f64 / arguments.mixed_seconds,
        p50: percentile(&in_order, 0.5),
        p99: percentile(&in_order, 0.99),
        cpu: used.as_secs_f64() * 10_000.0 / latencies.len() as f64,
        errors: (outcomes.len() - latencies.len()) as u64,
        to_ideal: (!spoiled).then(|| (mean(&latencies) - floor) / mean(&ideal)),
    })
}

fn send(running: &Running, arrivals: &[Arrival], clients: u16) -> Result<Vec<Outcome>> {
    open::run(
        running.port,
        arrivals,
        "/work",
        Connections::Kept(clients.into()),
    )
}

/// How many workers can be busy at once.
fn servers(arguments: &Arguments, clients: u16) -> usize {
    arguments.common.workers.min(clients).into()
}

fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, VecDeque};

    /// Arrivals that need one of the connections, and then one of the workers, first come first
    /// served at both; in the order of events, by brute force.
    fn restricted(arrivals: &[Arrival], connections: usize, workers: usize) -> Vec<u64> {
        let mut latencies = vec![0; arrivals.len()];
        let (mut outside, mut inside) = (VecDeque::new(), VecDeque::new());
        let (mut held, mut busy) = (0, BTreeSet::new());
        let mut next = 0;
        while next < arrivals.len() || !busy.is_empty() {
            let arrival = arrivals.get(next).map(|arrival| arrival.at);
            let end = busy.first().copied();
            let now = match (arrival, end) {
                (Some(at), Some((end, _))) if at < end => at,
                (Some(at), None) => at,
                (_, Some((end, n))) => {
                    busy.remove(&(end, n));
                    held -= 1;
                    let done: &Arrival = &arrivals[n];
                    latencies[n] = end - done.at;
                    end
                }
                (None, None) => break,
            };
            while arrivals.get(next).is_some_and(|arrival| arrival.at <= now) {
                outside.push_back(next);
                next += 1;
            }
            while held < connections
                && let Some(n) = outside.pop_front()
            {
                held += 1;
                inside.push_back(n);
            }
            while busy.len() < workers
                && let Some(n) = inside.pop_front()
            {
                busy.insert((now + arrivals[n].service(), n));
            }
        }
        latencies
    }

    #[test]
    fn the_ideal_behind_connections_is_the_central_queue_of_those_that_can_be_busy() {
        for (connections, workers) in [(4, 3), (4, 8), (64, 3), (3, 3), (1, 2)] {
            let servers = connections.min(workers);
            let arrivals = poisson(5, 0.8, servers, 200.0);
            assert_eq!(
                restricted(&arrivals, connections, workers),
                ideal::central_queue(&arrivals, servers),
                "{connections} connections, {workers} workers"
            );
        }
    }
}
