//! End-to-end tests: the real `maitred` before real runtimes, a real browser and real signals.
//!
//! One program, so that the themes share one harness; one file a theme. A test awaits events and
//! looks at effects. It never sleeps to wait, and never reads meaning out of log text, apart from
//! checking that a message names the thing that is wrong.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation anywhere in a test ends it"
)]

mod harness;

mod blocked;
mod browser;
mod chaos;
mod children;
mod clusters;
mod contended;
mod counts;
mod datagrams;
mod errors;
mod exact;
mod flags;
mod lifecycle;
mod listeners;
mod output;
mod own_ports;
mod programs;
mod resilience;
mod servers;
mod service;
