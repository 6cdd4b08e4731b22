//! What each client may have.

pub(crate) mod capacity;
pub(crate) mod client_limit;
pub(crate) mod idle_eviction;
pub(crate) mod shares;
