//! A day of arrivals, slow requests, crashes and stops in a moment: the balancer in a simulated
//! world, from many seeds. After every event the invariants are checked.
//!
//! A seed that fails is printed; `SIMULATION_SEED=n cargo test -p balance` runs it alone.

mod floor;
mod invariants;
mod world;

use fastrand::Rng;
use floor::MS;
use world::World;

/// How many worlds are lived through.
const SEEDS: u64 = 50_000;

#[test]
fn invariants_hold_in_every_world() {
    let seeds = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SIMULATION_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=SEEDS,
    };
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| World::new(Rng::with_seed(seed)).live());
        if let Err(panic) = lived {
            eprintln!("SIMULATION_SEED={seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn simultaneous_connections_go_to_different_free_workers() {
    for seed in 1..=500 {
        let mut random = Rng::with_seed(seed);
        let workers = random.u64(..16) + 1;
        for policy in [
            balance::ConnectionPolicy::NextAvailable,
            balance::ConnectionPolicy::RoundRobin,
        ] {
            let mut world = World::idle(Rng::with_seed(seed), policy, workers);
            for _ in 0..20 {
                let served = world.burst(workers);
                assert_eq!(served.len() as u64, workers, "seed {seed}, {policy:?}");
            }
        }
    }
}

/// Workers wait for a processor before they take what they were sent, and clients before they ask:
/// what is late is not blocked, and what waits for its client has its share.
#[test]
fn simultaneous_connections_go_to_different_workers_on_a_busy_machine() {
    for seed in 1..=500 {
        let mut random = Rng::with_seed(seed);
        let workers = random.u64(..8) + 1;
        for policy in [
            balance::ConnectionPolicy::NextAvailable,
            balance::ConnectionPolicy::RoundRobin,
            balance::ConnectionPolicy::LeastConn,
        ] {
            let mut world = World::idle(Rng::with_seed(seed), policy, workers);
            world.starve();
            for round in 0..20 {
                let served = world.burst_within(60 * MS, workers);
                assert_eq!(
                    served.len() as u64,
                    workers,
                    "seed {seed}, {policy:?}, round {round}"
                );
            }
        }
    }
}

/// Many clients connect, and send nothing. They must not keep the workers from others.
#[test]
fn silent_clients_hold_nobody_up() {
    for seed in 1..=200 {
        let mut random = Rng::with_seed(seed);
        let workers = random.u64(..8) + 1;
        let mut world = World::idle(
            Rng::with_seed(seed),
            balance::ConnectionPolicy::NextAvailable,
            workers,
        );
        world.silence();
        let took = world.until_taken(200 * workers);
        assert!(took <= 60 * MS, "seed {seed}, {workers} workers: {took} ns");
    }
}

#[test]
fn rotation_is_exact() {
    let mut world = World::idle(Rng::with_seed(1), balance::ConnectionPolicy::RoundRobin, 4);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..1000 {
        for worker in world.burst(1) {
            *counts.entry(worker).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [250; 4]);
}

#[test]
fn kept_connections_spread_evenly_also_after_some_have_ended() {
    for seed in 1..=500 {
        let mut random = Rng::with_seed(seed);
        let workers = random.u64(..4) + 1;
        for policy in [
            balance::ConnectionPolicy::NextAvailable,
            balance::ConnectionPolicy::LeastConn,
        ] {
            let mut world = World::idle(Rng::with_seed(seed), policy, workers);
            world.keep();
            for opened in 1..=10 * workers {
                world.burst(1);
                let (fewest, most) = world.open();
                assert!(
                    most - fewest <= 1,
                    "seed {seed}, {policy:?}, {opened} opened"
                );
            }
            // Whatever has ended, those that come fill it up again.
            for _ in 0..5 * workers {
                world.end_any();
            }
            for _ in 0..5 * workers {
                world.burst(1);
            }
            let (fewest, most) = world.open();
            assert_eq!((fewest, most), (10, 10), "seed {seed}, {policy:?}");
        }
    }
}
