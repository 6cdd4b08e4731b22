//! Listeners, as the proxy sees them: which workers listen there, what is spoken, and what is
//! counted.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use balance::{IdMap, MemberId, Nanos, RequestBalancer, RequestSettings, Ticket};
use http1::Refusal;
use telemetry::counters::RequestCounters;
use telemetry::figures::{Foreign, RequestFigures};

use crate::detect::Spoken;
use crate::outcome::Outcome;
use crate::ready::Ready;
use crate::slab::Key;
use telemetry::ids::Place;

/// One listener: its balancer, and how it is called.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) balancer: RequestBalancer,
    /// The listener's address, as a `sockaddr` and as clients write it.
    pub(crate) sockaddr: Vec<u8>,
    pub(crate) authority: String,
    pub(crate) spoken: Spoken,
    pub(crate) counters: RequestCounters,
    /// Requests that are not over, those that wait among them.
    pub(crate) open: usize,
    /// The listener is closed: this goes with the last request.
    pub(crate) shut: bool,
}

impl Listener {
    fn new(balance: RequestSettings, sockaddr: &[u8], authority: String) -> Self {
        Self {
            balancer: RequestBalancer::new(balance),
            sockaddr: sockaddr.to_vec(),
            authority,
            spoken: Spoken::UNKNOWN,
            counters: RequestCounters::default(),
            open: 0,
            shut: false,
        }
    }

    /// A worker listens here.
    pub(crate) fn join(&mut self, member: MemberId, place: Place) {
        self.balancer.join(member, place.key());
        if matches!(self.spoken, Spoken::Foreign(_)) {
            // This one may speak something else.
            self.spoken = Spoken::UNKNOWN;
        }
    }

    /// Which worker a member is.
    pub(crate) fn place(&self, member: MemberId) -> Option<Place> {
        self.balancer.key(member).map(Place::of_key)
    }

    /// What was counted here.
    pub(crate) fn figures(&self) -> RequestFigures {
        let waiting = self.balancer.waiting();
        let in_progress = self.open.saturating_sub(waiting);
        self.counters.figures(waiting, in_progress)
    }

    /// A worker has one request less. One that is sent again has `failed` with it.
    pub(crate) fn count_worker(&mut self, worker: Option<Place>, outcome: Outcome) {
        use Refusal::{BadWorker, SlowWorker};
        if let Some(place) = worker {
            let failed = matches!(outcome, Outcome::Failed(BadWorker(_) | SlowWorker));
            self.counters.left_worker(place, failed);
        }
    }

    /// The `sockaddr` that a worker sees as its own, for clients that connected to this address.
    pub(crate) fn local(&self, address: Option<IpAddr>) -> Vec<u8> {
        let mut sockaddr = self.sockaddr.clone();
        match address {
            Some(IpAddr::V4(v4)) => put_at(&mut sockaddr, 4, &v4.octets()),
            Some(IpAddr::V6(v6)) => put_at(&mut sockaddr, 8, &v6.octets()),
            None => {}
        }
        sockaddr
    }

    /// The host of a request that names none.
    pub(crate) fn authority(&self, address: Option<IpAddr>) -> Cow<'_, str> {
        let port = self.sockaddr.get(2..).and_then(|rest| rest.first_chunk());
        match (address, port) {
            (Some(address), Some(port)) => {
                let port = u16::from_be_bytes(*port);
                Cow::Owned(SocketAddr::new(address.to_canonical(), port).to_string())
            }
            _ => Cow::Borrowed(&self.authority),
        }
    }
}

fn put_at(sockaddr: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = sockaddr.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// All listeners, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Listeners(IdMap<u64, Listener>);

impl Listeners {
    /// A listener has been opened.
    pub(crate) fn open(
        &mut self,
        id: u64,
        balance: RequestSettings,
        sockaddr: &[u8],
        authority: String,
    ) {
        self.0
            .insert(id, Listener::new(balance, sockaddr, authority));
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Listener> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Listener> {
        self.0.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Listener)> + '_ {
        self.0.iter().map(|(id, listener)| (*id, listener))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Listener)> + '_ {
        self.0.iter_mut().map(|(id, listener)| (*id, listener))
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// Whether connections to a listener pass whole.
    pub(crate) fn passes_whole(&self, id: u64) -> bool {
        let listener = self.0.get(&id);
        listener.is_some_and(|it| it.spoken == Spoken::Foreign(Foreign::WorkerFirst))
    }

    /// A worker has one request less.
    pub(crate) fn ended(&mut self, id: u64, member: MemberId, now: Nanos, ready: &mut Ready) {
        if let Some(listener) = self.0.get_mut(&id) {
            listener.balancer.ended(now, member);
            if listener.balancer.has_more() {
                ready.place_at(id);
            }
        }
    }

    /// A worker has one request less, and may not even have begun it.
    pub(crate) fn left(
        &mut self,
        id: u64,
        member: MemberId,
        client: Key,
        now: Nanos,
        ready: &mut Ready,
    ) {
        if let Some(listener) = self.0.get_mut(&id) {
            let ticket = Ticket(client.bits());
            listener.balancer.left(now, member, ticket);
            if listener.balancer.has_more() {
                ready.place_at(id);
            }
        }
    }

    /// A request waits no more.
    pub(crate) fn cancel(&mut self, id: u64, client: Key) {
        if let Some(listener) = self.0.get_mut(&id) {
            listener.balancer.cancel(Ticket(client.bits()));
        }
    }
}
