//! Clients that leave while their request waits or is in progress.
//!
//! TCP does not tell a client that has closed its sending side and hears on from one that has gone.
//! Nearly all have gone, and a worker that is not told works for nothing: so the end of what a client
//! sends calls its request off, as in nginx, Node and HAProxy, unless `half_closed_clients` says
//! otherwise.

use balance::{MemberId, Nanos};

use crate::downstream::client::{Client, Phase};
use crate::slab::Key;
use crate::upstream::handoff::Patience;
use crate::upstream::pool;
use crate::{Proxy, Workers};

/// A client that may have closed its sending side alone is taken for gone when nothing of its
/// response has gone to it for so long.
const PAUSE: Nanos = 10_000_000_000;

impl Proxy {
    /// Whether the client that has a request in progress has left, as far as is known.
    pub(crate) fn has_left(&self, key: Key) -> bool {
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
    pub(crate) fn is_leaving(&mut self, key: Key) -> bool {
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
    pub(crate) fn is_deserted(&self, client: &Client) -> bool {
        let Phase::Serving(exchange) = &client.phase else {
            return false;
        };
        client.link.is_ending()
            && exchange.answer.is_some()
            && self.now.saturating_sub(client.active_at) >= PAUSE
    }
    /// Takes requests whose clients have left out of a worker's channel, so that the worker never
    /// hears of them. The others go back there in their order, and keep their place with this worker
    /// under every policy.
    pub(crate) fn remove_deserted<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        let mut lying = Vec::new();
        while let Some(end) = workers.take_back(member) {
            lying.push(end);
        }
        let pairs = &self.pairs;
        let Some(desk) = self.desks.get_mut(&member) else {
            return;
        };
        desk.untaken.retain(|key| pairs.get(*key).is_some());
        // What the channel does not take again, and what came behind that.
        let mut refused = Vec::new();
        for end in lying {
            let Some(number) = pool::number_of(&end) else {
                continue;
            };
            let known = |key: &Key| pairs.get(*key).is_some_and(|it| it.number == number);
            let Some(at) = desk.untaken.iter().position(known) else {
                continue;
            };
            let key = desk.untaken.get(at).copied();
            let Some((key, pair)) = key.and_then(|key| Some((key, pairs.get(key)?))) else {
                continue;
            };
            let client = pair.client.and_then(|id| Some((id, self.clients.get(id)?)));
            let Some(peer) = pair.greeting.or(client.map(|(_, client)| client.peer)) else {
                continue;
            };
            let handed = match refused.is_empty() {
                true => workers.hand(member, end, peer.sockaddr()),
                false => Err(end),
            };
            if let Err(end) = handed {
                desk.untaken.remove(at);
                refused.push((pair.client, key, end));
            }
        }
        // The youngest goes first into the queue's front.
        for (client, pair, end) in refused.into_iter().rev() {
            match client {
                Some(client) => self.wait_again(client, member, (pair, end), Patience::GoesOn),
                None => self.lose_greeting(pair),
            }
        }
    }
}
