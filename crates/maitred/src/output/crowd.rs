//! Sentences about clients that take too much.

use std::net::IpAddr;

/// Connections from this address are closed, as long as it has its part of so many places.
pub(super) fn turned_away(address: IpAddr, limit: usize) -> Option<String> {
    Some(format!(
        "closing new connections from {address}: it already has {} of {limit} possible ones, three \
         quarters of what the limit for open files (ulimit -n) allows; if it is a proxy, name it in \
         trust_proxy",
        (limit * 3).div_ceil(4)
    ))
}
