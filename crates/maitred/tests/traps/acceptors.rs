//! How servers wait for connections: with and without blocking, level- and edge-triggered, before
//! and after they listen, in threads and in children.

use std::collections::BTreeSet;

use crate::client::{Place, Visit, visits};
use crate::harness::{Setup, alone, beside_others};
use crate::processor::computes;
use crate::victims::{COMPILERS, python_setup, reports, setup, unharmed};

const VISITS: usize = 40;

/// Every visit is answered, by workers that are all still the first ones.
fn serves(setup: Setup) {
    let mut run = setup.instances(2).start();
    run.listening(2);
    reports(&run, "both in their loops", 2);
    visits(&Place::Port(run.port), VISITS);
    unharmed(&mut run);
}

/// In C with both libraries.
fn serves_by(way: &str) {
    let _turn = beside_others();
    for compiler in COMPILERS {
        serves(setup(compiler, "acceptors", &[way]));
    }
}

fn serves_in_python_by(way: &str) {
    let _turn = beside_others();
    serves(python_setup("acceptors.py").argument(way));
}

#[test]
fn a_blocking_accept() {
    serves_by("blocking");
}

#[test]
fn a_blocking_accept_in_a_thread_of_its_own() {
    serves_by("thread");
}

#[test]
fn many_threads_that_block_in_accept() {
    serves_by("threads");
}

#[test]
fn an_accept_that_signals_interrupt() {
    serves_by("signals");
}

#[test]
fn an_accept_that_the_kernel_resumes_after_signals() {
    serves_by("restart");
}

#[test]
fn poll_and_accept() {
    serves_by("poll");
}

#[test]
fn select_and_accept() {
    serves_by("select");
}

#[test]
fn a_level_triggered_epoll() {
    serves_by("level");
}

#[test]
fn an_edge_triggered_epoll() {
    serves_by("edge");
}

/// A listener is never writable; a channel must not be, either.
#[test]
fn an_edge_triggered_epoll_that_asks_for_everything() {
    serves_by("edge-both");
}

#[test]
fn a_one_shot_epoll() {
    serves_by("oneshot");
}

#[test]
fn exclusive_epolls_in_several_threads() {
    serves_by("exclusive");
}

#[test]
fn registered_level_triggered_before_it_listens() {
    serves_by("level-before");
}

#[test]
fn registered_edge_triggered_before_it_listens() {
    serves_by("edge-before");
}

#[test]
fn all_calls_by_number() {
    serves_by("number");
}

#[test]
fn asyncio_streams_in_python() {
    serves_in_python_by("asyncio");
}

#[test]
fn asyncio_with_a_socket_of_its_own_in_python() {
    serves_in_python_by("sockets");
}

#[test]
fn a_selector_that_knows_the_socket_before_it_listens_in_python() {
    serves_in_python_by("selector");
}

#[test]
fn an_accept_with_a_time_limit_in_python() {
    serves_in_python_by("timeout");
}

#[test]
fn a_thread_for_each_connection_in_python() {
    serves_in_python_by("threads");
}

/// The child closes its copy of the listener.
#[test]
fn a_child_for_each_connection_in_python() {
    serves_in_python_by("forks");
}

/// Visitors stay, and whoever is not busy with one takes the next one.
fn takes_at_once(way: &str, count: usize, processes: usize) {
    let _turn = beside_others();
    let mut run = setup("gcc", "holders", &[way]).instances(1).start();
    run.listening(1);
    let place = Place::Port(run.port);
    for round in 0..10 {
        let mut inside = Vec::new();
        let mut who = BTreeSet::new();
        for number in 0..count {
            let mut visit = Visit::begin(&place).unwrap();
            match visit.answer() {
                Ok(pid) => who.insert(pid),
                Err(error) => panic!(
                    "round {round}: no answer for visit {number} of {count}: {error}\n{}",
                    run.story()
                ),
            };
            inside.push(visit);
        }
        assert_eq!(who.len(), processes, "round {round}: {who:?}");
    }
    unharmed(&mut run);
}

/// While one thread is busy the other one is free, whatever the kernel tells of the first.
#[test]
fn a_thread_that_is_free_is_not_taken_for_one_that_is_busy() {
    takes_at_once("threads", 2, 1);
}

#[test]
fn children_that_inherited_the_listener_block_in_accept() {
    takes_at_once("forked", 3, 3);
}

#[test]
fn children_that_inherited_the_listener_poll_it() {
    takes_at_once("forked-polled", 3, 3);
}

/// Neither the worker nor the supervisor has anything to do while nobody comes, whatever a loop
/// has asked the kernel to be told of.
#[test]
fn nobody_computes_while_nobody_comes() {
    let _turn = alone();
    for way in ["level", "level-before", "select", "poll", "signals"] {
        let mut run = setup("gcc", "acceptors", &[way]).instances(2).start();
        let worker = run.listening(2).pid();
        visits(&Place::Port(run.port), 4);
        let supervisor = crate::harness::children_of(run.pid())[0];
        for pid in [worker, supervisor] {
            let computed = computes(pid);
            assert!(computed < 0.2, "{way}: {pid} computed {computed} s of 0.5");
        }
    }
}
