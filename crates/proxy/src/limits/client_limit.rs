//! How many requests each client has in progress, and may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The places that clients have taken. An entry is there only while one of its requests is in
/// progress, so that there are never more than requests.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    taken: HashMap<IpAddr, usize>,
}

impl Seats {
    /// Each client may have so many; [`usize::MAX`] for any number, and then nothing is counted.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: HashMap::new(),
        }
    }

    /// Takes a place, if the client may have another one.
    pub(crate) fn take(&mut self, client: IpAddr) -> bool {
        if self.most == usize::MAX {
            return true;
        }
        let taken = self.taken.entry(one(client)).or_default();
        let may = *taken < self.most;
        *taken += usize::from(may);
        may
    }

    /// Gives a place back that was taken.
    pub(crate) fn free(&mut self, client: IpAddr) {
        if let Some(taken) = self.taken.get_mut(&one(client)) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(&one(client));
            }
        }
    }
}

/// What counts as one client: an address, or the network of 64 bits within which anybody with
/// IPv6 has as many addresses as they like.
fn one(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_places_and_gets_them_back() {
        let client = |text: &str| text.parse().unwrap();
        let mut seats = Seats::new(2);
        assert!(seats.take(client("192.0.2.1")));
        assert!(seats.take(client("::ffff:192.0.2.1")));
        assert!(!seats.take(client("192.0.2.1")));
        assert!(seats.take(client("192.0.2.2")));
        assert!(seats.take(client("2001:db8::1")));
        assert!(seats.take(client("2001:db8::ffff:2")));
        assert!(!seats.take(client("2001:db8::3")));
        assert!(seats.take(client("2001:db8:0:1::3")));
        seats.free(client("192.0.2.1"));
        assert!(seats.take(client("192.0.2.1")));
        for _ in 0..2 {
            seats.free(client("192.0.2.1"));
            seats.free(client("2001:db8::9"));
        }
        seats.free(client("192.0.2.2"));
        seats.free(client("2001:db8:0:1::3"));
        assert!(seats.taken.is_empty());
    }
}
