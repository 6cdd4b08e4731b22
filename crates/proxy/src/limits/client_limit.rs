//! How many requests each client has in progress, and may have.

use std::collections::HashMap;
use std::net::IpAddr;

use super::shares::Sharer;

/// The places that clients have taken. An entry is there only while one of its requests is in
/// progress, so that there are never more than requests.
#[derive(Debug)]
pub(crate) struct ClientLimit {
    most: usize,
    taken: HashMap<Sharer, usize>,
}

impl ClientLimit {
    /// Each client may have `most` requests in progress. With [`usize::MAX`] nothing is counted.
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
        let taken = self.taken.entry(Sharer::of(client)).or_default();
        let may = *taken < self.most;
        *taken += usize::from(may);
        may
    }

    /// Gives a place back that was taken.
    pub(crate) fn free(&mut self, client: IpAddr) {
        if let Some(taken) = self.taken.get_mut(&Sharer::of(client)) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(&Sharer::of(client));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_places_and_gets_them_back() {
        let client = |text: &str| text.parse().unwrap();
        let mut limit = ClientLimit::new(2);
        assert!(limit.take(client("192.0.2.1")));
        assert!(limit.take(client("::ffff:192.0.2.1")));
        assert!(!limit.take(client("192.0.2.1")));
        assert!(limit.take(client("192.0.2.2")));
        assert!(limit.take(client("2001:db8::1")));
        assert!(limit.take(client("2001:db8::ffff:2")));
        assert!(!limit.take(client("2001:db8::3")));
        assert!(limit.take(client("2001:db8:0:1::3")));
        limit.free(client("192.0.2.1"));
        assert!(limit.take(client("192.0.2.1")));
        for _ in 0..2 {
            limit.free(client("192.0.2.1"));
            limit.free(client("2001:db8::9"));
        }
        limit.free(client("192.0.2.2"));
        limit.free(client("2001:db8:0:1::3"));
        assert!(limit.taken.is_empty());
    }
}
