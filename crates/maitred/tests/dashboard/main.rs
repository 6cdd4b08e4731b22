//! The dashboard: who gets an answer, what the API tells, and the page in a real browser.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation anywhere in a test ends it"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "shared with other test programs, which use more of it"
)]
#[path = "../end_to_end/harness/mod.rs"]
mod harness;
#[expect(
    dead_code,
    reason = "shared with the manager's tests, which use more of it"
)]
#[path = "../manager/home.rs"]
mod home;

mod server;

mod api;
mod bounds;
mod crowd;
mod page;
mod safety;
mod schema;
