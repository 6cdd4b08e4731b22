//! Clients that leave while their request waits or is in progress.
//!
//! TCP does not tell a client that has closed its sending side and hears on from one that has gone.
//! Nearly all have gone, and a worker that is not told works for nothing: so the end of what a client
//! sends calls its request off, as in nginx, Node and HAProxy, unless `half_closed_clients` says
//! otherwise.

use balance::Nanos;

use super::Proxy;
use super::client::{Client, Phase};
use super::slab::Key;

/// A client that may have closed its sending side alone is taken for gone when nothing of its
/// response has gone to it for so long.
const PAUSE: Nanos = 10_000_000_000;

impl Proxy {
    /// Whether the client that has a request in progress has left, as far as is known.
    pub(super) fn has_left(&self, key: Key) -> bool {
        let Some(client) = self.clients.get(key) else {
            return false;
        };
        let Phase::Serving(exchange) = &client.phase else {
            return false;
        };
        // A stream of events would never end, and its worker would not know that no client reads it.
        let answer = exchange.answer.as_ref();
        let streams = answer.is_some_and(|answer| answer.is_event_stream);
        client.link.is_ending() && (streams || !self.settings.half_closed)
    }

    /// The same, after a look at what the client has sent behind its request.
    pub(super) fn is_leaving(&mut self, key: Key) -> bool {
        if let Some(client) = self.clients.get_mut(key)
            && let Phase::Serving(exchange) = &client.phase
            && exchange.request_done
        {
            client.link.look_for_end(&mut self.room, &self.epoll);
        }
        self.has_left(key)
    }

    /// Whether a client that has closed its sending side hears nothing of its response any more.
    /// TCP tells only where something is sent.
    pub(super) fn is_deserted(&self, client: &Client) -> bool {
        let Phase::Serving(exchange) = &client.phase else {
            return false;
        };
        client.link.is_ending()
            && exchange.answer.is_some()
            && self.now.saturating_sub(client.active_at) >= PAUSE
    }
}
