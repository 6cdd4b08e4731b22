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

#[cfg(test)]
mod tests {
    #[test]
    fn who_is_turned_away_reads_why_and_what_helps() {
        let said = super::turned_away([192, 0, 2, 1].into(), 54).unwrap();
        assert_eq!(
            said,
            "closing new connections from 192.0.2.1: it already has 41 of 54 possible ones, three \
             quarters of what the limit for open files (ulimit -n) allows; if it is a proxy, name \
             it in trust_proxy"
        );
    }
}
