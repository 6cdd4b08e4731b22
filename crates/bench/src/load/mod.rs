//! The load generators: each an epoll loop on one thread. The closed loop measures
//! throughput (so many connections, each with one request in flight), the open
//! loop latency (requests leave when they are due, whatever came back so far). Strict clients, a thread
//! each, count what a deploy loses.

pub(crate) mod clients;
pub(crate) mod closed;
pub(crate) mod open;
mod response;
pub(crate) mod slow;
mod socket;
pub(crate) mod strict;
