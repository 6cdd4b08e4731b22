//! What time brings: those who are too slow, pairs that have been idle too long, and what waits.

use std::net::SocketAddr;
use std::time::Duration;

use balance::{Client as Caller, MemberId, Nanos};
use http1::Refusal;

use crate::downstream::client::{Client, Peer, Phase, Stage};
use crate::downstream::http2::Standing;
use crate::downstream::tls;
use crate::exchange::Step;
use crate::slab::Key;
use crate::upstream::pool::Desk;
use crate::{Proxy, Workers};

/// So often all connections are looked at: time limits are that exact.
const SWEEP: Nanos = 500_000_000;

/// How long a client that has been told that its HTTP/2 connection ends may take to agree.
const FAREWELL: Duration = Duration::from_secs(2);

impl Proxy {
    /// When [`Self::tick`] is to be called at the latest.
    pub fn deadline(&self) -> Option<Nanos> {
        let gates = self.gates.values();
        let busy = self.clients.len() + self.pairs.len() > 0;
        gates
            .filter_map(|gate| gate.balancer.deadline())
            .chain(self.untaken_at)
            .chain(self.has_more_to_do().then_some(self.now))
            .chain(busy.then_some(self.sweep_at))
            .chain(self.makes_room_at())
            .min()
    }

    fn has_more_to_do(&self) -> bool {
        let deferred = self.later.len() + self.due.len();
        deferred > 0 || !self.again.is_empty() || !self.free.is_empty() || !self.bells.is_quiet()
    }

    /// Does what time has brought.
    pub fn tick<W: Workers>(&mut self, workers: &mut W) {
        if self.untaken_at.is_some_and(|at| at <= self.now) {
            self.look_after_untaken(workers);
        }
        let mut refused = Vec::new();
        for (name, gate) in &mut self.gates {
            if gate.balancer.deadline().is_some_and(|at| at <= self.now) {
                while let Some(arrival) = gate.balancer.overdue(self.now) {
                    refused.push(Key::of(arrival.ticket.0));
                }
                self.free.push(*name);
            }
        }
        for client in refused {
            let trouble = match self.clients.get(client).map(|client| &client.phase) {
                Some(Phase::Serving(exchange)) => exchange.trouble,
                _ => None,
            };
            self.conclude(client, Refusal::NoWorker, trouble);
        }
        if self.makes_room_at().is_some_and(|at| at <= self.now) {
            self.make_room_at_once();
        }
        if self.sweep_at <= self.now {
            self.sweep_at = self.now + SWEEP;
            self.sweep();
            self.hear_workers(workers);
            if let Some(Err(complaint)) = self.tls.as_mut().map(tls::Certificates::refresh) {
                self.complaint = Some(complaint);
            }
        }
        self.settle(workers);
        self.go_on(workers);
    }

    /// Somebody is there to be looked after.
    pub(crate) fn sweep_by(&mut self) {
        if self.sweep_at <= self.now {
            self.sweep_at = self.now + SWEEP;
        }
    }

    /// A worker listens no more: what it has not taken goes to others; what it has in progress it
    /// may complete.
    pub fn leave<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        self.take_back(member, workers);
        let Some(desk) = self.desks.remove(&member) else {
            return;
        };
        for pair in desk.idle() {
            self.pairs.remove(pair);
        }
        if let Some(gate) = self.gates.get_mut(&desk.gate) {
            gate.balancer.leave(member);
        }
        self.settle(workers);
    }

    pub(crate) fn conclude(&mut self, client: Key, refusal: Refusal, detail: Option<&'static str>) {
        match self.fail(client, refusal, detail) {
            Step::Over => self.drop_client(client),
            Step::On | Step::Wait => self.again.push_back(client),
        }
    }

    fn sweep(&mut self) {
        let mut late = Vec::new();
        let mut farewells = Vec::new();
        let mut gone = Vec::new();
        let mut heard = Vec::new();
        for (key, client) in self.clients.iter() {
            match self.verdict(client) {
                Verdict::Fine => {}
                Verdict::Late(refusal) => late.push((key, refusal)),
                Verdict::Farewell => farewells.push(key),
                Verdict::Gone => gone.push(key),
                Verdict::Heard => heard.push(key),
            }
        }
        for (key, refusal) in late {
            self.conclude(key, refusal, None);
        }
        for key in heard {
            self.read_on(key);
        }
        for key in farewells {
            if let Some(client) = self.clients.get_mut(key)
                && let Phase::Session(session) = &mut client.phase
            {
                session.close();
                client.active_at = self.now;
                self.again.push_back(key);
            }
        }
        for key in gone {
            self.drop_client(key);
        }
        self.make_room();
        let stale: Vec<_> = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.client.is_none() && pair.leave_at <= self.now)
            .map(|(key, _)| key)
            .collect();
        for key in stale {
            self.drop_pair(key);
        }
        self.desks.values_mut().for_each(Desk::tidy);
    }

    fn verdict(&self, client: &Client) -> Verdict {
        let limits = &self.settings;
        let since = |moment: Nanos, limit: Duration| {
            !limit.is_zero() && u128::from(self.now.saturating_sub(moment)) >= limit.as_nanos()
        };
        let is_stalled = since(client.active_at, limits.stall_time);
        match &client.phase {
            Phase::Greeting if since(client.active_at, limits.head_time) => Verdict::Gone,
            Phase::Reading { .. } if client.link.is_clogged() => {
                if is_stalled {
                    Verdict::Gone
                } else {
                    Verdict::Fine
                }
            }
            // More of its body must come before a worker is asked for.
            Phase::Reading {
                since: began,
                needs: 1..,
                ..
            } => {
                if since(*began, limits.stall_time) {
                    Verdict::Late(Refusal::TooSlow)
                } else {
                    Verdict::Fine
                }
            }
            Phase::Reading { since: began, .. } if client.link.input.is_empty() => {
                let limit = if client.served {
                    limits.idle_time
                } else {
                    limits.head_time
                };
                if !since(*began, limit) {
                    Verdict::Fine
                } else if client.served {
                    Verdict::Gone
                } else {
                    Verdict::Late(Refusal::TooSlow)
                }
            }
            Phase::Reading { since: began, .. } if since(*began, limits.head_time) => {
                Verdict::Late(Refusal::TooSlow)
            }
            Phase::Hearing { until, .. } if *until <= self.now => Verdict::Heard,
            Phase::Serving(exchange) => {
                let pair = match exchange.stage {
                    Stage::With(_, pair) => self.pairs.get(pair),
                    Stage::Waiting | Stage::Returned(..) => None,
                };
                let with_worker = matches!(exchange.stage, Stage::With(..));
                if client.link.is_clogged() {
                    if is_stalled {
                        Verdict::Gone
                    } else {
                        Verdict::Fine
                    }
                } else if !exchange.request_done && with_worker && is_stalled {
                    // What has been sent and lies there is for the worker to read.
                    Verdict::Late(if pair.is_some_and(|pair| pair.link.is_clogged()) {
                        Refusal::SlowWorker
                    } else {
                        Refusal::TooSlow
                    })
                } else if exchange.request_done
                    && exchange.answer.is_none()
                    && with_worker
                    && since(exchange.sent_at, limits.answer_time)
                {
                    Verdict::Late(Refusal::SlowWorker)
                } else if self.is_deserted(client) {
                    Verdict::Gone
                } else {
                    Verdict::Fine
                }
            }
            Phase::Session(_) if client.link.is_clogged() && is_stalled => Verdict::Gone,
            Phase::Session(session) => match session.standing() {
                Standing::Greeting if since(client.active_at, limits.head_time) => Verdict::Gone,
                Standing::Idle if session.is_closing() && since(client.active_at, FAREWELL) => {
                    Verdict::Gone
                }
                Standing::Idle if since(client.active_at, limits.idle_time) => Verdict::Farewell,
                Standing::Greeting | Standing::Idle | Standing::Busy => Verdict::Fine,
            },
            // The last words have to get there first.
            Phase::Leaving { .. } if client.link.is_clogged() && !is_stalled => Verdict::Fine,
            Phase::Leaving { until } if *until <= self.now => Verdict::Gone,
            Phase::Greeting
            | Phase::Reading { .. }
            | Phase::Hearing { .. }
            | Phase::Tunnel(_)
            | Phase::Leaving { .. } => Verdict::Fine,
        }
    }
}

/// What is to become of a client.
enum Verdict {
    Fine,
    Late(Refusal),
    /// It is to be told that its connection ends.
    Farewell,
    Gone,
    /// Its worker has not spoken first.
    Heard,
}

/// The client that a balancer before us names.
pub(crate) fn named_peer(named: SocketAddr) -> Peer {
    let port = named.port().to_be_bytes();
    let address = named.ip().to_canonical();
    let mut sockaddr = Vec::with_capacity(28);
    match address {
        std::net::IpAddr::V4(v4) => {
            sockaddr.extend(2u16.to_ne_bytes());
            sockaddr.extend(port);
            sockaddr.extend(v4.octets());
            sockaddr.extend([0; 8]);
        }
        std::net::IpAddr::V6(v6) => {
            sockaddr.extend(10u16.to_ne_bytes());
            sockaddr.extend(port);
            sockaddr.extend([0; 4]);
            sockaddr.extend(v6.octets());
            sockaddr.extend([0; 4]);
        }
    }
    Peer::new(&sockaddr, Some(address), Caller::at(address))
}
