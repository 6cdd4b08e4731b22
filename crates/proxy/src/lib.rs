//! The proxy: it keeps the clients' connections, and gives each request to a worker by itself.
//!
//! One thread, edge-triggered events, no waiting. A request goes to its worker over a Unix socket
//! pair whose other end went down the worker's channel as a connection; such connections are kept
//! and used again. What is understood of HTTP is in the crate `http1`, whose turn it is in
//! `balance`; this crate reads, writes, and keeps time. It knows workers only by what [`Workers`]
//! offers.
//!
//! | module | what it holds |
//! |---|---|
//! | `proxy` | the proxy as the event loop calls it |
//! | `drive`, `ready` | the loop over clients, and which of them go on next |
//! | `downstream` | clients: their connections, HTTP/1.1, HTTP/2, TLS, the PROXY header |
//! | `exchange` | a request with its response, from its head to its end |
//! | `forward` | passing on: bodies, the response's head, tunnels |
//! | `upstream` | connections to workers: pools, hand-off, batches, taking back |
//! | `listener`, `detect` | what a listener counts, and what is spoken there |
//! | `limits`, `timeouts` | what a client may have, and how long it may take |
//! | `hand_over` | going on with the clients of another proxy, which this one replaces |
//! | `outcome` | what becomes of a request, for counters, reports and the access log |
//! | `link` | one connection: reading, and writing without waiting |
//!
//! The `mod.rs` of a folder holds what is kept, the files beside it what is done with that. A step
//! takes one `Client` and the parts of the `Context` that it needs; only what concerns several
//! clients takes the table of them.

#![forbid(unsafe_code)]

mod context;
mod detect;
mod downstream;
mod drive;
mod exchange;
mod forward;
mod hand_over;
mod io;
mod limits;
mod link;
mod listener;
mod membership;
mod outcome;
mod proxy;
mod questions;
mod ready;
mod settings;
mod slab;
#[cfg(test)]
mod tests;
mod timeouts;
mod upstream;
mod workers;

pub use downstream::peer::Peer;
pub use downstream::tls::Files;
pub use outcome::Report;
pub use proxy::Proxy;
pub use questions::Awaited;
pub use settings::Settings;
pub use upstream::connection::make as make_pair;
pub use workers::Workers;

/// In an epoll event's data, below its kind: whether it is about a connection to a worker.
const UPSTREAM: u64 = 1 << 55;

/// Whether an event with this number is about a connection to a worker.
pub fn is_upstream(number: u64) -> bool {
    number & UPSTREAM != 0
}
