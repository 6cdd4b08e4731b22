//! Where the head of a request is complete: it is checked, rewritten and recorded, and a worker is
//! asked for.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem::MaybeUninit;
use std::net::IpAddr;

use balance::Client as Caller;
use http1::{Framing, HEADERS, Hop, Refusal, Request};

use super::{Exchange, Stage, departure, placing};
use crate::context::Context;
use crate::downstream::client::{Client, Phase, Reading, Step};
use crate::downstream::http1::Refused;
use crate::forward::request::PORTION;
use crate::listener::Listener;
use crate::outcome::record::Record;
use crate::upstream::connection::Origin;
use crate::{Settings, Workers};

/// The cookie by which a client says which worker it belongs to.
pub(crate) const COOKIE: &str = "maitred_worker";

/// A body no longer than this goes to the worker with its head, in one write. A buffer with both is
/// still one that is kept for further requests.
const WITH_HEAD: usize = 2048;

/// A request's head is complete: it ends at `end`, and what follows it is there in part. Returns the
/// outcome, and the number of bytes used; none if more of the body must be there before a worker is
/// asked for.
pub(crate) fn begin<W: Workers>(
    client: &mut Client,
    bytes: &[u8],
    end: usize,
    cx: &mut Context,
    workers: &mut W,
) -> Result<(Step, usize), Refused> {
    let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    http1::check_fields(head, cx.settings.fields)?;
    let (mut few, mut many) = ([MaybeUninit::uninit(); HEADERS], Vec::new());
    let request = http1::parse_request(head, http1::room(head, &mut few, &mut many))?;
    let now = cx.io.now;
    let first = first_portion(&request, cx.settings.body);
    let Some(first) = rest.get(..first) else {
        client.phase = Phase::Reading(Reading {
            since: now,
            searched: 1,
            needs: head.len() + first,
            skipped: true,
        });
        // It comes back when more is there.
        return Ok((Step::On, 0));
    };
    let Some(listener) = cx.listeners.get_mut(client.listener) else {
        return Ok((Step::Over, end));
    };
    cx.limits.retries.earn();
    let mut to_worker = cx.upstream.batch.buffer();
    write_head(&request, client, listener, &cx.settings, &mut to_worker);
    let asker = Asker::of(&request, client, &cx.settings, &cx.upstream.named_by);
    let since = match &client.phase {
        Phase::Reading(reading) => reading.since,
        _ => now,
    };
    let id = cx.outcomes.next_id();
    let mut record = Record::new(listener, id, asker.address, since);
    if cx.settings.access.is_some() {
        record.note(head, Some(&request), client.carrier.logged_version());
    }
    let has_place = record.take_place(&mut cx.limits.per_client);
    let caller = asker.caller.unwrap_or(client.peer.caller);
    let mut exchange = Exchange::of(&request, record, asker.origin, caller, to_worker, now);
    exchange.wants = wanted_member(&request);
    exchange.keep_alive &= client.carrier.has_next_request();
    let used = end + take_small_body(&mut exchange, first)?;
    client.phase = Phase::Serving(Box::new(exchange));
    if departure::has_left(client, &cx.settings) {
        // No worker needs to know of it.
        return Ok((Step::Over, used));
    }
    let refused = |refusal| Refused { refusal, used };
    if !has_place {
        return Err(refused(Refusal::TooMany));
    }
    let most = cx.settings.body;
    if most > 0 && matches!(request.framing, Framing::Length(length) if length > most) {
        return Err(refused(Refusal::BodyTooLarge));
    }
    let step = placing::arrive(client, cx, workers).map_err(refused)?;
    if let Some(exchange) = client.exchange()
        && matches!(exchange.stage, Stage::Waiting)
    {
        exchange.raw = bytes.get(..used).map(<[u8]>::to_vec);
    }
    Ok((step, used))
}

/// Writes the head that the worker gets.
fn write_head(
    request: &Request<'_, '_>,
    client: &Client,
    listener: &Listener,
    settings: &Settings,
    to: &mut Vec<u8>,
) {
    let authority = match request.host {
        Some(_) => Cow::Borrowed(""),
        None => listener.authority(client.local),
    };
    let hop = Hop {
        peer: client.peer.address,
        tls: client.link.is_tls(),
        trusted: &settings.trusted,
        authority: &authority,
    };
    http1::write_request(request, hop, to);
}

/// Puts a body behind its head, where it is all there and small: the two go to the worker in one write,
/// and where the app is slow to read, it finds both. (Deno does not tell its app of a client that leaves
/// if the body came by itself.) How many bytes that has taken.
fn take_small_body(exchange: &mut Exchange, first: &[u8]) -> Result<usize, Refusal> {
    if first.len() > WITH_HEAD || !exchange.request.is_all_of(first.len()) {
        return Ok(0);
    }
    let piece = exchange.request.read(first)?;
    exchange.head.extend_from_slice(first);
    exchange.body = piece.read as u64;
    exchange.request_done = exchange.request.is_done();
    Ok(piece.read)
}

/// Who asks, as far as balancers in front are to be believed.
struct Asker {
    address: Option<IpAddr>,
    /// What it is to the balancer, where that is not the connection's client.
    caller: Option<Caller>,
    origin: Origin,
}

impl Asker {
    fn of(
        request: &Request<'_, '_>,
        client: &Client,
        settings: &Settings,
        named_by: &RandomState,
    ) -> Self {
        let peer = client.peer.address;
        let is_balancer = peer.is_none_or(|peer| settings.trusted.contains(peer));
        let named = match is_balancer {
            true => http1::client_of(request, peer, &settings.trusted),
            false => None,
        };
        Self {
            address: named.or(peer),
            caller: named.map(Caller::at),
            origin: Origin {
                connection: client.carrier.connection(client.key),
                named: claimed(request, named_by, is_balancer),
            },
        }
    }
}

/// The client that the request's fields name, whether that is true or not: what it is used for must
/// differ where they differ. `None` where a balancer names no client.
fn claimed(request: &Request<'_, '_>, by: &RandomState, is_balancer: bool) -> Option<u64> {
    let mut claims = http1::claims(request.headers).peekable();
    if claims.peek().is_none() {
        return (!is_balancer).then_some(0);
    }
    let mut hasher = by.build_hasher();
    for claim in claims {
        claim.name.to_ascii_lowercase().hash(&mut hasher);
        claim.value.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// The member that the client's cookie names.
fn wanted_member(request: &Request<'_, '_>) -> Option<u64> {
    let value = http1::cookie(request.headers, COOKIE.as_bytes())?;
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

/// How much of a body must be there before a worker is asked for: so a client that sends a few bytes
/// now and then holds none. A body whose length is unknown, or that its client keeps back until it
/// hears something, may be one half of a conversation; that begins at once.
fn first_portion(request: &Request<'_, '_>, most: u64) -> usize {
    match request.framing {
        // It is refused for its length.
        Framing::Length(len) if most > 0 && len > most => 0,
        Framing::Length(len) if !request.expects_continue => {
            usize::try_from(len).map_or(PORTION, |len| len.min(PORTION))
        }
        Framing::Length(_) | Framing::Empty | Framing::Chunked | Framing::Close => 0,
    }
}
