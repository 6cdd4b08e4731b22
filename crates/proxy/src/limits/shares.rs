//! What each client may take: of the thread's time in one turn of the event loop, and of the places
//! for connections. Whoever has had its share goes on in the next turn, behind the others; where
//! there are no others, that comes at once.
//!
//! Time is counted in units of some microseconds: one for each step (a request's head, a run of a
//! body), and more for what costs more. So a turn is the same for the same bytes.

use std::net::IpAddr;

use crate::Proxy;
use crate::downstream::client::Client;
use crate::ids::IdMap;
use crate::slab::Key;

/// What one connection may have of a turn, with all that goes over it.
const OF_CONNECTION: u32 = 64;

/// What all connections of one address may have of it together.
const OF_ADDRESS: u32 = 256;

/// How many clients that had had their share in the last turn go on in this one.
const AT_ONCE: usize = 256;

/// One address may hold so much of all places: three of four.
const PLACES: (usize, usize) = (3, 4);

/// An address, as shares go by it: all of one network of IPv6 belong to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sharer(u64);

impl Sharer {
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

/// What addresses have.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    turn: u64,
    taken: IdMap<Sharer, u32>,
    places: IdMap<Sharer, usize>,
}

impl Shares {
    fn begin_turn(&mut self) {
        self.turn += 1;
        self.taken.clear();
    }

    /// Whether there is anything left for this connection.
    fn has_left(&self, share: Share, sharer: Option<Sharer>) -> bool {
        let has_had = share.turn == self.turn && share.taken >= OF_CONNECTION;
        let taken = sharer.and_then(|sharer| self.taken.get(&sharer));
        !has_had && taken.is_none_or(|taken| *taken < OF_ADDRESS)
    }

    /// Notes what it has taken.
    fn take(&mut self, share: &mut Share, sharer: Option<Sharer>, units: u32) {
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

    /// Whether it may have another one of so many. One that is alone may have all: what it opens
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

impl Proxy {
    /// A turn of the event loop begins, at this time in nanoseconds since any fixed moment.
    pub fn begin_turn(&mut self, now: balance::Nanos) {
        self.set_time(now);
        self.shares.begin_turn();
        let due = &mut self.due;
        self.later.drain(..).for_each(|key| due.push_back(key));
    }

    /// Whose shares an address counts towards; none for a balancer's, which speaks for many, nor
    /// for those behind a Unix socket.
    pub(crate) fn sharer(&self, address: Option<IpAddr>) -> Option<Sharer> {
        let address = address.filter(|address| !self.settings.trusted.contains(*address))?;
        Some(Sharer::of(address))
    }

    /// The connection that a client's work is counted for: of a stream, its session's.
    fn account_of(&mut self, key: Key) -> Option<&mut Client> {
        let session = self.clients.get(key)?.link.session();
        self.clients.get_mut(session.unwrap_or(key))
    }

    /// Whether a client may go on in this turn.
    pub(crate) fn has_share(&mut self, key: Key) -> bool {
        let Some((share, sharer)) = self.account_of(key).map(|it| (it.share, it.sharer)) else {
            // It is over, and takes no time.
            return true;
        };
        self.shares.has_left(share, sharer)
    }

    /// Notes what a client has done.
    pub(crate) fn take_share(&mut self, key: Key, units: u32) {
        let session = self.clients.get(key).and_then(|it| it.link.session());
        if let Some(account) = self.clients.get_mut(session.unwrap_or(key)) {
            self.shares.take(&mut account.share, account.sharer, units);
        }
    }

    /// A client goes on in the next turn.
    pub(crate) fn defer(&mut self, key: Key) {
        if let Some(client) = self.clients.get_mut(key)
            && !std::mem::replace(&mut client.is_deferred, true)
        {
            self.later.push(key);
        }
    }

    /// Lets those go on that had had their share in the last turn.
    pub(crate) fn go_on<W: crate::Workers>(&mut self, workers: &mut W) {
        for _ in 0..AT_ONCE {
            let Some(key) = self.due.pop_front() else {
                return;
            };
            if let Some(client) = self.clients.get_mut(key) {
                client.is_deferred = false;
                self.drive(key, workers);
            }
        }
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
        // One that is alone keeps nobody out.
        shares.leave(other);
        assert!(shares.has_place(one, 8));
        for _ in 0..6 {
            shares.leave(one);
        }
        assert!(shares.has_place(one, 8) && shares.heaviest().is_none());
    }
}
