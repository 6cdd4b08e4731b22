//! Where few places are left, clients that ask for nothing make room, and one address does not take
//! all places.

use std::net::IpAddr;

use balance::Nanos;

use super::shares::Sharer;
use crate::context::Context;
use crate::downstream::client::{Client, Phase};
use crate::downstream::http2::session::Activity;
use crate::downstream::leave::drop_client;
use crate::slab::Slab;

/// A connection over which nothing was asked for this time may have to go.
const SILENT: Nanos = 1_000_000_000;

/// One that has come within this time may be about to ask, and what it asks may lie there unread:
/// it is not taken for silent.
const ARRIVING: Nanos = 100_000_000;

/// One in this many places is kept free, if it can be.
const SPARE: usize = 8;

/// What part of all clients goes at once where a newcomer finds no place, so that not each newcomer
/// is a reason to look at all of them.
const LOT: usize = 16;

/// The pause after a look in vain.
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

/// Makes room for a newcomer, if there is none: the address with the most connections loses some over
/// which nothing is asked. Whether there is room now.
pub(crate) fn make_room_at_once(clients: &mut Slab<Client>, cx: &mut Context) -> bool {
    let most = cx.limits.capacity.clients;
    if clients.len() >= most && cx.io.now >= cx.limits.capacity.look_again_at {
        match has_most(cx) {
            Some(sharer) => evict(Some(sharer), ARRIVING, clients, cx),
            None => evict(None, SILENT, clients, cx),
        }
    }
    clients.len() < most
}

/// The address that has more than half of all places, if others have some.
fn has_most(cx: &Context) -> Option<Sharer> {
    let (shares, most) = (&cx.limits.shares, cx.limits.capacity.clients);
    // Where only one client is here, all newcomers may be its own.
    let heaviest = shares.heaviest().filter(|_| shares.has_others());
    let heaviest = heaviest.filter(|(_, count)| *count > most / 2);
    heaviest.map(|(sharer, _)| sharer)
}

/// When idle clients are looked for next, while newcomers wait. (Others are looked for now and then
/// anyway.)
pub(crate) fn makes_room_at(clients: &Slab<Client>, cx: &Context) -> Option<Nanos> {
    let capacity = &cx.limits.capacity;
    let waits = capacity.is_pressed && clients.len() >= capacity.clients;
    (waits && has_most(cx).is_some()).then_some(cx.limits.capacity.look_again_at)
}

/// Whether an address may have another place, after it has lost idle ones if need be.
pub(crate) fn make_place(
    sharer: Option<Sharer>,
    address: Option<IpAddr>,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) -> bool {
    let most = cx.limits.capacity.clients;
    let has_place = cx.limits.shares.has_place(sharer, most);
    if !has_place && cx.io.now >= cx.limits.capacity.look_again_at {
        evict(sharer, ARRIVING, clients, cx);
    }
    let has_place = has_place || cx.limits.shares.has_place(sharer, most);
    if !has_place {
        cx.limits.capacity.turned_away = address;
    }
    has_place
}

/// Closes connections over which nothing is asked, those first over which nothing has been asked for
/// the longest time, so that newcomers need not wait for the idle ones' time limit. Any client may
/// have to connect again; a request in progress is not touched.
pub(crate) fn make_room(clients: &mut Slab<Client>, cx: &mut Context) {
    let most = cx.limits.capacity.clients;
    let spare = (most / SPARE).max(1);
    let too_many = (clients.len() + spare).saturating_sub(most);
    if too_many > 0 {
        evict_some(too_many, None, SILENT, clients, cx);
    }
}

/// Makes some room, with this address or with all.
fn evict(of: Option<Sharer>, silent: Nanos, clients: &mut Slab<Client>, cx: &mut Context) {
    let lot = (cx.limits.capacity.clients / LOT).max(1);
    if evict_some(lot, of, silent, clients, cx) == 0 {
        cx.limits.capacity.look_again_at = cx.io.now + IN_VAIN;
    }
}

/// Closes at most `count` connections, of one address or of all: those that have been `silent` as
/// long as that, and those whose clients may be about to ask for more for a second at least. Returns
/// how many there were.
fn evict_some(
    count: usize,
    of: Option<Sharer>,
    silent: Nanos,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) -> usize {
    let mut idle: Vec<_> = clients
        .iter()
        .filter(|(_, client)| of.is_none() || client.sharer == of)
        .filter_map(|(key, client)| Some((idle(client)?, key)))
        .filter(|((kind, since), _)| {
            let least = match kind {
                Idle::Silent => silent,
                Idle::Kept | Idle::Unfinished => SILENT,
            };
            cx.io.now.saturating_sub(*since) >= least
        })
        .collect();
    idle.sort_unstable_by_key(|(order, _)| *order);
    idle.truncate(count);
    for (_, key) in &idle {
        drop_client(*key, clients, cx);
    }
    idle.len()
}

/// What a client does that asks for nothing, and since when.
fn idle(client: &Client) -> Option<(Idle, Nanos)> {
    match &client.phase {
        // A stream goes with its connection.
        _ if !client.carrier.is_connection() => None,
        Phase::ProxyHeader => Some((Idle::Silent, client.active_at)),
        Phase::Reading(reading) if reading.needs == 0 && !client.link.is_clogged() => {
            let kind = match (client.link.input.is_empty(), client.served) {
                (true, true) => Idle::Kept,
                (true, false) => Idle::Silent,
                (false, _) => Idle::Unfinished,
            };
            Some((kind, reading.since))
        }
        Phase::Http2(session) => match session.activity() {
            Activity::Idle => Some((Idle::Kept, client.active_at)),
            Activity::Handshake => Some((Idle::Silent, client.active_at)),
            Activity::Busy => None,
        },
        Phase::FirstWord(word) => Some((Idle::Silent, word.since)),
        Phase::Reading(_) | Phase::Serving(_) | Phase::Tunnel(_) | Phase::Closing { .. } => None,
    }
}
