//! What each client may take: of the thread's time in one turn of the event loop, and of the places
//! for connections. A client that has used its share goes on in the next turn, behind the others;
//! where there are no others, that comes at once.
//!
//! Time is counted in units of some microseconds: one for each step (a request's head, a run of a
//! body), and more for what costs more. So a turn is the same for the same bytes.

use std::collections::HashMap;
use std::net::IpAddr;

use http1::Networks;

/// What one connection may have of a turn, with all that goes over it.
pub(crate) const OF_CONNECTION: u32 = 64;

/// What all connections of one address may have of it together.
const OF_ADDRESS: u32 = 256;

/// The part of all places that one address may hold: three of four.
const PLACES: (usize, usize) = (3, 4);

/// What counts as one client: an address, or the network of 64 bits within which a client with IPv6
/// has as many addresses as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sharer(u64);

impl Sharer {
    /// Whose shares a client's address counts towards; none for a balancer's, which speaks for many,
    /// nor for clients behind a Unix socket.
    pub(crate) fn of_client(address: Option<IpAddr>, trusted: &Networks) -> Option<Self> {
        let address = address.filter(|address| !trusted.contains(*address))?;
        Some(Self::of(address))
    }

    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        })
    }
}

/// What a connection has had of this turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    turn: u64,
    taken: u32,
}

#[cfg(test)]
impl Share {
    pub(crate) fn taken(self) -> u32 {
        self.taken
    }
}

/// What addresses have. Clients choose these numbers, with IPv6 billions of them, so the tables' hash has
/// a key that none of them knows: or they could choose such as fall together.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    turn: u64,
    taken: HashMap<Sharer, u32>,
    places: HashMap<Sharer, usize>,
}

impl Shares {
    /// A turn of the event loop begins.
    pub(crate) fn begin_turn(&mut self) {
        self.turn += 1;
        self.taken.clear();
    }

    /// Whether there is anything left for this connection.
    pub(crate) fn has_left(&self, share: Share, sharer: Option<Sharer>) -> bool {
        let has_had = share.turn == self.turn && share.taken >= OF_CONNECTION;
        let taken = sharer.and_then(|sharer| self.taken.get(&sharer));
        !has_had && taken.is_none_or(|taken| *taken < OF_ADDRESS)
    }

    /// Notes what it has taken.
    pub(crate) fn take(&mut self, share: &mut Share, sharer: Option<Sharer>, units: u32) {
        if share.turn != self.turn {
            *share = Share {
                turn: self.turn,
                taken: 0,
            };
        }
        share.taken = share.taken.saturating_add(units);
        if let Some(sharer) = sharer {
            let taken = self.taken.entry(sharer).or_default();
            *taken = taken.saturating_add(units);
        }
    }

    /// How many places this address has.
    pub(crate) fn places(&self, sharer: Sharer) -> usize {
        self.places.get(&sharer).copied().unwrap_or(0)
    }

    /// Whether several addresses have places.
    pub(crate) fn has_others(&self) -> bool {
        self.places.len() > 1
    }

    /// Whether it may have another one of `most` places. One that is alone may have all: what it opens
    /// beyond that waits in the kernel.
    pub(crate) fn has_place(&self, sharer: Option<Sharer>, most: usize) -> bool {
        let (part, whole) = PLACES;
        let may = |sharer| self.places(sharer) < (most * part).div_ceil(whole);
        !self.has_others() || sharer.is_none_or(may)
    }

    pub(crate) fn enter(&mut self, sharer: Option<Sharer>) {
        if let Some(sharer) = sharer {
            *self.places.entry(sharer).or_default() += 1;
        }
    }

    pub(crate) fn leave(&mut self, sharer: Option<Sharer>) {
        if let Some(sharer) = sharer
            && let Some(places) = self.places.get_mut(&sharer)
        {
            *places -= 1;
            if *places == 0 {
                self.places.remove(&sharer);
            }
        }
    }

    /// The address with the most places, and how many it has.
    pub(crate) fn heaviest(&self) -> Option<(Sharer, usize)> {
        let places = self.places.iter();
        let (sharer, count) = places.max_by_key(|(_, count)| **count)?;
        Some((*sharer, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_for_one_turn_and_places_are_kept() {
        let sharer = |text: &str| Some(Sharer::of(text.parse().unwrap()));
        let (one, other) = (sharer("192.0.2.1"), sharer("192.0.2.2"));
        assert_eq!(one, sharer("::ffff:192.0.2.1"));
        assert_eq!(sharer("2001:db8::1"), sharer("2001:db8::2"));
        assert_ne!(sharer("2001:db8::1"), sharer("2001:db8:0:1::1"));
        let mut shares = Shares::default();
        let mut connections = [Share::default(); 6];
        shares.begin_turn();
        for share in &mut connections {
            shares.take(share, one, OF_CONNECTION - 1);
        }
        // Each of them has something left, the address has not.
        assert!(!shares.has_left(connections[0], one));
        assert!(shares.has_left(Share::default(), other));
        assert!(shares.has_left(connections[0], None));
        shares.take(&mut connections[0], None, 1);
        assert!(!shares.has_left(connections[0], None));
        shares.begin_turn();
        assert!(shares.has_left(connections[0], one));
        shares.enter(other);
        for place in 0..6 {
            assert_eq!(shares.has_place(one, 8), place < 6);
            shares.enter(one);
        }
        assert!(!shares.has_place(one, 8));
        assert!(shares.has_place(other, 8) && shares.has_place(None, 8));
        assert_eq!(shares.heaviest(), one.map(|one| (one, 6)));
        // One that is alone keeps no client out.
        shares.leave(other);
        assert!(shares.has_place(one, 8));
        for _ in 0..6 {
            shares.leave(one);
        }
        assert!(shares.has_place(one, 8) && shares.heaviest().is_none());
    }
}
