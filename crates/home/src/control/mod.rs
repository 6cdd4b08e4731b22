//! The control socket: how the command line talks to a supervisor.
//!
//! One connection carries one request, as one line of JSON; the answer is a line for each thing
//! that happens on the way, and a last one that tells what came of it. Lines are bounded, the
//! other side's user is checked by both, and whoever does not know a request says so, with its
//! version: command line and supervisor need not be of the same one. What a version adds has a
//! default for reading, and what is not known is skipped.
//!
//! One request has no last line: who asks for events gets each as it happens. Such a caller takes none
//! of the places that commands need, and one that does not read loses events, and hears how many.

mod client;
mod messages;
mod server;
mod snapshot;
mod subscription;

pub use client::{Connection, Fault};
#[cfg(feature = "fuzzing")]
pub use messages::read_any_line;
pub use messages::{Happened, Refusal, Reply, Request};
pub use server::{Answer, Call, Outcome, Server};
pub use snapshot::{InstanceView, ListenerView, Snapshot, State};
pub use subscription::{Subscription, Told};

use rustix::net::sockopt;
use std::os::fd::AsFd;

/// The version of what is said here. A higher one may know more requests.
const PROTOCOL: u32 = 1;

/// No line may be longer: an environment is at most some 2 MB.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Whether the other side is the same user, or root.
fn is_trusted(socket: impl AsFd) -> bool {
    sockopt::socket_peercred(socket)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}
