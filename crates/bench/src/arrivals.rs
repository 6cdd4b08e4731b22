//! What the tail benchmark asks of every contender: Poisson arrivals, 90 % of
//! 5 ms and 10 % of 100 ms, each from one of many client addresses. One seed
//! fixes all of it, and a higher load only squeezes the same gaps.

use std::net::Ipv4Addr;

use fastrand::Rng;

const SHORT_MS: u32 = 5;
const LONG_MS: u32 = 100;
const LONG_SHARE: f64 = 0.1;

/// So many client addresses that a policy which pins each client to a worker
/// (`ip_hash`) still spreads them to within a few per cent.
const CLIENTS: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Nanoseconds after the start of the run.
    pub(crate) at: u64,
    pub(crate) service_ms: u32,
    pub(crate) client: Ipv4Addr,
}

impl Arrival {
    pub(crate) fn service(&self) -> u64 {
        u64::from(self.service_ms) * 1_000_000
    }
}

/// The mean service time in seconds.
pub(crate) fn mean_service() -> f64 {
    (f64::from(SHORT_MS) * (1.0 - LONG_SHARE) + f64::from(LONG_MS) * LONG_SHARE) / 1000.0
}

/// All arrivals within `seconds` at `load` (1 = all `workers` busy all the
/// time): load = rate × mean service ÷ workers.
pub(crate) fn poisson(seed: u64, load: f64, workers: usize, seconds: f64) -> Vec<Arrival> {
    let rate = load * workers as f64 / mean_service();
    let mut random = Rng::with_seed(seed);
    let mut at = 0.0;
    let mut arrivals = Vec::new();
    loop {
        at += exponential(&mut random) / rate;
        let service_ms = if random.f64() < LONG_SHARE {
            LONG_MS
        } else {
            SHORT_MS
        };
        let client = client(random.u64(..) % CLIENTS);
        if at >= seconds {
            return arrivals;
        }
        arrivals.push(Arrival {
            at: (at * 1e9) as u64,
            service_ms,
            client,
        });
    }
}

/// The n-th client: an address of its own in 127.1.0.0/16, whose last byte is
/// never 0 or 255. All of 127.0.0.0/8 is this machine.
fn client(n: u64) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250 + 1) as u8)
}

/// Exponential with mean 1: the gap between two arrivals of a Poisson process of rate 1.
fn exponential(random: &mut Rng) -> f64 {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    -(1.0 - random.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        assert_eq!(poisson(1, 0.7, 8, 5.0), poisson(1, 0.7, 8, 5.0));
        assert_ne!(poisson(1, 0.7, 8, 5.0), poisson(2, 0.7, 8, 5.0));
    }

    #[test]
    fn loads_share_sizes_and_clients() {
        let (half, full) = (poisson(1, 0.5, 8, 5.0), poisson(1, 1.0, 8, 5.0));
        assert!(half.len() < full.len());
        for (a, b) in half.iter().zip(&full) {
            assert_eq!((a.service_ms, a.client), (b.service_ms, b.client));
            assert!(a.at.abs_diff(b.at * 2) <= 2);
        }
    }

    #[test]
    fn offers_the_load_that_was_asked_for() {
        let seconds = 2000.0;
        let arrivals = poisson(3, 0.7, 8, seconds);
        let busy: f64 = arrivals.iter().map(|a| a.service() as f64 / 1e9).sum();
        let load = busy / (8.0 * seconds);
        assert!((load - 0.7).abs() < 0.01, "load {load}");
        assert!(arrivals.is_sorted_by_key(|a| a.at));
    }

    #[test]
    fn exponential_has_mean_and_variance_one() {
        let mut random = Rng::with_seed(7);
        let draws: Vec<f64> = (0..200_000).map(|_| exponential(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.03, "variance {variance}");
    }
}
