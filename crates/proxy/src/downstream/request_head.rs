//! What a client says first: the PROXY header, and the head of each request, until it is known what
//! is asked.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem::MaybeUninit;

use http1::{
    BodyDecoder, BodyEncoder, End, Framing, HEADERS, Hop, ProxyHeader, Refusal, Request, Upgrade,
    Version,
};

use crate::downstream::client::{Client, Exchange, Phase, Stage};
use crate::downstream::http2::PREFACE;
use crate::exchange::{BUDGET, COOKIE, Step};
use crate::forward::relay::PORTION;
use crate::link::{Input, Link, Read};
use crate::outcome::Record;
use crate::slab::Key;
use crate::upstream::pool::Origin;
use crate::{Proxy, Workers};

const TOO_LARGE: &str = "the request's head is larger than max_head allows";

impl Proxy {
    /// Reads the PROXY header.
    pub(crate) fn greet(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        match client.link.read(&mut self.room, &self.epoll) {
            Read::Some(len) => client
                .link
                .input
                .extend(self.room.get(..len).unwrap_or(&[])),
            Read::Nothing => return Step::Wait,
            Read::End | Read::Broken => return Step::Over,
        }
        match http1::read_proxy_header(&client.link.input) {
            Ok(ProxyHeader::Incomplete) => Step::On,
            Ok(ProxyHeader::Complete(len, named)) => {
                client.link.input.advance(len);
                if let Some(named) = named {
                    client.peer = crate::timeouts::named_peer(named);
                }
                client.phase = Phase::reading(self.now);
                if self.has_been_named(key) {
                    Step::On
                } else {
                    Step::Over
                }
            }
            Err(refusal) => self.refuse(key, refusal, None),
        }
    }

    /// Reads a request's head.
    pub(crate) fn read_head<W: Workers>(&mut self, key: Key, workers: &mut W) -> Step {
        let Some(client) = self.clients.get(key) else {
            return Step::Wait;
        };
        if !client.served && client.link.session().is_none() && self.passes_whole(client.gate) {
            return self.place_whole(key, workers);
        }
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let Phase::Reading {
            since,
            searched,
            needs,
            skipped,
        } = &mut client.phase
        else {
            return Step::Wait;
        };
        // The response before it goes first.
        if client.link.is_clogged() {
            return Step::Wait;
        }
        let mut room = std::mem::take(&mut self.room);
        let mut input = std::mem::take(&mut client.link.input);
        let mut bytes: &[u8] = &input;
        // What has been read and searched already needs more.
        if input.is_empty() || *searched > 0 {
            match client.link.read(&mut room, &self.epoll) {
                Read::Some(len) => {
                    client.active_at = self.now;
                    let new = room.get(..len).unwrap_or(&[]);
                    if input.is_empty() {
                        *since = self.now;
                        bytes = new;
                    } else {
                        input.extend(new);
                        bytes = &input;
                    }
                }
                other => {
                    client.link.input = input;
                    self.room = room;
                    return match other {
                        Read::Nothing => Step::Wait,
                        Read::End if *needs > 0 => {
                            let early = Refusal::Malformed("the request's body ends early");
                            self.refuse(key, early, None)
                        }
                        _ => Step::Over,
                    };
                }
            }
        }
        if bytes.len() < *needs {
            client.link.input = if input.is_empty() {
                Input::of(bytes)
            } else {
                input
            };
            self.room = room;
            return Step::On;
        }
        if !client.served && speaks_http2(&client.link, bytes) {
            client.link.input = if input.is_empty() {
                Input::of(bytes)
            } else {
                input
            };
            self.room = room;
            return self.speak_http2(key);
        }
        // Old clients send an empty line behind a body (RFC 9112, 2.2). It is nobody's message, so
        // one is passed over; more are refused, and so is one before the first request.
        if client.served
            && !*skipped
            && *searched <= 1
            && matches!(bytes, b"\r" | [b'\r', b'\n', ..])
        {
            let used = if bytes.len() == 1 { 0 } else { 2 };
            *skipped = used > 0;
            *searched = usize::from(used == 0);
            if input.is_empty() {
                input = Input::of(bytes.get(used..).unwrap_or(&[]));
            } else {
                input.advance(used);
            }
            client.link.input = input;
            self.room = room;
            return Step::On;
        }
        // What comes of it, and how much of what was read has been used.
        let (step, used) = match http1::find_end(bytes, (*searched).saturating_sub(1)) {
            Ok(End::At(end)) if end <= self.settings.head => {
                let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                let begun = self.begin(key, head, rest.len(), workers);
                let is_read = |client: &Client| !matches!(client.phase, Phase::Reading { .. });
                match begun {
                    // It comes back when more is there.
                    Ok(None) => (Ok(Step::On), 0),
                    Ok(Some(step)) => (Ok(step), end),
                    Err(refusal) if self.clients.get(key).is_some_and(is_read) => {
                        (Err(refusal), end)
                    }
                    // What could not be understood is for the log.
                    Err(refusal) => (Err(refusal), 0),
                }
            }
            Ok(End::Beyond(next)) if bytes.len() < self.settings.head => {
                *searched = next.max(1);
                (Ok(Step::On), 0)
            }
            Ok(_) => (Err(Refusal::HeadTooLarge(TOO_LARGE)), 0),
            Err(refusal) => (Err(refusal), 0),
        };
        // One that comes byte by byte, or many that came at once, are not copied each time.
        if input.is_empty() {
            input = Input::of(bytes.get(used..).unwrap_or(&[]));
        } else {
            input.advance(used);
        }
        self.room = room;
        if let Some(client) = self.clients.get_mut(key) {
            client.link.input = input;
        }
        step.unwrap_or_else(|refusal| self.refuse(key, refusal, None))
    }

    /// A request's head is complete, and so much of what follows it is there. `None` if that must
    /// be more before a worker is asked for.
    fn begin<W: Workers>(
        &mut self,
        key: Key,
        head: &[u8],
        rest: usize,
        workers: &mut W,
    ) -> Result<Option<Step>, Refusal> {
        http1::check_fields(head, self.settings.fields)?;
        let (mut few, mut many) = ([MaybeUninit::uninit(); HEADERS], Vec::new());
        let request = http1::parse_request(head, http1::room(head, &mut few, &mut many))?;
        let Some(client) = self.clients.get_mut(key) else {
            return Ok(Some(Step::Wait));
        };
        let first = first_portion(&request, self.settings.body);
        if rest < first {
            client.phase = Phase::Reading {
                since: self.now,
                searched: 1,
                needs: head.len() + first,
                skipped: true,
            };
            return Ok(None);
        }
        let Some(gate) = self.gates.get_mut(&client.gate) else {
            return Ok(Some(Step::Over));
        };
        self.budget = (self.budget + 1).min(BUDGET);
        let mut to_worker = self.heads.pop().unwrap_or_default();
        let authority = match request.host {
            Some(_) => Cow::Borrowed(""),
            None => gate.authority(client.local),
        };
        let hop = Hop {
            peer: client.peer.address,
            tls: client.link.is_tls(),
            trusted: &self.settings.trusted,
            authority: &authority,
        };
        http1::write_request(&request, hop, &mut to_worker);
        let wants = http1::cookie(request.headers, COOKIE.as_bytes())
            .and_then(|value| u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok());
        let mut caller = client.peer.caller;
        let mut address = client.peer.address;
        let is_balancer = address.is_none_or(|peer| self.settings.trusted.contains(peer));
        let origin = Origin {
            connection: client.link.session().unwrap_or(key),
            named: named(&request, &self.named_by, is_balancer),
        };
        if is_balancer
            && let Some(client) =
                http1::client_of(&request, client.peer.address, &self.settings.trusted)
        {
            caller = balance::Client::at(client);
            address = Some(client);
        }
        self.last_request += 1;
        let since = match client.phase {
            Phase::Reading { since, .. } => since,
            _ => self.now,
        };
        let mut record = Record::new(gate, self.last_request, address, since);
        if self.settings.access.is_some() {
            record.note(head, Some(&request), client.link.session().is_some());
        }
        let has_room = record.take_seat(&mut self.seats);
        let mut exchange = Exchange {
            wants,
            caller,
            ..exchange(&request, record, origin, self.now, to_worker)
        };
        if client.link.session().is_some() {
            // A stream is for one request.
            exchange.keep_alive = false;
        }
        client.phase = Phase::Serving(Box::new(exchange));
        if self.has_left(key) {
            // A worker need not hear of it.
            return Ok(Some(Step::Over));
        }
        if !has_room {
            return Err(Refusal::TooMany);
        }
        let most = self.settings.body;
        if most > 0 && matches!(request.framing, Framing::Length(length) if length > most) {
            return Err(Refusal::BodyTooLarge);
        }
        self.arrive(key, workers).map(Some)
    }
}

/// Whether this client speaks HTTP/2: where TLS has agreed on it, whatever comes; where it has not
/// been asked, if the client begins so.
fn speaks_http2(link: &Link, bytes: &[u8]) -> bool {
    link.session().is_none()
        && link
            .has_agreed_on_http2()
            .unwrap_or_else(|| bytes.starts_with(PREFACE))
}

/// How much of a body must be there before a worker is asked for: so who sends a few bytes now and
/// then holds none. A body whose length is not told, or that its client keeps back until it hears
/// something, may be one half of a conversation; that begins at once.
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

/// The client that the request's fields name, whether that is true or not: what it is used for must
/// differ where they differ. `None` where a balancer names nobody.
fn named(request: &Request<'_, '_>, by: &RandomState, is_balancer: bool) -> Option<u64> {
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

/// A connection that passes whole, as if it were a request.
pub(crate) fn whole(
    record: Record,
    connection: Key,
    caller: balance::Client,
    now: u64,
) -> Exchange {
    Exchange {
        version: Version::Http11,
        is_head: false,
        keep_alive: false,
        repeatable: false,
        wants_upgrade: false,
        wants: None,
        caller,
        origin: Origin {
            connection,
            named: None,
        },
        has_body: false,
        record,
        head: Vec::new(),
        request: BodyDecoder::new(Framing::Empty),
        request_encoder: BodyEncoder::Plain,
        request_done: true,
        body: 0,
        portion: 0,
        stage: Stage::Waiting,
        failed: None,
        trouble: None,
        waits_since: now,
        sent_at: now,
        answer: None,
        interim: 0,
        begun: false,
        is_whole: true,
    }
}

/// What is to be remembered of a request.
fn exchange(
    request: &Request<'_, '_>,
    record: Record,
    origin: Origin,
    now: u64,
    head: Vec<u8>,
) -> Exchange {
    let decoder = BodyDecoder::new(request.framing);
    let caller = balance::Client::unknown(record.id);
    Exchange {
        version: request.version,
        is_head: request.is_head(),
        keep_alive: request.keep_alive,
        repeatable: request.is_idempotent() && decoder.is_done(),
        wants_upgrade: request.upgrade != Upgrade::No && request.version == Version::Http11,
        origin,
        has_body: !decoder.is_done(),
        head,
        request_done: decoder.is_done(),
        request_encoder: match request.framing {
            Framing::Chunked => BodyEncoder::Chunked,
            Framing::Empty | Framing::Length(_) | Framing::Close => BodyEncoder::Plain,
        },
        request: decoder,
        is_whole: false,
        ..whole(record, origin.connection, caller, now)
    }
}
