//! How many clients there may be, and whether more want to come in.

use std::net::IpAddr;

use balance::Nanos;

/// How many clients there may be.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(crate) clients: usize,
    /// Newcomers wait for a place. While they do, a client that has been answered has to connect
    /// again: so all have their turn.
    pub(crate) is_pressed: bool,
    /// When idle clients are looked for again, after they were looked for in vain.
    pub(crate) look_again_at: Nanos,
    /// The last client that found no place because its address had as many as one may have.
    pub(crate) turned_away: Option<IpAddr>,
}

impl Capacity {
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            clients,
            is_pressed: false,
            look_again_at: 0,
            turned_away: None,
        }
    }
}
