//! The messages between the preload library in a worker and the supervisor.
//!
//! Two conversations share this crate. On the *door*, a Unix SEQPACKET socket, the library asks
//! one [`Request`] for each connection and reads one [`Reply`]; file descriptors travel beside
//! them. On a *channel*, the socket that stands in for a worker's listener, the supervisor sends
//! [`Handoff`]s; over a socket of its own the library gives connections back, each with what has
//! [`Passed`] over it. A supervisor that is replaced tells its successor what has [`Moved`]. All other messages
//! have a fixed size, so that a reader needs no allocation and can refuse whatever has another length. Both sides run on one machine: integers are in its order.

#![no_std]
#![forbid(unsafe_code)]

use core::time::Duration;

mod address;
mod door;
mod handoff;
mod moved;
mod pair;
mod parked;

pub use address::Address;
pub use door::{Outcome, REPLY_LEN, REQUEST_LEN, Reply, Request, Verb};
pub use handoff::{
    CHANNEL_NAME_LEN, GIVE_BACK_LEN, HANDOFF_LEN, Handoff, PARK_LEN, PROBE_LEN, Passed,
    RETURNED_LEN, STANDING_LEN, Standing, channel_id, channel_name,
};
pub use moved::{MOVED_LEN, Moved, Way};
pub use pair::{PAIR_NAME_LEN, pair_address, pair_name};
pub use parked::{PARKED_LEN, Parked};

/// The version of all messages here. A door refuses another one, and the library then passes
/// every call through to the kernel.
pub const VERSION: u16 = 2;

/// Where the app stops, a client that has connected and not asked for anything yet is waited for so long: its request is
/// on its way, and closing the connection would lose it. A first segment that got lost is sent again after one second
/// (RFC 6298, section 2.1).
pub const FIRST_REQUEST: Duration = Duration::from_millis(1200);

/// Environment variable with the path of the door.
pub const DOOR_VAR: &str = "MAITRED_DOOR";

/// Environment variable with the number of the instance a process belongs to.
pub const INSTANCE_VAR: &str = "MAITRED_INSTANCE";

/// Environment variable with the process id of the supervisor: its direct children report in.
pub const SUPERVISOR_VAR: &str = "MAITRED_SUPERVISOR";
