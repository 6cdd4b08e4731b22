//! The proxy: it keeps the clients' connections, and gives each request to a worker by itself.
//!
//! One thread, edge-triggered events, no waiting. A request goes to its worker over a *pair*, a
//! Unix socket pair whose other end went down the worker's channel as a connection; pairs are kept
//! and used again. What is understood of HTTP is in the crate `http1`, whose turn it is in
//! `balance`; this crate reads, writes, and keeps time. It knows workers only by what
//! [`Workers`] offers.

#![forbid(unsafe_code)]

mod downstream;
mod exchange;
mod forward;
mod ids;
mod limits;
mod link;
mod listener;
mod outcome;
mod settings;
mod slab;
#[cfg(test)]
mod tests;
mod timeouts;
mod upstream;
mod workers;

use std::collections::VecDeque;
use std::hash::RandomState;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use balance::{MemberId, Nanos};
use http1::Refusal;
use rustix::event::epoll;

pub use downstream::client::Peer;
use downstream::client::{Client, Phase};
use downstream::http2::Bells;
use downstream::tls::Certificates;
pub use downstream::tls::Files;
use ids::IdMap;
use limits::capacity::Room;
use limits::client_limit::Seats;
use limits::shares::{Share, Shares};
use link::Link;
use listener::Gate;
pub use settings::Settings;
use slab::{Key, Slab};
use upstream::batch::Post;
use upstream::pool::{Desk, Pair};
use workers::View;
pub use workers::Workers;

use telemetry::figures::Foreign;

/// What is read at once, and so what may wait to be written to a slow reader.
const READ: usize = 64 * 1024;

/// How many requests of an HTTP/2 connection are taken up in one step.
const STEPS: usize = 16;

/// How many connections go on before the kernel is asked what else there is.
const AT_ONCE: usize = 64;

/// How many reports may wait to be fetched.
const REPORTS: usize = 256;

/// In an epoll event's data, below its kind: whether it is about a pair.
const PAIR: u64 = 1 << 55;

/// Whether an event with this number is about a connection to a worker.
pub fn is_pair(number: u64) -> bool {
    number & PAIR != 0
}

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The request's number, which the client was told.
    pub id: u64,
    pub gate: u64,
    pub member: Option<MemberId>,
    pub refusal: Refusal,
    /// What exactly was wrong with the response.
    pub detail: Option<&'static str>,
    /// The response had begun, so that the client was told by the connection's end alone.
    pub cut: bool,
}

/// The proxy of an app.
pub struct Proxy {
    settings: Settings,
    epoll: Arc<OwnedFd>,
    /// What epoll events of ours have above the lowest 56 bits of their data.
    kind: u64,
    gates: IdMap<u64, Gate>,
    desks: IdMap<MemberId, Desk>,
    clients: Slab<Client>,
    pairs: Slab<Pair>,
    /// Tells clients apart by what their requests' fields say.
    named_by: RandomState,
    /// Names pairs; no two supervisors' are alike.
    last_pair: u64,
    last_request: u64,
    now: Nanos,
    /// Room for what is read, and for what is written.
    room: Vec<u8>,
    out: Vec<u8>,
    /// Room for further requests' heads, empty.
    heads: Vec<Vec<u8>>,
    /// What goes to workers at the end of the turn, by what, and how much of each was taken.
    posts: Vec<Post>,
    batch: sys::Batch,
    taken: Vec<io::Result<usize>>,
    /// What each client may have of this turn, and of the places.
    shares: Shares,
    /// When idle clients are looked for again, after they were looked for in vain.
    look_again_at: Nanos,
    turned_away: Option<IpAddr>,
    /// Clients that have had their share of this turn, and those that had had it in the last.
    later: Vec<Key>,
    due: VecDeque<Key>,
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
    /// Listeners where something else than HTTP is spoken, and which was not told of yet.
    foreign: Vec<(u64, Foreign)>,
    /// What is wrong with certificates that have changed.
    complaint: Option<String>,
    closing: bool,
    limits: Room,
}

impl Proxy {
    /// A proxy whose events carry `kind` in the upper 8 bits of their data, and which counts pairs
    /// from `first` on.
    pub fn new(settings: Settings, epoll: Arc<OwnedFd>, kind: u64, first: u64) -> Self {
        let most = settings.client_limit;
        let limits = Room::new(settings.max_clients);
        Self {
            settings,
            epoll,
            kind,
            gates: IdMap::default(),
            desks: IdMap::default(),
            clients: Slab::new(),
            pairs: Slab::new(),
            named_by: RandomState::new(),
            last_pair: first,
            last_request: first,
            now: 0,
            room: vec![0; READ],
            out: Vec::with_capacity(READ),
            heads: Vec::new(),
            posts: Vec::new(),
            batch: sys::Batch::new(upstream::batch::TOGETHER),
            taken: Vec::new(),
            shares: Shares::default(),
            look_again_at: 0,
            turned_away: None,
            later: Vec::new(),
            due: VecDeque::new(),
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
            foreign: Vec::new(),
            complaint: None,
            closing: false,
            limits,
        }
    }

    /// Reads the certificates.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub fn load_certificates(&mut self) -> Result<(), String> {
        if !self.settings.tls.is_empty() {
            self.tls = Some(Certificates::load(self.settings.tls.clone())?);
        }
        Ok(())
    }

    /// What is wrong with certificates that have changed since they were read; once.
    pub fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Sets the time, in nanoseconds since any fixed moment.
    pub fn set_time(&mut self, now: Nanos) {
        self.now = now;
    }

    /// A client has connected. `peer` is its `sockaddr`, `local` the address that it connected to,
    /// where the listener has several.
    ///
    /// # Errors
    /// If the kernel cannot watch the connection, or its address has as many places as one may have.
    pub fn accept(
        &mut self,
        gate: u64,
        socket: OwnedFd,
        peer: Peer,
        local: Option<IpAddr>,
    ) -> io::Result<()> {
        let address = peer.address;
        // Before a PROXY header it is the balancer's, which may open as many as it likes.
        let sharer = match self.settings.proxy_protocol {
            true => None,
            false => self.sharer(address),
        };
        if !self.make_place(sharer, address) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        link::prepare(&socket);
        let phase = if self.settings.proxy_protocol {
            Phase::Greeting
        } else {
            Phase::reading(self.now)
        };
        let passes_whole = self.passes_whole(gate);
        let (kind, epoll, now) = (self.kind, &self.epoll, self.now);
        let tls = self.tls.as_ref().map(Certificates::begin).transpose();
        let tls = tls.map_err(io::Error::other)?;
        let again = &mut self.again;
        self.clients.insert(|key| {
            if passes_whole {
                // Its client waits for the worker to speak.
                again.push_back(key);
            }
            Ok::<_, io::Error>(Client {
                link: Link::new(socket, epoll, kind | key.bits())?.with_tls(tls),
                gate,
                peer,
                local,
                phase,
                active_at: now,
                served: false,
                sharer,
                share: Share::default(),
                is_deferred: false,
            })
        })?;
        self.shares.enter(sharer);
        self.sweep_by();
        Ok(())
    }

    /// An epoll event with our kind has come, among others. All of a lot are heard of before any is
    /// seen to by [`Self::event`]: so nothing is sent over a pair whose end, or on which something
    /// unasked, is told in the same lot.
    pub fn hear(&mut self, data: u64, flags: epoll::EventFlags) {
        let key = Key::of(data & (PAIR - 1));
        let link = if !is_pair(data) {
            self.clients.get_mut(key).map(|client| &mut client.link)
        } else {
            self.pairs.get_mut(key).map(|pair| &mut pair.link)
        };
        if let Some(link) = link {
            link.note(flags);
        }
    }

    /// Sees to an event that has been heard of.
    pub fn event<W: Workers>(&mut self, data: u64, flags: epoll::EventFlags, workers: &mut W) {
        let key = Key::of(data & (PAIR - 1));
        if !is_pair(data) {
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
                Some((None, _)) if self.is_greeting(key) => {
                    self.hear_greeted(key);
                    self.drop_pair(key);
                }
                // Its worker has left it, or speaks without having been asked.
                Some((None, _)) => self.drop_pair(key),
                None => return,
            }
        }
        self.settle(workers);
    }

    /// The loop of a worker has turned.
    pub fn turned<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
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
    pub fn settle<W: Workers>(&mut self, workers: &mut W) {
        if self.has_enough_to_post() {
            self.post(workers);
        }
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
    pub fn awaits(&self, member: MemberId) -> bool {
        self.clients.iter().any(|(_, client)| match &client.phase {
            Phase::Serving(exchange) => {
                let answer = exchange.answer.as_ref();
                matches!(exchange.stage, downstream::client::Stage::With(with, _) if with == member)
                    && !answer.is_some_and(|answer| answer.is_event_stream)
            }
            _ => false,
        })
    }

    /// The requests that have failed since this was asked last, and how many more there were.
    pub fn reports(&mut self) -> (Vec<Report>, u64) {
        let more = std::mem::take(&mut self.unreported);
        (std::mem::take(&mut self.reports), more)
    }

    fn report(&mut self, report: Report) {
        if self.reports.len() < REPORTS {
            self.reports.push(report);
        } else {
            self.unreported += 1;
        }
    }
}
