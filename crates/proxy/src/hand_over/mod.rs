//! The proxy of a supervisor that is replaced, and that of its successor: what goes from one to the
//! other over a Unix socket (`wire::Moved`).
//!
//! Clients that speak HTTP/1.1 in clear text move, each as soon as nothing of it is in progress: its
//! connection, with what has been read from it and not been answered. Those that stay (TLS, HTTP/2,
//! tunnels, and requests that a worker has) are served to their end by the old proxy. It has no workers
//! any more: a request that still needs one goes to the successor as the worker's end of a connection, and
//! the successor places that like a request of its own.
//!
//! | module | whose | what |
//! |---|---|---|
//! | `successor` | the old proxy's | what is to be sent, and what becomes of it where no successor is left |
//! | `parting` | the old proxy's | clients that move |
//! | `predecessor` | the new proxy's | what comes |
//! | `adopted` | the new proxy's | requests that the old proxy has in progress |

pub(crate) mod adopted;
pub(crate) mod parting;
pub(crate) mod predecessor;
pub(crate) mod successor;

use balance::MemberId;

use crate::UPSTREAM;

/// What events about the two sockets carry: no client's key.
pub(crate) const SUCCESSOR: u64 = UPSTREAM - 1;
pub(crate) const PREDECESSOR: u64 = UPSTREAM - 2;

/// To the old proxy, all workers are this one.
pub(crate) const HEIR: MemberId = MemberId(u64::MAX);

/// So much that has been read from a client and not been answered moves with it: more than the largest head
/// that a config allows, and what is read beyond it.
const MOST_BYTES: usize = 20 << 20;
