//! Clients that move to the successor: as soon as nothing of them is in progress with a worker.

use balance::MemberId;

use super::successor::{Heir, Parting, Successor};
use super::{MOST_BYTES, adopted};
use crate::context::Context;
use crate::detect::worker_first;
use crate::downstream::client::{Client, Phase};
use crate::downstream::leave::drop_client;
use crate::exchange::{Exchange, Stage, ending};
use crate::outcome::account;
use crate::slab::{Key, Slab};
use crate::{Proxy, Workers};

/// Whether a client can move now.
pub(crate) fn may_move(client: &Client, cx: &Context) -> bool {
    if !cx.heir.takes_clients() || !client.link.is_bare() || !client.carrier.is_connection() {
        return false;
    }
    let kept = match &client.phase {
        Phase::ProxyHeader | Phase::Reading(_) | Phase::FirstWord(_) => Some(0),
        Phase::Serving(exchange) => unasked(exchange),
        Phase::Http2(_) | Phase::Tunnel(_) | Phase::Closing { .. } => None,
    };
    kept.is_some_and(|kept| kept + client.link.input.len() <= MOST_BYTES)
}

/// Of a request that no worker has: how many of its bytes have been used, if all of them are kept.
fn unasked(exchange: &Exchange) -> Option<usize> {
    let is_new = exchange.failed.is_none() && !exchange.begun;
    match &exchange.stage {
        Stage::Waiting if exchange.is_whole => Some(0),
        Stage::Waiting | Stage::Returned(..) if is_new => exchange.raw.as_ref().map(Vec::len),
        _ => None,
    }
}

/// Sends a client to the successor that may move.
pub(crate) fn move_over(key: Key, clients: &mut Slab<Client>, cx: &mut Context) {
    let Some(client) = clients.remove(key) else {
        return;
    };
    let source = client.source();
    cx.limits.shares.leave(client.sharer);
    cx.upstream.drop_bound(key);
    let header = matches!(client.phase, Phase::ProxyHeader);
    let mut bytes = Vec::new();
    match client.phase {
        Phase::FirstWord(word) => worker_first::stop(source.listener, word.connection, cx),
        Phase::Serving(exchange) => {
            bytes = exchange.raw.unwrap_or_default();
            ending::abandon(exchange.stage, source.listener, key, cx);
            account::moved(source.listener, exchange.record, cx);
        }
        Phase::ProxyHeader
        | Phase::Reading(_)
        | Phase::Http2(_)
        | Phase::Tunnel(_)
        | Phase::Closing { .. } => {}
    }
    bytes.extend_from_slice(&client.link.input);
    let socket = client.link.into_socket(&cx.io.epoll);
    let listener = cx.listeners.get(source.listener);
    if let (Some(socket), Some(listener)) = (socket, listener)
        && let Some(successor) = cx.heir.successor()
    {
        let parting = Parting {
            source,
            served: client.served,
            header,
            bytes,
        };
        successor.send_client(parting, socket, listener, cx.io.now);
    }
}

impl Proxy {
    /// Another proxy goes on: from now on this one gives no worker anything, and touches no channel. Clients
    /// move there over this socket, those that cannot are served until they are done. What lies in
    /// channels, and no worker has taken, is taken back before.
    pub fn hand_over<W: Workers>(&mut self, successor: std::os::fd::OwnedFd, workers: &mut W) {
        self.send_batch(workers);
        let members: Vec<MemberId> = self.cx.upstream.pools.keys().copied().collect();
        for (_, client) in self.clients.iter_mut() {
            worker_first::read_on(client, &mut self.cx);
        }
        self.cx.heir = match Successor::new(successor, &self.cx.io) {
            Ok(successor) => Heir::Successor(Box::new(successor)),
            Err(_) => Heir::Lost,
        };
        self.cx.limits.capacity.is_pressed = false;
        for member in members {
            self.leave(member, workers);
        }
        if !self.cx.heir.takes_clients() {
            self.close();
        }
        adopted::hand_over(&mut self.cx);
        self.tell_held();
        for (key, client) in self.clients.iter_mut() {
            if let Phase::Http2(session) = &mut client.phase {
                session.close();
            }
            self.cx.ready.wake(key);
        }
    }

    /// Tells the successor which requests its workers have.
    fn tell_held(&mut self) {
        let Some(successor) = self.cx.heir.successor() else {
            return;
        };
        for (_, client) in self.clients.iter() {
            let (key, lasts) = match &client.phase {
                Phase::Serving(exchange) => match exchange.stage {
                    Stage::With(_, key) => (key, exchange.is_event_stream()),
                    Stage::Waiting | Stage::Returned(..) => continue,
                },
                Phase::Tunnel(tunnel) => (tunnel.connection, true),
                _ => continue,
            };
            if let Some(connection) = self.cx.upstream.connections.get(key) {
                successor.tell_held(key, connection, lasts);
            }
        }
    }

    /// Whether, after [`Self::hand_over`], no client is left; nor any of a proxy that this one has replaced.
    pub fn has_handed_over(&self) -> bool {
        let unsent = match &self.cx.heir {
            Heir::None => return false,
            Heir::Successor(successor) => successor.unsent(),
            Heir::Lost => 0,
        };
        self.clients.len() + unsent == 0 && !self.has_predecessor()
    }

    /// The time for [`Self::hand_over`] is over: what is left is closed.
    pub fn cut(&mut self) {
        let all: Vec<Key> = self.clients.iter().map(|(key, _)| key).collect();
        for key in all {
            if let Some(client) = self.clients.get_mut(key)
                && matches!(client.phase, Phase::Reading(_) | Phase::Http2(_))
            {
                client.link.finish_sending(&self.cx.io.epoll);
            }
            drop_client(key, &mut self.clients, &mut self.cx);
        }
        self.cx.heir = Heir::Lost;
        self.predecessor = None;
    }
}
