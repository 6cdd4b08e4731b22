//! What placements are told, and what they answer.

use std::os::fd::OwnedFd;

use balance::{MemberId, Nanos};

use crate::ids::ListenerId;
use crate::listeners::Listener;

/// A connection that was just accepted.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) socket: OwnedFd,
    /// The client's `sockaddr`.
    pub(crate) peer: &'a [u8],
    /// Tells it from all others.
    pub(crate) number: u64,
    pub(crate) listener: &'a Listener,
}

/// Whether another connection may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// As many wait as may.
    Full,
    /// As many clients are connected as may be.
    Crowded {
        limit: usize,
    },
}

/// What was counted of what waits at a listener.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) connections: usize,
    /// Those that are parked, and not among these.
    pub(crate) parked: usize,
    /// When the one that has waited longest arrived.
    pub(crate) oldest: Option<Nanos>,
    pub(crate) waits: balance::Waits,
    pub(crate) refused: u64,
}

/// Which member gives connections back, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub(crate) member: MemberId,
    /// The listener that it is behind, if that is still open.
    pub(crate) listener: Option<ListenerId>,
    /// That listener's port.
    pub(crate) port: Option<u16>,
    /// The app stops: what is idle is closed, and does not go to others.
    pub(crate) ends_for_good: bool,
    /// Tells these connections from others.
    pub(crate) number: u64,
}
