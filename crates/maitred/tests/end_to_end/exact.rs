//! The promise: simultaneous requests go to different workers, in every round, in every runtime;
//! and `round_robin` deals strictly in turn.

use crate::harness::{Setup, alone, beside_others, deal, rounds, rounds_at_its_port};

// The piece of work has a fixed length, and a client that is kept from its processor for longer than
// that comes too late for its round: so these tests have the machine for themselves. `contended` plays
// beside other programs.

const WORKERS: usize = 3;

/// An app whose instances are the workers.
fn every_instance_answers_one(setup: Setup) {
    let _turn = alone();
    let setup = setup.instances(WORKERS).flag("--stats=1");
    let mut run = setup.limit(900).start();
    run.listening(WORKERS as u64);
    rounds_at_its_port(&mut run, WORKERS, rounds());
    run.no_worker_has_ended();
}

/// An app of one instance, whose children are the workers.
fn every_child_answers_one(setup: Setup) {
    let _turn = alone();
    let mut run = setup
        .instances(1)
        .flag("--stats=1")
        .env("WORKERS", WORKERS.to_string())
        .limit(900)
        .start();
    run.listening(WORKERS as u64);
    rounds_at_its_port(&mut run, WORKERS, rounds());
    run.no_worker_has_ended();
}

#[test]
fn bun_serve() {
    every_instance_answers_one(Setup::example("bun-serve/server.ts"));
}

#[test]
fn bun_http() {
    every_instance_answers_one(Setup::example("bun-http/server.ts"));
}

#[test]
fn bun_cluster() {
    every_child_answers_one(Setup::example("bun-cluster/server.ts"));
}

#[test]
fn bun_spawn() {
    every_child_answers_one(Setup::example("bun-spawn/server.ts"));
}

#[test]
fn node_http() {
    every_instance_answers_one(Setup::example("node-http/server.mjs"));
}

#[test]
fn node_cluster() {
    every_child_answers_one(Setup::example("node-cluster/server.mjs"));
}

#[test]
fn deno() {
    let setup = Setup::example("deno/server.ts").option("--interpreter", "deno");
    every_instance_answers_one(setup);
}

#[test]
fn python() {
    every_instance_answers_one(Setup::example("python/server.py"));
}

/// A thousand connections one after another, over four workers.
fn round_robin_deals_exactly(setup: Setup) {
    const CONNECTIONS: usize = 1000;
    let _turn = beside_others();
    let mut run = setup
        .instances(4)
        .option("--balance", "round_robin")
        .limit(600)
        .start();
    run.listening(4);
    let shares = deal(&run.door(), "/api?ms=0", CONNECTIONS);
    run.no_worker_has_ended();
    assert_eq!(
        shares.values().copied().collect::<Vec<_>>(),
        [CONNECTIONS / 4; 4],
        "{shares:?}"
    );
}

#[test]
fn round_robin_bun_serve() {
    round_robin_deals_exactly(Setup::example("bun-serve/server.ts"));
}

#[test]
fn round_robin_node_http() {
    round_robin_deals_exactly(Setup::example("node-http/server.mjs"));
}

#[test]
fn round_robin_deno() {
    let setup = Setup::example("deno/server.ts").option("--interpreter", "deno");
    round_robin_deals_exactly(setup);
}

#[test]
fn round_robin_python() {
    round_robin_deals_exactly(Setup::example("python/server.py"));
}
