//! `per: request`, end to end: real runtimes behind maitred, and clients that show each byte.
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

#[path = "../../../http1/tests/cases/refused.rs"]
mod refused;

mod apps;
mod client;

mod access;
mod alpn;
mod balancing;
mod browser;
mod departure;
mod descriptors;
mod desync;
mod failures;
mod floods;
mod frames;
mod heirs;
mod helpers;
mod http2;
mod limits;
mod malformed;
mod messages;
mod streams;
mod tls;
mod tls_client;
mod upgrades;
