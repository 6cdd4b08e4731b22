//! How many clients and connections to workers there may be, and what happens where that is not enough.

use crate::Proxy;
use crate::downstream::client::{Phase, Stage};
use crate::upstream::pool::Pair;

/// How much there may be, and whether more is wanted.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many clients there may be.
    clients: usize,
    /// How many connections to workers there may be.
    pairs: usize,
    /// Newcomers wait for a place.
    is_pressed: bool,
}

impl Room {
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            clients,
            pairs: usize::MAX,
            is_pressed: false,
        }
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.is_pressed
    }
}

impl Proxy {
    /// How many clients there may be.
    pub fn most_clients(&self) -> usize {
        self.limits.clients
    }

    /// Whether another client may come in.
    pub fn has_room(&self) -> bool {
        self.clients.len() < self.limits.clients
    }

    /// So many descriptors there are for clients and for connections to workers.
    pub fn limit_to(&mut self, clients: usize, pairs: usize) {
        self.limits.clients = self.settings.max_clients.min(clients);
        self.limits.pairs = pairs;
    }

    /// How many descriptors clients and connections to workers have.
    pub fn descriptors(&self) -> usize {
        let clients = self.clients.iter().map(|(_, client)| {
            let returned = match &client.phase {
                Phase::Serving(exchange) => matches!(exchange.stage, Stage::Returned(..)),
                _ => false,
            };
            usize::from(client.link.session().is_none()) + usize::from(returned)
        });
        clients.sum::<usize>() + self.pairs.len()
    }

    /// Newcomers wait for a place, or no longer. While they do, a client that has been answered has
    /// to connect again: so all have their turn.
    pub fn press(&mut self, on: bool) {
        self.limits.is_pressed = on;
    }

    /// Whether clients' connections go on after a response.
    pub(crate) fn keeps_clients(&self) -> bool {
        !self.closing && !self.limits.is_pressed
    }

    /// Makes room for one more connection to a worker. Whether there is any.
    pub(crate) fn has_room_for_pair(&mut self) -> bool {
        if self.pairs.len() < self.limits.pairs {
            return true;
        }
        let is_idle = |pair: &Pair| pair.client.is_none() && pair.leave_at > 0;
        let idle = self.pairs.iter().find(|(_, pair)| is_idle(pair));
        let idle = idle.map(|(key, _)| key);
        if let Some(key) = idle {
            self.drop_pair(key);
        }
        idle.is_some()
    }
}
