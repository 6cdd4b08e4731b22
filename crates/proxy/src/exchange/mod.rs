//! A request with its response, or a tunnel: what is kept of it from the request's head to the
//! response's last byte. What is done with it is in the files beside this.

pub(crate) mod begin;
pub(crate) mod departure;
pub(crate) mod ending;
pub(crate) mod placing;
pub(crate) mod serve;

use std::os::fd::OwnedFd;
use std::time::Duration;

use balance::{Arrival, Client as Caller, MemberId, Nanos, Ticket};
use http1::{BodyDecoder, BodyEncoder, Framing, Request, Upgrade, Version};

use crate::outcome::record::Record;
use crate::slab::Key;
use crate::upstream::connection::Origin;

/// A request, and its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) record: Record,
    pub(crate) version: Version,
    pub(crate) is_head: bool,
    /// The client lets the connection go on after it.
    pub(crate) keep_alive: bool,
    /// It may be sent to another worker if one fails: it has no body and changes nothing.
    pub(crate) repeatable: bool,
    pub(crate) wants_upgrade: bool,
    /// The member that the client's cookie names.
    pub(crate) wants: Option<u64>,
    /// Who asks, for the balancer.
    pub(crate) caller: Caller,
    /// Whose request it is, for the connections to workers.
    pub(crate) origin: Origin,
    pub(crate) has_body: bool,
    /// The head for the worker; gone when it has been sent, unless it may be sent again.
    pub(crate) head: Vec<u8>,
    /// All that has been read of it, as it came: of one that had to wait for a worker, as long as nothing more
    /// is read. So it can move to another proxy.
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) request: BodyDecoder,
    pub(crate) request_encoder: BodyEncoder,
    /// The whole request has been read, and passed on.
    pub(crate) request_done: bool,
    /// Bytes of its body so far.
    pub(crate) body: u64,
    /// What has come of it since that last counted as a sign of life.
    pub(crate) portion: usize,
    pub(crate) stage: Stage,
    /// The worker that failed it, where it is sent again.
    pub(crate) failed: Option<MemberId>,
    /// Why it could not be sent when that was last tried.
    pub(crate) trouble: Option<&'static str>,
    /// When it began to wait for a worker.
    pub(crate) waits_since: Nanos,
    /// When the worker was last sent something of it.
    pub(crate) sent_at: Nanos,
    pub(crate) answer: Option<Answer>,
    /// How many interim responses have come.
    pub(crate) interim: u32,
    /// Something of the response has been passed on, an interim one perhaps.
    pub(crate) begun: bool,
    /// It is no request, but a connection that passes whole.
    pub(crate) is_whole: bool,
}

/// Where a request is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It waits for a worker.
    Waiting,
    /// It was in a connection that its worker did not take; the worker's end goes to the next one.
    Returned(Key, OwnedFd),
    /// It is with this worker, over this connection.
    With(MemberId, Key),
}

/// A response that is being passed on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) decoder: BodyDecoder,
    pub(crate) encoder: BodyEncoder,
    /// The client's connection goes on after it.
    pub(crate) keep_alive: bool,
    /// How long the worker's connection may be kept after it; none if not at all.
    pub(crate) keep_connection: Option<Duration>,
    pub(crate) is_event_stream: bool,
}

/// A connection of a client and one of a worker, joined.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) record: Record,
    pub(crate) member: MemberId,
    pub(crate) connection: Key,
    /// The balancer counts it as in progress.
    pub(crate) is_counted: bool,
    /// Which sides know that the other sends no more.
    pub(crate) told_worker: bool,
    pub(crate) told_client: bool,
}

impl Exchange {
    /// A connection that passes whole, as if it were a request.
    pub(crate) fn whole(record: Record, connection: Key, caller: Caller, now: Nanos) -> Self {
        let origin = Origin {
            connection,
            named: None,
        };
        Self {
            is_whole: true,
            ..Self::empty(record, origin, caller, now)
        }
    }

    /// What the proxy remembers of a request, with the head that its worker gets.
    pub(crate) fn of(
        request: &Request<'_, '_>,
        record: Record,
        origin: Origin,
        caller: Caller,
        head: Vec<u8>,
        now: Nanos,
    ) -> Self {
        let decoder = BodyDecoder::new(request.framing);
        let is_done = decoder.is_done();
        Self {
            version: request.version,
            is_head: request.is_head(),
            keep_alive: request.keep_alive,
            repeatable: request.is_idempotent() && is_done,
            wants_upgrade: request.upgrade != Upgrade::No && request.version == Version::Http11,
            has_body: !is_done,
            head,
            request_done: is_done,
            request_encoder: encoder(request.framing),
            request: decoder,
            ..Self::empty(record, origin, caller, now)
        }
    }

    fn empty(record: Record, origin: Origin, caller: Caller, now: Nanos) -> Self {
        Self {
            record,
            version: Version::Http11,
            is_head: false,
            keep_alive: false,
            repeatable: false,
            wants_upgrade: false,
            wants: None,
            caller,
            origin,
            has_body: false,
            head: Vec::new(),
            raw: None,
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
            is_whole: false,
        }
    }

    /// What the balancer learns about it.
    pub(crate) fn arrival(&self, client: Key) -> Arrival {
        Arrival {
            ticket: Ticket(client.bits()),
            client: self.caller,
            wants: self.wants,
            failed: self.failed,
        }
    }

    /// Whether its response is a stream of events, which lasts as long as its client likes.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| answer.is_event_stream)
    }
}

/// How a body that is framed so is written.
pub(crate) fn encoder(framing: Framing) -> BodyEncoder {
    match framing {
        Framing::Chunked => BodyEncoder::Chunked,
        Framing::Empty | Framing::Length(_) | Framing::Close => BodyEncoder::Plain,
    }
}
