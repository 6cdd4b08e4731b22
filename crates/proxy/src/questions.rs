//! What the event loop asks the proxy: what is in progress, what waits, what was counted, and what was found
//! out.

use std::net::IpAddr;

use balance::{IdMap, MemberId, Ticket};
use telemetry::figures::{Foreign, RequestFigures, WorkerRequests};

use crate::Report;
use crate::downstream::client::{Client, Phase};
use crate::exchange::Stage;
use crate::hand_over::adopted;
use crate::outcome::account;
use crate::proxy::Proxy;
use crate::slab::Key;
use crate::timeouts::FIRST_REQUEST;
use telemetry::ids::Place;

/// A request that a worker has to answer, for [`Proxy::awaited`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited(Ticket);

impl Proxy {
    /// A request that one of these workers has to answer. Tunnels and streams of events last as long as
    /// their clients like: only with `opaque` they count, too.
    ///
    /// `last` is what this has returned before: as long as that is unanswered, the other clients are not
    /// looked at. A worker that drains gets nothing new, so they are looked at once for each of its requests
    /// at most, however many clients there are and however long one takes.
    pub fn awaited(
        &self,
        members: &[MemberId],
        opaque: bool,
        last: Option<Awaited>,
    ) -> Option<Awaited> {
        let is_awaited = |client: &Client| match &client.phase {
            Phase::Serving(exchange) => {
                matches!(exchange.stage, Stage::With(with, _) if members.contains(&with))
                    && (opaque || !exchange.is_event_stream())
            }
            Phase::Tunnel(tunnel) => opaque && members.contains(&tunnel.member),
            _ => false,
        };
        let adopted = &self.cx.adopted;
        let is_still = |Awaited(last): &Awaited| match adopted::is_one(*last) {
            true => adopted.is_awaited(*last, members, opaque),
            false => self.clients.get(Key::of(last.0)).is_some_and(is_awaited),
        };
        last.filter(is_still).or_else(|| {
            let mut clients = self.clients.iter();
            let found = clients.find(|(_, client)| is_awaited(client));
            let found = found.map(|(key, _)| Ticket(key.bits()));
            let found = found.or_else(|| adopted.awaited(members, opaque));
            found.map(Awaited)
        })
    }

    /// How many requests wait for a worker at a listener.
    pub fn waiting(&self, listener: u64) -> usize {
        let listener = self.cx.listeners.get(listener);
        listener.map_or(0, |listener| listener.balancer.waiting())
    }

    /// After [`Self::close`]: whether clients of a listener are about to ask for something. Those that have connected
    /// at most [`FIRST_REQUEST`] ago are waited for.
    pub fn awaits_requests(&self, listener: u64) -> bool {
        let recently = self.cx.io.now.saturating_sub(FIRST_REQUEST);
        let mut clients = self.clients.iter();
        clients.any(|(_, client)| client.listener == listener && client.is_new(recently))
    }

    /// What was counted at a listener.
    pub fn figures(&self, listener: u64) -> Option<RequestFigures> {
        Some(self.cx.listeners.get(listener)?.figures())
    }

    /// What was counted of each worker at a listener, by their places.
    pub fn workers(&self, listener: u64) -> IdMap<Place, WorkerRequests> {
        match self.cx.listeners.get(listener) {
            Some(at) => account::workers(listener, at, &self.clients),
            None => IdMap::default(),
        }
    }

    /// The requests that have failed since this was asked last, and how many more there were.
    pub fn reports(&mut self) -> (Vec<Report>, u64) {
        self.cx.outcomes.take_reports()
    }

    /// What was found since this was asked last: listeners where no HTTP is spoken.
    pub fn foreign(&mut self) -> Vec<(u64, Foreign)> {
        std::mem::take(&mut self.cx.outcomes.foreign)
    }

    /// The last client that was turned away because its address had as many places as one may have,
    /// if there was one since this was last asked.
    pub fn turned_away(&mut self) -> Option<IpAddr> {
        self.cx.limits.capacity.turned_away.take()
    }

    /// What is wrong with certificates that have changed since they were read; once.
    pub fn certificate_error(&mut self) -> Option<String> {
        self.cx.outcomes.certificate_error.take()
    }
}
