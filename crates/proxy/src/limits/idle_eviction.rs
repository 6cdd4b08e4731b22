//! Where few places are left, clients that ask for nothing make room, and one address does not take
//! all places.

use std::net::IpAddr;

use balance::Nanos;

use crate::Proxy;
use crate::downstream::client::{Client, Phase};
use crate::downstream::http2::Standing;
use crate::limits::shares::Sharer;
use crate::slab::Key;

/// A connection over which nothing was asked for so long may have to go.
const SILENT: Nanos = 1_000_000_000;

/// One that has come within this time may be about to ask, and what it asks may lie there unread:
/// it is not taken for silent.
const ARRIVING: Nanos = 100_000_000;

/// What part of all places is kept free, if it can be: one in so many.
const SPARE: usize = 8;

/// What part of all clients goes at once where a newcomer finds no place, so that not each newcomer
/// is a reason to look at all of them.
const LOT: usize = 16;

/// After a look in vain none is taken for so long.
const IN_VAIN: Nanos = 10_000_000;

/// What a client does that asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Idle {
    /// It has had its response, and may ask for more.
    Kept,
    /// It has said nothing yet, or not enough to be understood.
    Silent,
    /// It is in the middle of a request's head.
    Unfinished,
}

impl Proxy {
    /// Makes room for a newcomer, if there is none: the address with the most connections loses
    /// some over which nothing is asked. Whether there is room now.
    pub fn make_room_at_once(&mut self) -> bool {
        if !self.has_room() && self.now >= self.look_again_at {
            match self.has_most() {
                Some(sharer) => self.evict(Some(sharer), ARRIVING),
                None => self.evict(None, SILENT),
            }
        }
        self.has_room()
    }

    /// The address that has more than half of all places, if others have some.
    fn has_most(&self) -> Option<Sharer> {
        // Where only one client is here, all newcomers may be its own.
        let heaviest = self.shares.heaviest().filter(|_| self.shares.has_others());
        let heaviest = heaviest.filter(|(_, count)| *count > self.most_clients() / 2);
        heaviest.map(|(sharer, _)| sharer)
    }

    /// When idle clients are to be looked for while newcomers wait. (Others are looked for now and
    /// then anyway.)
    pub(crate) fn makes_room_at(&self) -> Option<Nanos> {
        let waits = self.limits.is_pressed() && !self.has_room();
        (waits && self.has_most().is_some()).then_some(self.look_again_at)
    }

    /// Whether an address may have another place, after it has lost idle ones if need be.
    pub(crate) fn make_place(&mut self, sharer: Option<Sharer>, address: Option<IpAddr>) -> bool {
        let most = self.most_clients();
        if !self.shares.has_place(sharer, most) && self.now >= self.look_again_at {
            self.evict(sharer, ARRIVING);
        }
        let has_place = self.shares.has_place(sharer, most);
        if !has_place {
            self.turned_away = address;
        }
        has_place
    }

    /// The last client that was turned away because its address had as many places as one may have,
    /// if there was one since this was last asked.
    pub fn turned_away(&mut self) -> Option<IpAddr> {
        self.turned_away.take()
    }

    /// A balancer has said who this client is; whether that one may have another place.
    pub(crate) fn has_been_named(&mut self, key: Key) -> bool {
        let Some(address) = self.clients.get(key).map(|client| client.peer.address) else {
            return false;
        };
        let sharer = self.sharer(address);
        if !self.make_place(sharer, address) {
            return false;
        }
        if let Some(client) = self.clients.get_mut(key) {
            let before = std::mem::replace(&mut client.sharer, sharer);
            self.shares.leave(before);
            self.shares.enter(sharer);
        }
        true
    }

    /// Closes connections over which nothing is asked, those first over which nothing has been
    /// asked for the longest time, so that newcomers need not wait for the idle ones' time limit.
    /// Any client may have to connect again; a request in progress is not touched.
    pub(crate) fn make_room(&mut self) {
        let most = self.most_clients();
        let spare = (most / SPARE).max(1);
        let too_many = (self.clients.len() + spare).saturating_sub(most);
        if too_many > 0 {
            self.evict_some(too_many, None, SILENT);
        }
    }

    /// Makes some room, with this address or with all.
    fn evict(&mut self, of: Option<Sharer>, silent: Nanos) {
        let lot = (self.most_clients() / LOT).max(1);
        if self.evict_some(lot, of, silent) == 0 {
            self.look_again_at = self.now + IN_VAIN;
        }
    }

    /// Closes so many connections at most, of one address or of all: those that have been silent
    /// for so long, and those whose clients may be about to ask for more for a second at least. How
    /// many there were.
    fn evict_some(&mut self, count: usize, of: Option<Sharer>, silent: Nanos) -> usize {
        let clients = self.clients.iter();
        let mut idle: Vec<_> = clients
            .filter(|(_, client)| of.is_none() || client.sharer == of)
            .filter_map(|(key, client)| Some((idle(client)?, key)))
            .filter(|((kind, since), _)| {
                let least = if *kind == Idle::Silent {
                    silent
                } else {
                    SILENT
                };
                self.now.saturating_sub(*since) >= least
            })
            .collect();
        idle.sort_unstable_by_key(|(order, _)| *order);
        idle.truncate(count);
        for (_, key) in &idle {
            self.drop_client(*key);
        }
        idle.len()
    }
}

/// What a client does that asks for nothing, and since when.
fn idle(client: &Client) -> Option<(Idle, Nanos)> {
    match &client.phase {
        // A stream is its session's.
        _ if client.link.session().is_some() => None,
        Phase::Greeting => Some((Idle::Silent, client.active_at)),
        Phase::Reading {
            since, needs: 0, ..
        } if !client.link.is_clogged() => {
            let kind = match (client.link.input.is_empty(), client.served) {
                (true, true) => Idle::Kept,
                (true, false) => Idle::Silent,
                (false, _) => Idle::Unfinished,
            };
            Some((kind, *since))
        }
        Phase::Session(session) => match session.standing() {
            Standing::Idle => Some((Idle::Kept, client.active_at)),
            Standing::Greeting => Some((Idle::Silent, client.active_at)),
            Standing::Busy => None,
        },
        Phase::Hearing { since, .. } => Some((Idle::Silent, *since)),
        Phase::Reading { .. } | Phase::Serving(_) | Phase::Tunnel(_) | Phase::Leaving { .. } => {
            None
        }
    }
}
