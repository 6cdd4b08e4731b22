//! Clients stay with the proxy, and each of their requests goes to a worker: over socket pairs whose
//! ends go down the channels in place of the clients' connections.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use balance::{MemberId, Nanos};
use proxy::{Peer, Proxy};
use rustix::event::epoll;

use super::failure_log::FailureLog;
use super::terms::{Arrived, Room};
use crate::address::{client, ip};
use crate::clock::Clock;
use crate::descriptors::Descriptors;
use crate::ids::ListenerId;
use crate::listeners::{Listener, Listeners};
use crate::members::Members;
use crate::notice::Notice;
use crate::notices::Notices;
use crate::token::Token;
use crate::workers::Workers;
use telemetry::events::Event;
use telemetry::ids::Place;

/// The proxy, and what is reported of it.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(super) proxy: Proxy,
    /// Divides descriptors between clients and connections to workers.
    shares: Descriptors,
    failures: FailureLog,
}

impl Requests {
    pub(super) fn new(
        settings: proxy::Settings,
        epoll: Arc<OwnedFd>,
        first: u64,
    ) -> io::Result<Self> {
        let kind = Token::Proxy(0).data().u64();
        let mut proxy = Proxy::new(settings, epoll, kind, first);
        proxy.load_certificates().map_err(io::Error::other)?;
        Ok(Self {
            proxy,
            shares: Descriptors::default(),
            failures: FailureLog::default(),
        })
    }

    pub(super) fn open(&mut self, id: ListenerId, listener: &Listener) {
        let authority = listener.address.to_string();
        self.proxy
            .open(id.0, listener.sockaddr.as_bytes(), authority);
    }

    pub(super) fn join(
        &mut self,
        listener: ListenerId,
        member: MemberId,
        place: Place,
        workers: &mut Workers,
    ) {
        self.proxy.join(listener.0, member, place);
        self.proxy.settle(workers);
    }

    pub(super) fn divide_descriptors(&mut self) {
        let proxy = &self.proxy;
        if let Some(shares) = self.shares.shares(|| proxy.descriptors()) {
            self.proxy.limit_to(shares.clients, shares.pairs);
        }
    }

    pub(super) fn make_room(&mut self) -> Room {
        if self.proxy.make_room_at_once() {
            Room::Free
        } else {
            let limit = self.proxy.most_clients();
            Room::Crowded { limit }
        }
    }

    pub(super) fn arrive(&mut self, listener: ListenerId, arrived: Arrived<'_>) {
        let Arrived { socket, peer, .. } = arrived;
        let caller = client(peer, arrived.number);
        let address = ip(peer).map(|ip| ip.to_canonical());
        let is_wildcard = arrived.listener.address.is_wildcard();
        let local = is_wildcard
            .then(|| sys::local_address(socket.as_fd()).ok())
            .flatten();
        let local = local.and_then(|local| ip(local.as_bytes()));
        let peer = Peer::new(peer, address, caller);
        // One that the kernel cannot watch is closed, and so is one whose address has too many.
        let _ = self.proxy.accept(listener.0, socket, peer, local);
    }

    pub(super) fn begin_turn(&mut self, now: Nanos, events: &[epoll::Event]) {
        if self.proxy.has_predecessor() {
            // Its clients come without being accepted.
            self.divide_descriptors();
        }
        self.proxy.begin_turn(now);
        for event in events {
            if let Some(Token::Proxy(number)) = Token::of(event.data) {
                self.proxy.note_event(number, event.flags);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        let proxy = self.proxy.deadline();
        proxy.into_iter().chain(self.failures.deadline()).min()
    }

    /// Lets the proxy do what time has brought, and tells what went wrong there.
    pub(super) fn end_turn(
        &mut self,
        clock: Clock,
        workers: &mut Workers,
        listeners: &Listeners,
        members: &Members,
        notices: &mut Notices,
    ) {
        let now = clock.now();
        let proxy = &mut self.proxy;
        proxy.set_time(now);
        if proxy.deadline().is_some_and(|at| at <= now) {
            proxy.tick(workers);
        }
        proxy.send_batch(workers);
        if let Some(address) = proxy.turned_away() {
            let limit = proxy.most_clients();
            notices.remind(Event::TurnedAway { address, limit });
        }
        for (listener, what) in proxy.foreign() {
            if let Some(listener) = listeners.all.get(&ListenerId(listener)) {
                let address = listener.address.clone();
                notices.tell(Notice::Foreign { address, what });
            }
        }
        if let Some(reason) = proxy.certificate_error() {
            notices.tell(Event::Certificate { reason });
        }
        let (reports, more) = proxy.reports();
        for report in reports {
            self.failures.tell(report, now, listeners, members, notices);
        }
        self.failures.add(more);
        self.failures.tell_rest(now, notices);
    }
}
