//! Clients, and the request that each has in progress.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use balance::{Client as Caller, MemberId, Nanos};
use http1::{BodyDecoder, BodyEncoder, Version};

use crate::downstream::http2::Session;
use crate::limits::shares::{Share, Sharer};
use crate::link::Link;
use crate::outcome::Record;
use crate::slab::Key;
use crate::upstream::pool::Origin;

/// Whom a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// None over a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The bytes of its `sockaddr`, as far as they are shown to workers.
    sockaddr: [u8; 28],
    len: usize,
    /// What it is to the balancer.
    pub(crate) caller: Caller,
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

    pub(crate) fn sockaddr(&self) -> &[u8] {
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
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) gate: u64,
    pub(crate) peer: Peer,
    /// The address that it connected to; none where the listener has only one.
    pub(crate) local: Option<IpAddr>,
    pub(crate) phase: Phase,
    /// When something last went to or came from it.
    pub(crate) active_at: Nanos,
    /// Whether it has had a response.
    pub(crate) served: bool,
    /// Whose shares it counts towards, what it has had of this turn, and whether it goes on in the
    /// next.
    pub(crate) sharer: Option<Sharer>,
    pub(crate) share: Share,
    pub(crate) is_deferred: bool,
}

#[derive(Debug)]
pub(crate) enum Phase {
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
    /// It has said nothing, and a worker may speak first, until then: see [`crate::listener::foreign`].
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
    pub(crate) fn reading(now: Nanos) -> Self {
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
    /// It was in a pair that its worker did not take; the worker's end goes to the next one.
    Returned(Key, OwnedFd),
    /// It is with this worker.
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
    pub(crate) keep_pair: Option<std::time::Duration>,
    pub(crate) is_event_stream: bool,
}

/// An upgraded connection, or one that passes whole.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) record: Record,
    pub(crate) member: MemberId,
    pub(crate) pair: Key,
    /// The balancer counts it as in progress.
    pub(crate) is_counted: bool,
    /// Which sides have been told that the other sends no more.
    pub(crate) told_worker: bool,
    pub(crate) told_client: bool,
}
