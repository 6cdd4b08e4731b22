//! Listeners, as the proxy sees them: who listens there, and what is counted.

pub(crate) mod foreign;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use balance::{MemberId, RequestBalancer};

use crate::Proxy;
use crate::listener::foreign::Spoken;
use crate::upstream::pool::Desk;
use telemetry::figures::{RequestFigures, WorkerRequests};

/// One listener: its balancer, and how it is called.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) balancer: RequestBalancer,
    /// The listener's address, as a `sockaddr` and as clients write it.
    pub(crate) sockaddr: Vec<u8>,
    pub(crate) authority: String,
    pub(crate) spoken: Spoken,
    pub(crate) counts: RequestFigures,
    /// Requests that are not over, those that wait among them.
    pub(crate) open: usize,
    /// The listener is closed: this goes with the last request.
    pub(crate) shut: bool,
    /// What was counted of each worker, by its key: of what is over.
    pub(crate) workers: HashMap<u64, WorkerRequests>,
}

impl Gate {
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

impl Proxy {
    /// A listener has been opened: its name, its `sockaddr`, and how clients call it.
    pub fn open(&mut self, gate: u64, sockaddr: &[u8], authority: String) {
        let balancer = RequestBalancer::new(self.settings.balance);
        self.gates.insert(
            gate,
            Gate {
                balancer,
                sockaddr: sockaddr.to_vec(),
                authority,
                spoken: Spoken::UNKNOWN,
                counts: RequestFigures::default(),
                open: 0,
                shut: false,
                workers: HashMap::new(),
            },
        );
    }

    /// A worker listens there.
    pub fn join(&mut self, gate: u64, member: MemberId, key: u64) {
        if let Some(at) = self.gates.get_mut(&gate) {
            at.balancer.join(member, key);
            if matches!(at.spoken, Spoken::Foreign(_)) {
                // This one may speak something else.
                at.spoken = Spoken::UNKNOWN;
            }
            self.desks.insert(member, Desk::new(gate));
            self.free.push(gate);
        }
    }

    /// How many requests wait for a worker at a listener.
    pub fn waiting(&self, gate: u64) -> usize {
        let gate = self.gates.get(&gate);
        gate.map_or(0, |gate| gate.balancer.waiting())
    }

    /// What was counted at a listener.
    pub fn figures(&self, gate: u64) -> Option<RequestFigures> {
        let gate = self.gates.get(&gate)?;
        let waiting = gate.balancer.waiting();
        Some(RequestFigures {
            waiting,
            in_progress: gate.open.saturating_sub(waiting),
            ..gate.counts.clone()
        })
    }
}
