//! Clients, and the request that each has in progress.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use balance::{Client as Caller, MemberId, Nanos};
use http1::{BodyDecoder, BodyEncoder, Version};

use super::h2::Session;
use super::link::Link;
use super::pool::Origin;
use super::record::Record;
use super::shares::{Share, Sharer};
use super::slab::Key;

/// Whom a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// None over a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// The bytes of its `sockaddr`, as far as they are shown to workers.
    sockaddr: [u8; 28],
    len: usize,
    /// What it is to the balancer.
    pub(super) caller: Caller,
}

impl Peer {
    pub fn new(sockaddr: &[u8], address: Option<IpAddr>, caller: Caller) -> Self {
        let mut bytes = [0; 28];
        let len = if sockaddr.len() > bytes.len() {
            2
        } else {
            sockaddr.len()
        };
        for (to, from) in bytes.iter_mut().zip(sockaddr.iter().take(len)) {
            *to = *from;
        }
        Self {
            address,
            sockaddr: bytes,
            len,
            caller,
        }
    }

    pub(super) fn sockaddr(&self) -> &[u8] {
        self.sockaddr.get(..self.len).unwrap_or(&[])
    }
}

/// One connection of a client.
///
/// ```text
///              head complete                 101
///   Greeting ─▶ Reading ─────────────▶ Serving ─────▶ Tunnel
///   (PROXY         ▲                    │  │             │
///   header)        └────────────────────┘  └──▶ Leaving ◀┘
///                   response complete            (the last words are being read)
/// ```
///
/// Where it is not known yet what is spoken, one that says nothing is `Hearing` for a while: its
/// worker may speak first, which makes it a `Tunnel`, or it goes back to `Reading`.
///
/// A connection that begins with the words of HTTP/2 is a `Session` from then on. Each of its
/// streams is a client, too, which reads one request, serves it, and leaves.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) link: Link,
    pub(super) gate: u64,
    pub(super) peer: Peer,
    /// The address that it connected to; none where the listener has only one.
    pub(super) local: Option<IpAddr>,
    pub(super) phase: Phase,
    /// When something last went to or came from it.
    pub(super) active_at: Nanos,
    /// Whether it has had a response.
    pub(super) served: bool,
    /// Whose shares it counts towards, what it has had of this turn, and whether it goes on in the
    /// next.
    pub(super) sharer: Option<Sharer>,
    pub(super) share: Share,
    pub(super) is_deferred: bool,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// A balancer before us says who the client is.
    Greeting,
    /// A request's head is read, since then; so much of it has been searched for its end.
    /// With its body there must be `needs` bytes before a worker is asked for. `skipped`: an empty
    /// line before it has been passed over.
    Reading {
        since: Nanos,
        searched: usize,
        needs: usize,
        skipped: bool,
    },
    /// It has said nothing, and a worker may speak first, until then: see [`super::protocol`].
    Hearing {
        since: Nanos,
        until: Nanos,
        member: MemberId,
        pair: Key,
    },
    /// A request is in progress.
    Serving(Box<Exchange>),
    /// It speaks HTTP/2: each of its requests has a client of its own.
    Session(Box<Session>),
    /// Bytes go both ways, whatever they mean.
    Tunnel(Tunnel),
    /// What was said last is being written, and what still comes is not heard, until then.
    Leaving { until: Nanos },
}

impl Phase {
    /// The next request is read from now on.
    pub(super) fn reading(now: Nanos) -> Self {
        Self::Reading {
            since: now,
            searched: 0,
            needs: 0,
            skipped: false,
        }
    }
}

/// A request, and its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) record: Record,
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// The client lets the connection go on after it.
    pub(super) keep_alive: bool,
    /// It may be sent to another worker if one fails: it has no body and changes nothing.
    pub(super) repeatable: bool,
    pub(super) wants_upgrade: bool,
    /// The member that the client's cookie names.
    pub(super) wants: Option<u64>,
    /// Who asks, for the balancer.
    pub(super) caller: Caller,
    /// Whose request it is, for the connections to workers.
    pub(super) origin: Origin,
    pub(super) has_body: bool,
    /// The head for the worker; gone when it has been sent, unless it may be sent again.
    pub(super) head: Vec<u8>,
    pub(super) request: BodyDecoder,
    pub(super) request_encoder: BodyEncoder,
    /// The whole request has been read, and passed on.
    pub(super) request_done: bool,
    /// Bytes of its body so far.
    pub(super) body: u64,
    /// What has come of it since that last counted as a sign of life.
    pub(super) portion: usize,
    pub(super) stage: Stage,
    /// The worker that failed it, where it is sent again.
    pub(super) failed: Option<MemberId>,
    /// Why it could not be sent when that was last tried.
    pub(super) trouble: Option<&'static str>,
    /// When it began to wait for a worker.
    pub(super) waits_since: Nanos,
    /// When the worker was last sent something of it.
    pub(super) sent_at: Nanos,
    pub(super) answer: Option<Answer>,
    /// How many interim responses have come.
    pub(super) interim: u32,
    /// Something of the response has been passed on, an interim one perhaps.
    pub(super) begun: bool,
    /// It is no request, but a connection that passes whole.
    pub(super) is_whole: bool,
}

/// Where a request is.
#[derive(Debug)]
pub(super) enum Stage {
    /// It waits for a worker.
    Waiting,
    /// It was in a pair that its worker did not take; the worker's end goes to the next one.
    Returned(Key, OwnedFd),
    /// It is with this worker.
    With(MemberId, Key),
}

/// A response that is being passed on.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) decoder: BodyDecoder,
    pub(super) encoder: BodyEncoder,
    /// The client's connection goes on after it.
    pub(super) keep_alive: bool,
    /// How long the worker's connection may be kept after it; none if not at all.
    pub(super) keep_pair: Option<std::time::Duration>,
    pub(super) is_event_stream: bool,
}

/// An upgraded connection, or one that passes whole.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) record: Record,
    pub(super) member: MemberId,
    pub(super) pair: Key,
    /// The balancer counts it as in progress.
    pub(super) is_counted: bool,
    /// Which sides have been told that the other sends no more.
    pub(super) told_worker: bool,
    pub(super) told_client: bool,
}
