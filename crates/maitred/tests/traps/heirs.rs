//! Heirs: processes that accept from a listener which another one has opened, or only hold it.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Place, visit, visits};
use crate::harness::{Process, beside_others};
use crate::victims::{COMPILERS, python_setup, setup, unharmed};

const WAYS: [&str; 3] = ["blocking", "polled", "mixed"];

/// Everybody is served by somebody, however that one accepts.
fn is_inherited(what: &str) {
    let _turn = beside_others();
    for compiler in COMPILERS {
        for way in WAYS {
            let mut run = setup(compiler, "heirs", &[what, way]).instances(1).start();
            run.listening(1);
            let who = visits(&Place::Port(run.port), 20);
            let who: BTreeSet<_> = who.into_iter().collect();
            assert_eq!(who.len(), 1, "{compiler} {way}: {who:?}\n{}", run.story());
            unharmed(&mut run);
        }
    }
}

#[test]
fn a_daemon_whose_parent_has_ended() {
    is_inherited("daemon");
}

#[test]
fn a_program_that_becomes_another_one() {
    is_inherited("exec");
}

#[test]
fn a_listener_that_is_passed_on() {
    is_inherited("passed");
}

#[test]
fn a_copy_of_the_descriptor() {
    is_inherited("copy");
}

/// The parent opens the listener for another program, and closes its own copy long before that one
/// has started.
#[test]
fn a_program_that_takes_long_to_start() {
    let _turn = beside_others();
    for way in WAYS {
        let mut run = setup("gcc", "heirs", &["slow", way]).instances(1).start();
        run.listening(1);
        visits(&Place::Port(run.port), 20);
        unharmed(&mut run);
    }
}

/// A helper that was forked has the listener, but accepts nothing: what is left of a dead worker
/// must not be taken for a worker.
#[test]
fn a_helper_that_holds_the_listener_gets_no_visitor() {
    let _turn = beside_others();
    for way in WAYS {
        let mut run = setup("gcc", "heirs", &["helper", way])
            .instances(1)
            .option("--restart-delay", "1")
            .start();
        let first = run.listening(1);
        let place = Place::Port(run.port);
        for _ in 0..3 {
            let worker = visit(&place).unwrap();
            let before = run.events().last().unwrap().clone();
            let worker = Process::find(worker).unwrap();
            kill_process(Pid::from_raw(worker.pid).unwrap(), Signal::KILL).unwrap();
            run.event_after(&before, "a new worker", |event| event.is("listening"));
            for pid in visits(&place, 20) {
                assert_ne!(pid, worker.pid);
            }
        }
        let refused = run.events().into_iter().find(|event| event.is("refused"));
        assert!(refused.is_none(), "{first:?} {}", run.story());
    }
}

/// Python's own servers, forked after they have opened their listener.
#[test]
fn children_with_a_selector_and_a_blocking_accept_in_python() {
    let _turn = beside_others();
    let mut run = python_setup("prefork.py").instances(1).start();
    run.listening(1);
    visits(&Place::Port(run.port), 40);
    unharmed(&mut run);
}
