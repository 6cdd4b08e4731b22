//! The fake listener: whatever a program asks of it or does to it, it is told what a real one
//! would tell.

use crate::harness::beside_others;
use crate::victims;

/// The victim listens, closes, and listens again: once as the first worker at its address, and
/// once as one that finds it known already.
fn holds(arguments: &[&str]) {
    let _turn = beside_others();
    for mut run in victims::holds("fake_listener", arguments) {
        let lives = run
            .events()
            .iter()
            .filter(|event| event.is("listening"))
            .count();
        assert_eq!(lives, 2, "{}", run.story());
    }
}

#[test]
fn a_channel_passes_for_a_listener() {
    holds(&["4"]);
}

#[test]
fn a_channel_passes_for_a_listener_that_does_not_block() {
    holds(&["4", "nonblock"]);
}

#[test]
fn a_channel_passes_for_a_listener_of_both_families() {
    holds(&["6", "cloexec"]);
}

#[test]
fn a_channel_passes_for_a_listener_of_both_families_that_does_not_block() {
    holds(&["6", "nonblock", "cloexec"]);
}

/// What a program points to is read and written by the kernel, and not by the library.
#[test]
fn wild_pointers_are_answered_and_do_not_end_the_program() {
    let _turn = beside_others();
    crate::victims::holds("wild", &[]);
}
