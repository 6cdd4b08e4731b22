//! The traps: what programs do with listening sockets that a library in their way may get wrong.
//!
//! Small programs (`tests/victims`) walk into one trap each, and the tests see that what happens
//! then is what would have happened without maitred. Many of them run without it first, which
//! shows that the expectation itself is true. Where the supervisor has to misbehave, the test
//! plays the supervisor ([`scripted`]).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation anywhere in a test ends it"
)]

#[path = "../end_to_end/harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with the end-to-end tests, which use all of it"
)]
mod harness;

mod agent;
mod client;
mod processor;
mod pulse;
mod scripted;
mod victims;
mod watch;

mod acceptors;
mod addresses;
mod compromised;
mod deaths;
mod descriptors;
mod door;
mod fake_listener;
mod give_back;
mod guests;
mod heirs;
mod library;
mod out_of_sight;
mod parked;
