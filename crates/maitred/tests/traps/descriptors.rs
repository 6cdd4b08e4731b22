//! Descriptors: how a listener ends, what its number serves afterwards, and what happens when a
//! process may have no more of them.

use crate::client::{Place, Visit, visits};
use crate::harness::beside_others;
use crate::victims::{holds, reports, setup};

/// Closed by a function or by number, seen by the library or not, replaced by another descriptor,
/// or left behind by a program that became another one: neither the number nor the port remembers
/// anything.
#[test]
fn a_number_that_served_a_listener_serves_anything_else() {
    let _turn = beside_others();
    holds("reuse", &[]);
}

#[test]
fn a_listener_that_is_shut_down_wakes_who_waits_for_it() {
    let _turn = beside_others();
    holds("shutdown", &[]);
}

/// At its limit a worker is told so by accept, and no connection is lost: who is not taken waits.
fn loses_nobody_at_its_limit(way: &str) {
    const VISITORS: usize = 70;
    let _turn = beside_others();
    let mut run = setup("gcc", "full", &[way]).instances(1).start();
    let worker = run.listening(1).pid();
    let place = Place::Port(run.port);
    let mut waiting: Vec<Visit> = (0..VISITORS)
        .map(|_| Visit::begin(&place).unwrap())
        .collect();

    let told = reports(&run, "a worker that is full", 1);
    let room: usize = told[0].strip_prefix("full with ").unwrap().parse().unwrap();
    assert!((16..32).contains(&room), "{told:?}");
    while !waiting.is_empty() {
        // Those who are in, leave, and as many others get in.
        let rest = waiting.split_off(room.min(waiting.len()));
        for visit in &mut waiting {
            assert_eq!(visit.answer().unwrap(), worker, "{}", run.story());
        }
        waiting = rest;
    }
    assert!(
        !run.events().iter().any(|event| event.is("exited")),
        "{}",
        run.story()
    );
}

#[test]
fn a_worker_at_its_descriptor_limit_loses_nobody() {
    loses_nobody_at_its_limit("polled");
}

#[test]
fn a_worker_with_a_blocking_listener_at_its_descriptor_limit_loses_nobody() {
    loses_nobody_at_its_limit("blocking");
}

/// What does not fit into the library's table is the program's own affair.
#[test]
fn more_listeners_than_the_library_remembers() {
    use crate::harness::free_port;
    let _turn = beside_others();
    let ports: Vec<u16> = (0..300).map(|_| free_port()).collect();
    let words: Vec<String> = ports.iter().map(u16::to_string).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = setup("gcc", "ports", &words).instances(1).start();
    reports(&run, "a worker that listens", 1);
    for port in ports {
        visits(&Place::Port(port), 2);
    }
}
