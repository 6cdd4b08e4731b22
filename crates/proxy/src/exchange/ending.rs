//! Ends: of connections, of what they have in progress, and of the app.

use balance::{MemberId, Ticket};
use http1::Refusal;

use crate::Proxy;
use crate::downstream::client::{Client, Phase, Stage};
use crate::outcome::Outcome;
use crate::slab::Key;

impl Proxy {
    /// The app stops: connections end with the response that they are at.
    pub fn close(&mut self) {
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
                matches!(
                    client.phase,
                    Phase::Greeting | Phase::Reading { .. } | Phase::Hearing { .. }
                ) && client.link.input.is_empty()
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

    /// A listener is closed. What waits there is refused, and what is in progress comes to its end;
    /// a client that asks another thing over its connection finds that it is over.
    pub fn shut(&mut self, gate: u64) {
        let waiting: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.gate == gate)
            .filter(|(_, client)| match &client.phase {
                Phase::Serving(exchange) => !matches!(exchange.stage, Stage::With(..)),
                _ => false,
            })
            .map(|(key, _)| key)
            .collect();
        for key in waiting {
            self.conclude(key, Refusal::NoWorker, None);
        }
        if let Some(at) = self.gates.get_mut(&gate) {
            at.shut = true;
            if at.open == 0 {
                self.gates.remove(&gate);
            }
        }
    }

    /// Ends a client's connection, and what it has in progress.
    pub(crate) fn drop_client(&mut self, key: Key) {
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        self.shares.leave(client.sharer);
        if let Some(session) = client.link.session() {
            self.stream_ended(session, matches!(client.phase, Phase::Leaving { .. }));
        } else {
            self.drop_bound_pairs(key);
        }
        match client.phase {
            Phase::Serving(exchange) => {
                self.abandon(client.gate, key, exchange.stage);
                self.account(client.gate, exchange.record, Outcome::Aborted);
            }
            Phase::Tunnel(tunnel) => {
                match tunnel.is_counted {
                    true => self.abandon(client.gate, key, Stage::With(tunnel.member, tunnel.pair)),
                    false => self.drop_pair(tunnel.pair),
                }
                self.account(client.gate, tunnel.record, Outcome::Upgraded);
            }
            Phase::Hearing { pair, .. } => self.stop_hearing(client.gate, pair),
            Phase::Greeting | Phase::Reading { .. } | Phase::Session(_) | Phase::Leaving { .. } => {
            }
        }
    }

    /// Drops the idle pairs that nothing but this connection could have used again.
    fn drop_bound_pairs(&mut self, connection: Key) {
        for desk in self.desks.values_mut() {
            for pair in desk.forget_bound(connection) {
                self.pairs.remove(pair);
            }
        }
    }

    /// A request, or a tunnel, is over, and its pair is not used again.
    pub(crate) fn abandon(&mut self, gate: u64, client: Key, stage: Stage) {
        match stage {
            Stage::Waiting => self.cancel(gate, client),
            Stage::Returned(pair, end) => {
                drop(end);
                self.drop_pair(pair);
                self.cancel(gate, client);
            }
            Stage::With(member, pair) => {
                self.drop_pair(pair);
                self.ended(gate, member);
            }
        }
    }

    fn cancel(&mut self, gate: u64, client: Key) {
        if let Some(gate) = self.gates.get_mut(&gate) {
            gate.balancer.cancel(Ticket(client.bits()));
        }
    }

    /// A worker has one request less.
    pub(crate) fn ended(&mut self, gate: u64, member: MemberId) {
        if let Some(at) = self.gates.get_mut(&gate) {
            at.balancer.ended(self.now, member);
            if at.balancer.waiting() > 0 {
                self.free.push(gate);
            }
        }
    }

    pub(crate) fn drop_pair(&mut self, key: Key) {
        if let Some(pair) = self.pairs.remove(key)
            && pair.client.is_none()
            && let Some(desk) = self.desks.get_mut(&pair.member)
        {
            desk.forget(&pair, key);
        }
    }
}
