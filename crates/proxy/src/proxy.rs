//! The proxy as the event loop calls it: with what happens, and for what the proxy has found out.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use balance::{MemberId, Nanos};
use http1::Refusal;
use rustix::event::epoll;

use crate::context::Context;
use crate::detect::{tls_greeting, worker_first};
use crate::downstream::accept;
use crate::downstream::client::{Client, Phase, Source};
use crate::downstream::handshakes::{HANDSHAKES, Handshakes};
use crate::downstream::leave::{close_all, conclude, drop_client};
use crate::downstream::tls::Certificates;
use crate::drive::{drive, go_on, resume, send_batch, settle};
use crate::exchange::Stage;
use crate::hand_over::adopted::Adopted;
use crate::hand_over::predecessor::Predecessor;
use crate::hand_over::successor::{self, Heir};
use crate::hand_over::{PREDECESSOR, SUCCESSOR};
use crate::io::Io;
use crate::limits::{Limits, idle_eviction};
use crate::listener::Listeners;
use crate::outcome::Outcomes;
use crate::ready::Ready;
use crate::slab::{Key, Slab};
use crate::timeouts::{SWEEP, refuse_overdue, sweep};
use crate::upstream::loops::View;
use crate::upstream::{Upstream, take_back};
use crate::{Peer, Settings, UPSTREAM, Workers, is_upstream};

/// The proxy of an app.
#[derive(Debug)]
pub struct Proxy {
    pub(crate) clients: Slab<Client>,
    pub(crate) cx: Context,
    certificates: Option<Certificates>,
    /// The proxy that this one replaces.
    pub(crate) predecessor: Option<Predecessor>,
    /// When all clients and connections are looked at again.
    pub(crate) sweep_at: Nanos,
}

impl Proxy {
    /// A proxy whose events carry `kind` in the upper 8 bits of their data, and which counts
    /// connections to workers from `first` on.
    pub fn new(settings: Settings, epoll: Arc<OwnedFd>, kind: u64, first: u64) -> Self {
        Self {
            clients: Slab::new(),
            cx: Context {
                limits: Limits::new(&settings),
                settings,
                io: Io::new(epoll, kind),
                listeners: Listeners::default(),
                upstream: Upstream::new(first),
                ready: Ready::default(),
                outcomes: Outcomes::new(first),
                handshakes: None,
                adopted: Adopted::default(),
                heir: Heir::None,
                is_closing: false,
            },
            certificates: None,
            predecessor: None,
            sweep_at: 0,
        }
    }

    /// Reads the certificates, and starts the threads for handshakes.
    ///
    /// # Errors
    /// Says which file cannot be used, and why, or what the kernel lacks.
    pub fn load_certificates(&mut self) -> Result<(), String> {
        let files = &self.cx.settings.tls;
        if !files.is_empty() {
            self.certificates = Some(Certificates::load(files.clone())?);
            let handshakes = Handshakes::start(&self.cx.io);
            let why = |error| format!("the threads for TLS handshakes do not start: {error}");
            self.cx.handshakes = Some(handshakes.map_err(why)?);
        }
        Ok(())
    }

    /// A listener has been opened: its name, its `sockaddr`, and how clients call it.
    pub fn open(&mut self, listener: u64, sockaddr: &[u8], authority: String) {
        let balance = self.cx.settings.balance;
        self.cx
            .listeners
            .open(listener, balance, sockaddr, authority);
    }

    /// A listener is closed. What waits there is refused, and what is in progress comes to its end;
    /// a client that asks another thing over its connection finds that it is over.
    pub fn shut(&mut self, listener: u64) {
        let waits = |client: &Client| match &client.phase {
            Phase::Serving(exchange) => !matches!(exchange.stage, Stage::With(..)),
            _ => false,
        };
        let here = self.clients.iter();
        let here = here.filter(|(_, client)| client.listener == listener && waits(client));
        for key in here.map(|(key, _)| key).collect::<Vec<_>>() {
            conclude(
                key,
                Refusal::NoWorker,
                None,
                &mut self.clients,
                &mut self.cx,
            );
        }
        if let Some(at) = self.cx.listeners.get_mut(listener) {
            at.shut = true;
            if at.open == 0 {
                self.cx.listeners.remove(listener);
            }
        }
    }

    /// A turn of the event loop begins, at this time in nanoseconds since any fixed moment.
    pub fn begin_turn(&mut self, now: Nanos) {
        self.set_time(now);
        self.cx.limits.shares.begin_turn();
        self.cx.ready.begin_turn();
    }

    /// Sets the time, in nanoseconds since any fixed moment.
    pub fn set_time(&mut self, now: Nanos) {
        self.cx.io.now = now;
    }

    /// A client has connected. `peer` is its `sockaddr`, `local` the address that it connected to,
    /// where the listener has several.
    ///
    /// # Errors
    /// If the kernel cannot watch the connection, or its address has as many places as one may have.
    pub fn accept(
        &mut self,
        listener: u64,
        socket: OwnedFd,
        peer: Peer,
        local: Option<IpAddr>,
    ) -> io::Result<()> {
        let certificates = &self.certificates;
        let tls = || {
            let begun = certificates.as_ref().map(Certificates::begin);
            begun.transpose().map_err(io::Error::other)
        };
        let source = Source {
            listener,
            peer,
            local,
            sharer: None,
        };
        accept::accept(socket, source, tls, &mut self.clients, &mut self.cx)?;
        if self.sweep_at <= self.cx.io.now {
            self.sweep_at = self.cx.io.now + SWEEP;
        }
        Ok(())
    }

    /// Notes an epoll event with our kind, which has come among others. All events of a turn are noted
    /// before [`Self::handle_event`] sees to any: so nothing is sent over a connection whose end, or on which
    /// something unasked, is announced in the same turn.
    pub fn note_event(&mut self, data: u64, flags: epoll::EventFlags) {
        let key = Key::of(data & (UPSTREAM - 1));
        let link = if is_upstream(data) {
            let connection = self.cx.upstream.connections.get_mut(key);
            connection.map(|connection| &mut connection.link)
        } else {
            self.clients.get_mut(key).map(|client| &mut client.link)
        };
        if let Some(link) = link {
            link.note(flags);
        }
    }

    /// Sees to an event that has been noted.
    pub fn handle_event<W: Workers>(
        &mut self,
        data: u64,
        flags: epoll::EventFlags,
        workers: &mut W,
    ) {
        let number = data & (UPSTREAM - 1);
        let key = Key::of(number);
        if number == SUCCESSOR && !is_upstream(data) {
            let now = self.cx.io.now;
            let successor = self.cx.heir.successor();
            successor.into_iter().for_each(|it| it.note(flags, now));
            return;
        }
        if number == HANDSHAKES && !is_upstream(data) {
            self.go_on_after_handshakes();
            self.settle(workers);
            return;
        }
        if number == PREDECESSOR && !is_upstream(data) {
            self.hear_predecessor();
            self.settle(workers);
            return;
        }
        let is_known = match is_upstream(data) {
            true => self.upstream_event(key, workers),
            false => self.client_event(key, flags, workers),
        };
        if is_known {
            self.settle(workers);
        }
    }

    /// Handshakes have been done: their clients go on.
    fn go_on_after_handshakes(&mut self) {
        let cx = &mut self.cx;
        let done = cx.handshakes.as_ref().map(Handshakes::take);
        for (key, handshake) in done.into_iter().flatten() {
            if let Some(client) = self.clients.get_mut(key) {
                client.link.go_on_after(handshake, &cx.io.epoll);
                cx.ready.wake(key);
            }
        }
    }

    /// Something has happened on a client's connection. Whether the client is still there.
    fn client_event<W: Workers>(
        &mut self,
        key: Key,
        flags: epoll::EventFlags,
        workers: &mut W,
    ) -> bool {
        let Some(client) = self.clients.get(key) else {
            return false;
        };
        let is_broken = flags.contains(epoll::EventFlags::ERR);
        let hears_nothing = flags.contains(epoll::EventFlags::HUP);
        if is_broken || hears_nothing && !matches!(client.phase, Phase::Tunnel(_)) {
            // Both directions have ended: an answer would reach no client. What came through a
            // tunnel before that is for the worker all the same.
            drop_client(key, &mut self.clients, &mut self.cx);
        } else {
            drive(key, &mut self.clients, &mut self.cx, workers);
        }
        true
    }

    /// Something has happened on a worker's connection. Whether that leads on.
    fn upstream_event<W: Workers>(&mut self, key: Key, workers: &mut W) -> bool {
        let cx = &mut self.cx;
        let Some(connection) = cx.upstream.connections.get(key) else {
            return false;
        };
        match connection.client {
            Some(client) => drive(client, &mut self.clients, cx, workers),
            // What it announced has been read, as the end of a response.
            None if connection.link.is_quiet() => {}
            // Its worker has left it, or speaks without having been asked.
            None => {
                tls_greeting::hear_answer(key, cx);
                cx.upstream.drop_connection(key);
            }
        }
        true
    }

    /// The loop of a worker has turned.
    pub fn turned<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        let cx = &mut self.cx;
        if let Some(pool) = cx.upstream.pools.get(&member)
            && let Some(listener) = cx.listeners.get_mut(pool.listener)
        {
            cx.ready.place_at(pool.listener);
            let mut view = View {
                workers,
                now: cx.io.now,
                upstream: &cx.upstream,
            };
            let taken = listener.balancer.turned(cx.io.now, member, &mut view);
            if let Some(taken) = taken {
                take_back::begins(taken, &mut self.clients, cx);
            }
        }
        self.settle(workers);
    }

    /// Places requests that wait, and lets some of those go on that can.
    pub fn settle<W: Workers>(&mut self, workers: &mut W) {
        settle(&mut self.clients, &mut self.cx, workers);
    }

    /// When to call [`Self::tick`] at the latest.
    pub fn deadline(&self) -> Option<Nanos> {
        let cx = &self.cx;
        let is_busy = self.clients.len() + cx.upstream.connections.len() > 0;
        cx.listeners
            .iter()
            .filter_map(|(_, listener)| listener.balancer.deadline())
            .chain(cx.upstream.untaken_at)
            .chain(cx.heir.deadline())
            .chain((!cx.ready.is_empty() || cx.adopted.has_new()).then_some(cx.io.now))
            .chain(is_busy.then_some(self.sweep_at))
            .chain(idle_eviction::makes_room_at(&self.clients, cx))
            .chain(cx.ready.resumes_at())
            .min()
    }

    /// Does what time has brought.
    pub fn tick<W: Workers>(&mut self, workers: &mut W) {
        let (clients, cx) = (&mut self.clients, &mut self.cx);
        let now = cx.io.now;
        if cx.upstream.untaken_at.is_some_and(|at| at <= now) {
            take_back::look_after_untaken(clients, cx, workers);
        }
        refuse_overdue(clients, cx);
        if idle_eviction::makes_room_at(clients, cx).is_some_and(|at| at <= now) {
            idle_eviction::make_room_at_once(clients, cx);
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            sweep(clients, cx);
            worker_first::hear_workers(clients, cx, workers);
            if let Some(Err(error)) = self.certificates.as_mut().map(Certificates::refresh) {
                cx.outcomes.certificate_error = Some(error);
            }
        }
        resume(clients, cx);
        settle(clients, cx, workers);
        go_on(clients, cx, workers);
    }

    /// Sends the batch. Call it at the end of each turn.
    pub fn send_batch<W: Workers>(&mut self, workers: &mut W) {
        send_batch(&mut self.clients, &mut self.cx, workers);
        successor::end_turn(&mut self.clients, &mut self.cx);
        self.resume_predecessor();
    }

    /// The app stops: connections end with the response that they are at.
    pub fn close(&mut self) {
        self.cx.is_closing = true;
        close_all(&mut self.clients, &mut self.cx);
    }

    /// After [`Self::close`]: there are workers again.
    pub fn reopen(&mut self) {
        self.cx.is_closing = false;
    }

    /// How many clients there may be.
    pub fn most_clients(&self) -> usize {
        self.cx.limits.capacity.clients
    }

    /// Whether another client may come in.
    pub fn has_room(&self) -> bool {
        self.clients.len() < self.most_clients()
    }

    /// Makes room for a newcomer, if there is none: the address with the most connections loses idle
    /// ones. Whether there is room now.
    pub fn make_room_at_once(&mut self) -> bool {
        idle_eviction::make_room_at_once(&mut self.clients, &mut self.cx)
    }

    /// Sets how many descriptors there are for clients and for connections to workers.
    pub fn limit_to(&mut self, clients: usize, connections: usize) {
        self.cx.limits.capacity.clients = self.cx.settings.max_clients.min(clients);
        self.cx.upstream.limit = connections;
    }

    /// How many descriptors clients and connections to workers have.
    pub fn descriptors(&self) -> usize {
        let clients = self.clients.iter().map(|(_, client)| {
            let is_returned = match &client.phase {
                Phase::Serving(exchange) => matches!(exchange.stage, Stage::Returned(..)),
                _ => false,
            };
            usize::from(client.carrier.is_connection()) + usize::from(is_returned)
        });
        let own = clients.sum::<usize>() + self.cx.upstream.connections.len();
        own + self.cx.adopted.descriptors()
    }

    /// Newcomers wait for a place, or no longer.
    pub fn press(&mut self, on: bool) {
        self.cx.limits.capacity.is_pressed = on;
    }
}
