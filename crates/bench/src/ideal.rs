//! What no dispatcher can beat without knowing the sizes: one central queue,
//! first come first served, before all workers, with hand-over in no time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::arrivals::Arrival;

/// The latency of each arrival in nanoseconds. `arrivals` ascend in time.
pub(crate) fn central_queue(arrivals: &[Arrival], workers: usize) -> Vec<u64> {
    central_queue_with(arrivals, workers, 0)
}

/// The same for workers that need `own` nanoseconds of their own for each piece of work.
pub(crate) fn central_queue_with(arrivals: &[Arrival], workers: usize, own: u64) -> Vec<u64> {
    // When each worker is free again; the soonest on top.
    let mut free_at: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
    arrivals
        .iter()
        .map(|arrival| {
            let Reverse(free) = free_at.pop().unwrap_or(Reverse(0));
            let done = free.max(arrival.at) + arrival.service() + own;
            free_at.push(Reverse(done));
            done - arrival.at
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::{mean_service, poisson};
    use std::net::Ipv4Addr;

    const MS: u64 = 1_000_000;

    fn arrival(at_ms: u64, service_ms: u32) -> Arrival {
        Arrival {
            at: at_ms * MS,
            service_ms,
            client: Ipv4Addr::LOCALHOST,
        }
    }

    #[test]
    fn a_free_worker_serves_at_once_and_the_first_to_free_takes_the_next() {
        let arrivals = [
            arrival(0, 100),
            arrival(1, 5),
            arrival(2, 5),
            arrival(3, 5),
            arrival(50, 5),
        ];
        let latencies = central_queue(&arrivals, 2);
        // The second worker serves 1–6, 6–11 and 11–16 while the first is busy.
        assert_eq!(latencies, [100 * MS, 5 * MS, 9 * MS, 13 * MS, 5 * MS]);
    }

    #[test]
    fn one_worker_agrees_with_pollaczek_and_khinchine() {
        let (load, seconds) = (0.5, 200_000.0);
        let latencies = central_queue(&poisson(11, load, 1, seconds), 1);
        let mean = latencies.iter().map(|&l| l as f64 / 1e9).sum::<f64>() / latencies.len() as f64;
        let second_moment = 0.9 * 0.005f64.powi(2) + 0.1 * 0.1f64.powi(2);
        let wait = load / mean_service() * second_moment / (2.0 * (1.0 - load));
        let expected = mean_service() + wait;
        assert!(
            (mean / expected - 1.0).abs() < 0.02,
            "{mean} for {expected}"
        );
    }
}
