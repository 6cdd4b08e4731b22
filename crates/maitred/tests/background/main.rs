//! Apps in the background: what a supervisor does for them beside starting and stopping, seen
//! through the commands.
#![expect(
    clippy::unwrap_used,
    reason = "a broken expectation anywhere in a test ends it"
)]

mod harness;
mod identity;
mod logs;
mod messages;
mod renewal;
