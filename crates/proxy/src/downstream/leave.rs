//! Clients that go, with what they have in progress.

use http1::Refusal;

use super::client::{Client, Phase, Step};
use crate::context::Context;
use crate::detect::worker_first;
use crate::exchange::{Stage, ending};
use crate::outcome::Outcome;
use crate::outcome::account::account;
use crate::slab::{Key, Slab};
use crate::timeouts::FIRST_REQUEST;

/// Ends a client's connection, and what it has in progress.
pub(crate) fn drop_client(key: Key, clients: &mut Slab<Client>, cx: &mut Context) {
    let Some(client) = clients.remove(key) else {
        return;
    };
    cx.limits.shares.leave(client.sharer);
    if client.link.is_in_handshake()
        && let Some(handshakes) = &cx.handshakes
    {
        handshakes.cancel(key);
    }
    match client.carrier.session() {
        Some(session) => {
            let is_complete = matches!(client.phase, Phase::Closing { .. });
            stream_ended(clients.get_mut(session), is_complete);
        }
        None => cx.upstream.drop_bound(key),
    }
    let listener = client.listener;
    match client.phase {
        Phase::Serving(exchange) => {
            ending::abandon(exchange.stage, listener, key, cx);
            account(listener, exchange.record, Outcome::Aborted, cx);
        }
        Phase::Tunnel(tunnel) => {
            if tunnel.is_counted {
                let stage = Stage::With(tunnel.member, tunnel.connection);
                ending::abandon(stage, listener, key, cx);
            } else {
                cx.upstream.drop_connection(tunnel.connection);
            }
            account(listener, tunnel.record, Outcome::Upgraded, cx);
        }
        Phase::FirstWord(word) => worker_first::stop(listener, word.connection, cx),
        Phase::ProxyHeader | Phase::Reading(_) | Phase::Http2(_) | Phase::Closing { .. } => {}
    }
}

/// A stream of an HTTP/2 connection is gone; whether it had its response.
fn stream_ended(session: Option<&mut Client>, is_complete: bool) {
    if let Some(client) = session
        && let Phase::Http2(session) = &mut client.phase
    {
        session.stream_ended(is_complete);
    }
}

/// A client's request fails without a step of its own.
pub(crate) fn conclude(
    key: Key,
    refusal: Refusal,
    detail: Option<&'static str>,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) {
    let Some(client) = clients.get_mut(key) else {
        return;
    };
    match ending::fail(client, refusal, detail, cx) {
        Step::Over => drop_client(key, clients, cx),
        Step::On | Step::Wait => cx.ready.wake(key),
    }
}

/// The app stops: connections end with the response that they are at. Clients that have just connected, or whose
/// request lies there unread, are waited for: what they ask for is on its way, and would be lost.
pub(crate) fn close_all(clients: &mut Slab<Client>, cx: &mut Context) {
    let mut idle = Vec::new();
    let now = cx.io.now;
    let recently = now.saturating_sub(FIRST_REQUEST);
    for (key, client) in clients.iter_mut() {
        match &mut client.phase {
            Phase::Http2(session) => {
                session.close();
                cx.ready.wake(key);
            }
            Phase::ProxyHeader | Phase::Reading(_) | Phase::FirstWord(_)
                if client.link.input.is_empty() =>
            {
                if client.link.is_clogged() {
                    // The end of its last response is still to be written.
                    ending::close(client, cx);
                } else if client.link.has_unread() {
                    if let Phase::Reading(reading) = &mut client.phase {
                        reading.since = now;
                    }
                } else if client.served || !client.is_new(recently) {
                    idle.push(key);
                }
            }
            _ => {}
        }
    }
    for key in idle {
        drop_client(key, clients, cx);
    }
}
