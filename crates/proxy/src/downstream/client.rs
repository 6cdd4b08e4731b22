//! Clients, and what each is at.

use std::net::IpAddr;

use balance::{Arrival, MemberId, Nanos};

use super::carrier::Carrier;
use super::http2::session::Session;
use super::peer::Peer;
use crate::exchange::{Exchange, Tunnel};
use crate::limits::framing_rate::Payer;
use crate::limits::shares::{Share, Sharer};
use crate::link::Link;
use crate::slab::Key;
use crate::upstream::connection::Ends;

/// One connection of a client, or one stream of its HTTP/2 connection.
///
/// ```text
///                  head complete                 101
///   ProxyHeader ─▶ Reading ─────────────▶ Serving ─────▶ Tunnel
///                    ▲                     │  │             │
///                    └─────────────────────┘  └──▶ Closing ◀┘
///                     response complete            (the last words are being read)
/// ```
///
/// Where it is not known yet what is spoken, a connection on which the client says nothing awaits
/// the `FirstWord` for a while: its worker may speak first, which makes it a `Tunnel`, or it goes
/// back to `Reading`.
///
/// A connection that begins with the words of HTTP/2 is an `Http2` session from then on. Each of its
/// streams is a client, too, which reads one request, serves it, and closes.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its own place among the clients.
    pub(crate) key: Key,
    pub(crate) link: Link,
    pub(crate) carrier: Carrier,
    pub(crate) listener: u64,
    pub(crate) peer: Peer,
    /// The address that it connected to; none where the listener has only one.
    pub(crate) local: Option<IpAddr>,
    pub(crate) phase: Phase,
    /// When something last went to or came from it.
    pub(crate) active_at: Nanos,
    /// Whether it has had a response.
    pub(crate) served: bool,
    /// Whose shares it counts towards, and what it has had of this turn.
    pub(crate) sharer: Option<Sharer>,
    pub(crate) share: Share,
    /// It goes on in the next turn.
    pub(crate) is_deferred: bool,
    /// It goes on later.
    pub(crate) is_paused: bool,
}

/// Whom a client's connection comes from, and where it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) listener: u64,
    pub(crate) peer: Peer,
    pub(crate) local: Option<IpAddr>,
    pub(crate) sharer: Option<Sharer>,
}

impl Client {
    /// A client that has just come.
    pub(crate) fn new(
        key: Key,
        link: Link,
        carrier: Carrier,
        source: Source,
        phase: Phase,
        now: Nanos,
    ) -> Self {
        Self {
            key,
            link,
            carrier,
            listener: source.listener,
            peer: source.peer,
            local: source.local,
            phase,
            active_at: now,
            served: false,
            sharer: source.sharer,
            share: Share::default(),
            is_deferred: false,
            is_paused: false,
        }
    }

    /// Whether it has not sent its next request, and has had less time for that than since this moment.
    pub(crate) fn is_new(&self, since: Nanos) -> bool {
        let came_at = match &self.phase {
            Phase::ProxyHeader => self.active_at,
            Phase::Reading(reading) => reading.since,
            Phase::FirstWord(word) => word.since,
            _ => return false,
        };
        came_at > since
    }

    /// Where it comes from, for the streams of its connection.
    pub(crate) fn source(&self) -> Source {
        Source {
            listener: self.listener,
            peer: self.peer,
            local: self.local,
            sharer: self.sharer,
        }
    }

    /// Whose rate of framing it counts towards.
    pub(crate) fn payer(&self) -> Payer {
        self.sharer
            .map_or(Payer::Connection(self.key), Payer::Address)
    }

    /// The request in progress, if there is one.
    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.phase {
            Phase::Serving(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// What the balancer learns about the request in progress.
    pub(crate) fn arrival(&self) -> Option<Arrival> {
        match &self.phase {
            Phase::Serving(exchange) => Some(exchange.arrival(self.key)),
            _ => None,
        }
    }

    /// What a worker sees of it.
    pub(crate) fn ends(&self) -> Ends {
        Ends {
            peer: self.peer.address,
            local: self.local,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// The balancer in front says who the client is.
    ProxyHeader,
    /// A request's head is read.
    Reading(Reading),
    /// Neither the client nor the worker has said anything: see `detect/worker_first.rs`.
    FirstWord(FirstWord),
    /// A request is in progress.
    Serving(Box<Exchange>),
    /// It speaks HTTP/2: each of its requests has a client of its own.
    Http2(Box<Session>),
    /// Bytes go both ways, whatever they mean.
    Tunnel(Tunnel),
    /// What was said last is being written, and what still comes is thrown away, until then.
    Closing { until: Nanos },
}

impl Phase {
    /// The next request is read from now on.
    pub(crate) fn reading(now: Nanos) -> Self {
        Self::Reading(Reading {
            since: now,
            searched: 0,
            needs: 0,
            skipped: false,
        })
    }
}

/// How far the head of the next request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) since: Nanos,
    /// Bytes that have been searched for the head's end.
    pub(crate) searched: usize,
    /// Bytes that must be there, with the body, before a worker is asked for.
    pub(crate) needs: usize,
    /// An empty line before it has been passed over.
    pub(crate) skipped: bool,
}

/// A connection on which the worker may speak first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstWord {
    /// When the client became silent.
    pub(crate) since: Nanos,
    pub(crate) until: Nanos,
    pub(crate) member: MemberId,
    pub(crate) connection: Key,
}

/// What a step has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another one may follow.
    On,
    /// Nothing more can be done until something happens.
    Wait,
    /// The client's connection is over.
    Over,
}
