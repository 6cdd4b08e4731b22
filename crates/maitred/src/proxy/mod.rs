//! The proxy: it keeps the clients' connections, and gives each request to a worker by itself.
//!
//! One thread, edge-triggered events, no waiting. A request goes to its worker over a *pair*, a
//! Unix socket pair whose other end went down the worker's channel as a connection; pairs are kept
//! and used again. What is understood of HTTP is in the crate `http`, whose turn it is in
//! `balance`; this room reads, writes, and keeps time. It knows workers only by what
//! [`Workers`] offers.

mod client;
mod crowd;
mod exchange;
mod h2;
mod handing;
mod ids;
mod link;
mod pool;
mod record;
mod relay;
mod seats;
mod slab;
#[cfg(test)]
mod tests;
mod time;
mod tls;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use balance::{Client as Caller, Look, Loops, MemberId, Nanos, RequestBalancer, RequestSettings};
use http::{Networks, Refusal};
use rustix::event::epoll;

use client::{Client, Peer, Phase};
use h2::Bells;
use ids::IdMap;
use link::Link;
use pool::{Desk, Pair};
use record::Outcome;
use seats::Seats;
use slab::{Key, Slab};
use tls::Certificates;
pub(crate) use tls::Files;

use crate::access;
use crate::figures::{RequestFigures, WorkerRequests};

/// What is read at once, and so what may wait to be written to a slow reader.
const READ: usize = 64 * 1024;

/// How much of one connection is done before others have their turn.
const STEPS: usize = 16;

/// How many connections go on before the kernel is asked what else there is.
const AT_ONCE: usize = 64;

/// How many reports may wait to be fetched.
const REPORTS: usize = 256;

/// A loop that waits has seen what it was sent after this.
const HEEDED: Nanos = 2_000_000;

/// In an epoll event's data, below its kind: whether it is about a pair.
const PAIR: u64 = 1 << 55;

/// What a proxy is to do. Times of zero mean "for ever", sizes of zero "any".
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How to choose, and how much may wait.
    pub(crate) balance: RequestSettings,
    /// Balancers before us, whose words about clients are believed.
    pub(crate) trusted: Networks,
    /// Every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Certificates and keys; none for clear text.
    pub(crate) tls: Vec<Files>,
    /// The name of a response field that tells the instance.
    pub(crate) instance_header: Option<String>,
    /// Requests that change nothing go to another worker when one fails.
    pub(crate) retry_idempotent: bool,
    /// How many connections of clients there may be.
    pub(crate) max_clients: usize,
    /// How many requests of one client may be in progress.
    pub(crate) client_limit: usize,
    /// Where each request is noted when it is over.
    pub(crate) access: Option<access::Queue>,
    /// Bytes of a request's head.
    pub(crate) head: usize,
    /// Bytes of a request's body.
    pub(crate) body: u64,
    /// How long a request's head may take to arrive.
    pub(crate) head_time: Duration,
    /// How long a connection may be idle between requests.
    pub(crate) idle_time: Duration,
    /// How long a client may send or take nothing while it should.
    pub(crate) stall_time: Duration,
    /// How long a worker may take to begin its response.
    pub(crate) answer_time: Duration,
}

/// What the proxy can see and do of the workers.
pub(crate) trait Workers {
    /// Looks at the worker's loop.
    fn look(&mut self, member: MemberId) -> Look;
    /// Puts a probe into its channel; `false` if it cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;
    /// Whether [`Proxy::turned`] shall be called when it takes something.
    fn watch(&mut self, member: MemberId, on: bool);
    /// Sends a connection down its channel; `peer` is the `sockaddr` of its client.
    ///
    /// # Errors
    /// Gives the connection back if the channel takes no more.
    fn hand(&mut self, member: MemberId, end: OwnedFd, peer: &[u8]) -> Result<(), OwnedFd>;
    /// How many connections lie in its channel.
    fn untaken(&mut self, member: MemberId) -> usize;
    /// Takes the oldest of them back.
    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd>;
}

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// The request's number, which the client was told.
    pub(crate) id: u64,
    pub(crate) gate: u64,
    pub(crate) member: Option<MemberId>,
    pub(crate) refusal: Refusal,
    /// What exactly was wrong with the response.
    pub(crate) detail: Option<&'static str>,
    /// The response had begun, so that the client was told by the connection's end alone.
    pub(crate) cut: bool,
}

/// One listener: its balancer, and how it is called.
#[derive(Debug)]
struct Gate {
    balancer: RequestBalancer,
    /// The listener's address, as a `sockaddr` and as clients write it.
    sockaddr: Vec<u8>,
    authority: String,
    counts: RequestFigures,
    /// Requests that are not over, those that wait among them.
    open: usize,
    /// What was counted of each worker, by its key: of what is over.
    workers: HashMap<u64, WorkerRequests>,
}

/// The proxy of an app.
pub(crate) struct Proxy {
    settings: Settings,
    epoll: Arc<OwnedFd>,
    /// What epoll events of ours have above the lowest 56 bits of their data.
    kind: u64,
    gates: IdMap<u64, Gate>,
    desks: IdMap<MemberId, Desk>,
    clients: Slab<Client>,
    pairs: Slab<Pair>,
    /// Names pairs; no two supervisors' are alike.
    last_pair: u64,
    last_request: u64,
    now: Nanos,
    /// Room for what is read, and for what is written.
    room: Vec<u8>,
    out: Vec<u8>,
    /// Room for the next request's head, empty.
    spare: Vec<u8>,
    /// Clients that may go on, and gates where a request that waits may be placed.
    again: VecDeque<Key>,
    free: Vec<u64>,
    bells: Bells,
    sweep_at: Nanos,
    untaken_at: Option<Nanos>,
    /// Repetitions that may still be had: each request earns a part of one.
    budget: u32,
    /// Requests that each client has in progress.
    seats: Seats,
    reports: Vec<Report>,
    /// Failures beyond those.
    unreported: u64,
    tls: Option<Certificates>,
    /// What is wrong with certificates that have changed.
    complaint: Option<String>,
    closing: bool,
}

/// The workers' loops, as the balancer wants to see them.
struct View<'a, W> {
    workers: &'a mut W,
    now: Nanos,
    desks: &'a IdMap<MemberId, Desk>,
    pairs: &'a Slab<Pair>,
}

impl<W: Workers> Loops for View<'_, W> {
    fn look(&mut self, member: MemberId) -> Look {
        self.workers.look(member)
    }

    fn unread(&mut self, member: MemberId) -> bool {
        let last = self.desks.get(&member).and_then(|desk| desk.last);
        let last = last.and_then(|key| self.pairs.get(key));
        // A loop that has waited so long has seen it, and does not want to read on: a body, which
        // it takes when it likes.
        last.is_some_and(|pair| self.now < pair.asked_at + HEEDED && pair.link.is_unread())
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.workers.probe(member)
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        self.workers.watch(member, on);
    }
}

impl Proxy {
    /// A proxy whose events carry `kind` in the upper 8 bits of their data, and which counts pairs
    /// from `first` on.
    pub(crate) fn new(settings: Settings, epoll: Arc<OwnedFd>, kind: u64, first: u64) -> Self {
        let most = settings.client_limit;
        Self {
            settings,
            epoll,
            kind,
            gates: IdMap::default(),
            desks: IdMap::default(),
            clients: Slab::new(),
            pairs: Slab::new(),
            last_pair: first,
            last_request: first,
            now: 0,
            room: vec![0; READ],
            out: Vec::with_capacity(READ),
            spare: Vec::new(),
            again: VecDeque::new(),
            free: Vec::new(),
            bells: Bells::default(),
            sweep_at: 0,
            untaken_at: None,
            budget: exchange::BUDGET,
            seats: Seats::new(most),
            reports: Vec::new(),
            unreported: 0,
            tls: None,
            complaint: None,
            closing: false,
        }
    }

    /// Reads the certificates.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub(crate) fn load_certificates(&mut self) -> Result<(), String> {
        if !self.settings.tls.is_empty() {
            self.tls = Some(Certificates::load(self.settings.tls.clone())?);
        }
        Ok(())
    }

    /// What is wrong with certificates that have changed since they were read; once.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Sets the time, in nanoseconds since any fixed moment; before anything else in each turn.
    pub(crate) fn set_time(&mut self, now: Nanos) {
        self.now = now;
    }

    /// A listener has been opened: its name, its `sockaddr`, and how clients call it.
    pub(crate) fn open(&mut self, gate: u64, sockaddr: &[u8], authority: String) {
        let balancer = RequestBalancer::new(self.settings.balance);
        self.gates.insert(
            gate,
            Gate {
                balancer,
                sockaddr: sockaddr.to_vec(),
                authority,
                counts: RequestFigures::default(),
                open: 0,
                workers: HashMap::new(),
            },
        );
    }

    /// A worker listens there.
    pub(crate) fn join(&mut self, gate: u64, member: MemberId, key: u64) {
        if let Some(at) = self.gates.get_mut(&gate) {
            at.balancer.join(member, key);
            self.desks.insert(member, Desk::new(gate));
            self.free.push(gate);
        }
    }

    /// How many clients there may be.
    pub(crate) fn most_clients(&self) -> usize {
        self.settings.max_clients
    }

    /// Whether another client may come in.
    pub(crate) fn has_room(&self) -> bool {
        self.clients.len() < self.settings.max_clients
    }

    /// A client has connected. `peer` is its `sockaddr`.
    ///
    /// # Errors
    /// If the kernel cannot watch the connection.
    pub(crate) fn accept(
        &mut self,
        gate: u64,
        socket: OwnedFd,
        peer: &[u8],
        address: Option<IpAddr>,
        caller: Caller,
    ) -> io::Result<()> {
        link::prepare(&socket);
        let phase = if self.settings.proxy_protocol {
            Phase::Greeting
        } else {
            Phase::reading(self.now)
        };
        let (kind, epoll, now) = (self.kind, &self.epoll, self.now);
        let tls = self.tls.as_ref().map(Certificates::begin).transpose();
        let tls = tls.map_err(io::Error::other)?;
        self.clients.insert(|key| {
            Ok::<_, io::Error>(Client {
                link: Link::new(socket, epoll, kind | key.bits())?.with_tls(tls),
                gate,
                peer: Peer::new(peer, address, caller),
                phase,
                active_at: now,
                served: false,
            })
        })?;
        self.sweep_by();
        Ok(())
    }

    /// An epoll event with our kind has come, among others. All of a lot are heard of before any is
    /// seen to by [`Self::event`]: so nothing is sent over a pair whose end, or on which something
    /// unasked, is told in the same lot.
    pub(crate) fn hear(&mut self, data: u64, flags: epoll::EventFlags) {
        let key = Key::of(data & (PAIR - 1));
        let link = if data & PAIR == 0 {
            self.clients.get_mut(key).map(|client| &mut client.link)
        } else {
            self.pairs.get_mut(key).map(|pair| &mut pair.link)
        };
        if let Some(link) = link {
            link.note(flags);
        }
    }

    /// Sees to an event that has been heard of.
    pub(crate) fn event<W: Workers>(
        &mut self,
        data: u64,
        flags: epoll::EventFlags,
        workers: &mut W,
    ) {
        let key = Key::of(data & (PAIR - 1));
        if data & PAIR == 0 {
            let Some(client) = self.clients.get(key) else {
                return;
            };
            let is_broken = flags.contains(epoll::EventFlags::ERR);
            let hears_nothing = flags.contains(epoll::EventFlags::HUP);
            if is_broken || hears_nothing && !matches!(client.phase, Phase::Tunnel(_)) {
                // Both directions have ended: nobody hears an answer. What came through a tunnel
                // before that is for the worker all the same.
                self.drop_client(key);
            } else {
                self.drive(key, workers);
            }
        } else {
            match self.pairs.get(key).map(|pair| (pair.client, &pair.link)) {
                Some((Some(client), _)) => self.drive(client, workers),
                // What it told of has been read, as the end of a response.
                Some((None, link)) if link.is_quiet() => {}
                // Its worker has left it, or speaks without having been asked.
                Some((None, _)) => self.drop_pair(key),
                None => return,
            }
        }
        self.settle(workers);
    }

    /// The loop of a worker has turned.
    pub(crate) fn turned<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        if let Some(desk) = self.desks.get(&member)
            && let Some(gate) = self.gates.get_mut(&desk.gate)
        {
            gate.balancer.turned(member);
            self.free.push(desk.gate);
        }
        self.settle(workers);
    }

    /// Places requests that wait, and lets some of those go on that can; the rest has its turn when
    /// others had theirs.
    pub(crate) fn settle<W: Workers>(&mut self, workers: &mut W) {
        for _ in 0..AT_ONCE {
            while let Some(gate) = self.free.pop() {
                self.place_waiting(gate, workers);
            }
            if self.again.is_empty() {
                self.again.extend(self.bells.rung());
            }
            let Some(client) = self.again.pop_front() else {
                return;
            };
            self.drive(client, workers);
        }
    }

    fn place_waiting<W: Workers>(&mut self, gate: u64, workers: &mut W) {
        while let Some(at) = self.gates.get_mut(&gate) {
            let mut view = View {
                workers,
                now: self.now,
                desks: &self.desks,
                pairs: &self.pairs,
            };
            let Some((arrival, member)) = at.balancer.next(self.now, &mut view) else {
                return;
            };
            let client = Key::of(arrival.ticket.0);
            self.start(client, member, workers);
            self.again.push_back(client);
        }
    }

    /// Whether the worker has a request to answer: not a tunnel, nor a stream of events, which last
    /// as long as their clients like.
    pub(crate) fn awaits(&self, member: MemberId) -> bool {
        self.clients.iter().any(|(_, client)| match &client.phase {
            Phase::Serving(exchange) => {
                let answer = exchange.answer.as_ref();
                matches!(exchange.stage, client::Stage::With(with, _) if with == member)
                    && !answer.is_some_and(|answer| answer.is_event_stream)
            }
            _ => false,
        })
    }

    /// What was counted at a listener.
    pub(crate) fn figures(&self, gate: u64) -> Option<RequestFigures> {
        let gate = self.gates.get(&gate)?;
        let waiting = gate.balancer.waiting();
        Some(RequestFigures {
            waiting,
            in_progress: gate.open.saturating_sub(waiting),
            ..gate.counts.clone()
        })
    }

    /// The requests that have failed since this was asked last, and how many more there were.
    pub(crate) fn reports(&mut self) -> (Vec<Report>, u64) {
        let more = std::mem::take(&mut self.unreported);
        (std::mem::take(&mut self.reports), more)
    }

    /// The app stops: connections end with the response that they are at.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        for (key, client) in self.clients.iter_mut() {
            if let Phase::Session(session) = &mut client.phase {
                session.close();
                self.again.push_back(key);
            }
        }
        let idle: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| {
                matches!(client.phase, Phase::Greeting | Phase::Reading { .. })
                    && client.link.input.is_empty()
            })
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            let clogged = |client: &Client| client.link.is_clogged();
            if self.clients.get(key).is_some_and(clogged) {
                // The end of its last response is still to be written.
                self.leaving(key);
            } else {
                self.drop_client(key);
            }
        }
    }

    /// Ends a client's connection, and what it has in progress.
    fn drop_client(&mut self, key: Key) {
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        if let Some(session) = client.link.session() {
            self.stream_ended(session, matches!(client.phase, Phase::Leaving { .. }));
        }
        match client.phase {
            Phase::Serving(exchange) => {
                self.abandon(client.gate, key, exchange.stage);
                self.account(client.gate, exchange.record, Outcome::Aborted);
            }
            Phase::Tunnel(tunnel) => {
                self.abandon(
                    client.gate,
                    key,
                    client::Stage::With(tunnel.member, tunnel.pair),
                );
                self.account(client.gate, tunnel.record, Outcome::Upgraded);
            }
            Phase::Greeting | Phase::Reading { .. } | Phase::Session(_) | Phase::Leaving { .. } => {
            }
        }
    }

    /// A request, or a tunnel, is over, and its pair is not used again.
    fn abandon(&mut self, gate: u64, client: Key, stage: client::Stage) {
        match stage {
            client::Stage::Waiting => self.cancel(gate, client),
            client::Stage::Returned(pair, end) => {
                drop(end);
                self.drop_pair(pair);
                self.cancel(gate, client);
            }
            client::Stage::With(member, pair) => {
                self.drop_pair(pair);
                self.ended(gate, member);
            }
        }
    }

    fn cancel(&mut self, gate: u64, client: Key) {
        if let Some(gate) = self.gates.get_mut(&gate) {
            gate.balancer.cancel(balance::Ticket(client.bits()));
        }
    }

    /// A worker has one request less.
    fn ended(&mut self, gate: u64, member: MemberId) {
        if let Some(at) = self.gates.get_mut(&gate) {
            at.balancer.ended(self.now, member);
            if at.balancer.waiting() > 0 {
                self.free.push(gate);
            }
        }
    }

    fn drop_pair(&mut self, key: Key) {
        if let Some(pair) = self.pairs.remove(key)
            && pair.client.is_none()
            && let Some(desk) = self.desks.get_mut(&pair.member)
        {
            desk.forget(pair.peer, key);
        }
    }

    fn report(&mut self, report: Report) {
        if self.reports.len() < REPORTS {
            self.reports.push(report);
        } else {
            self.unreported += 1;
        }
    }
}
