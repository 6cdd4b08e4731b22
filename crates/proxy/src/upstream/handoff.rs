//! Sending a request to its worker: over an idle connection of this client, or over a new one whose
//! other end goes down the worker's channel.

use std::os::fd::OwnedFd;

use balance::MemberId;

use super::Upstream;
use super::batch::Entry;
use super::connection::{Ends, UpstreamConnection};
use crate::Workers;
use crate::context::Context;
use crate::downstream::client::{Client, Phase};
use crate::downstream::peer::Peer;
use crate::exchange::{Exchange, Stage};
use crate::io::Io;
use crate::slab::Key;

/// Why a request may have to wait.
const CHANNEL_FULL: &str = "the worker's channel takes nothing more";

/// How a request goes to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Over an idle connection or, if there is none, a new one.
    Any,
    /// Over a new one, which lies in the channel until the worker takes it, and can be taken back.
    Channel,
}

/// Sends the client's request to this worker. `None` if it could not be sent; then the request waits
/// again.
pub(crate) fn hand<W: Workers>(
    client: &mut Client,
    member: MemberId,
    route: Route,
    cx: &mut Context,
    workers: &mut W,
) -> Option<()> {
    let (key, peer, ends, now) = (client.key, client.peer, client.ends(), cx.io.now);
    let Phase::Serving(exchange) = &mut client.phase else {
        return None;
    };
    match std::mem::replace(&mut exchange.stage, Stage::Waiting) {
        Stage::Returned(connection, end) => {
            let returned = (connection, end);
            return hand_returned(exchange, peer, member, returned, cx, workers);
        }
        Stage::Waiting => {}
        stage @ Stage::With(..) => {
            exchange.stage = stage;
            return None;
        }
    }
    exchange.sent_at = now;
    let head = std::mem::take(&mut exchange.head);
    let retries = cx.settings.retry_idempotent;
    let sent = match route {
        Route::Any => send_over_idle(key, exchange, member, ends, head, cx),
        Route::Channel => Err(head),
    };
    let connection = match sent {
        Ok(connection) => connection,
        Err(head) => {
            let bound = exchange.has_body.then_some(exchange.origin);
            let prepare = |connection: &mut UpstreamConnection, io: &Io| {
                // It lies there before the worker has it: one that takes it finds the request.
                let _ = connection.link.send(&head, &[], &io.epoll);
                connection.client = Some(key);
                connection.bound = bound;
                connection.was_staged = route == Route::Channel;
            };
            match hand_new(member, ends, peer, prepare, cx, workers) {
                Ok(connection) => {
                    cx.upstream.batch.keep_head(Some(exchange), head, retries);
                    connection
                }
                Err(trouble) => {
                    exchange.head = head;
                    exchange.trouble = Some(trouble);
                    return None;
                }
            }
        }
    };
    if let Some(pool) = cx.upstream.pools.get_mut(&member) {
        pool.last = Some(connection);
    }
    exchange.stage = Stage::With(member, connection);
    // Its body is not late for having waited with it.
    client.active_at = now;
    Some(())
}

/// Sends a request over an idle connection of this worker, or puts it into the batch where it is
/// whole. Gives the head back if there is no good connection.
fn send_over_idle(
    client: Key,
    exchange: &mut Exchange,
    member: MemberId,
    ends: Ends,
    head: Vec<u8>,
    cx: &mut Context,
) -> Result<Key, Vec<u8>> {
    let Upstream {
        pools,
        connections,
        batch,
        ..
    } = &mut cx.upstream;
    let (io, retries) = (&cx.io, cx.settings.retry_idempotent);
    let Some(pool) = pools.get_mut(&member) else {
        return Err(head);
    };
    while let Some(key) = pool.take(ends, exchange.origin) {
        let Some(connection) = connections.get_mut(key) else {
            continue;
        };
        // What its worker has left, or left undone, is not used. Where that is not known yet, the
        // kernel takes nothing of what is sent.
        let is_good = connection.leave_at > io.now && connection.link.is_quiet();
        let is_whole = exchange.request_done;
        let is_sent = is_good && (is_whole || connection.link.send(&head, &[], &io.epoll).is_ok());
        if !is_sent {
            connections.remove(key);
            continue;
        }
        if exchange.has_body {
            connection.bound = connection.bound.or(Some(exchange.origin));
        }
        connection.client = Some(client);
        connection.asked_at = io.now;
        if is_whole {
            connection.is_asked = false;
            batch.push(Entry {
                client,
                member,
                connection: key,
                head,
            });
        } else {
            batch.keep_head(Some(exchange), head, retries);
        }
        return Ok(key);
    }
    Err(head)
}

/// Makes a connection, lets `prepare` put into it what the worker is to find, and hands the other
/// end to the worker. The error says why that was not possible.
pub(crate) fn hand_new<W: Workers>(
    member: MemberId,
    ends: Ends,
    peer: Peer,
    prepare: impl FnOnce(&mut UpstreamConnection, &Io),
    cx: &mut Context,
    workers: &mut W,
) -> Result<Key, &'static str> {
    let Context {
        upstream,
        listeners,
        io,
        ..
    } = cx;
    let (key, end) = upstream.open(member, ends, peer.sockaddr(), listeners, io)?;
    if let Some(connection) = upstream.connections.get_mut(key) {
        prepare(connection, io);
    }
    match workers.hand(member, end, peer.sockaddr()) {
        Ok(()) => {
            upstream.handed(member, key, io.now);
            Ok(key)
        }
        Err(end) => {
            drop(end);
            upstream.connections.remove(key);
            Err(CHANNEL_FULL)
        }
    }
}

/// Gives a connection that came back to another worker, with all that lies in it.
fn hand_returned<W: Workers>(
    exchange: &mut Exchange,
    peer: Peer,
    member: MemberId,
    (key, end): (Key, OwnedFd),
    cx: &mut Context,
    workers: &mut W,
) -> Option<()> {
    let now = cx.io.now;
    match workers.hand(member, end, peer.sockaddr()) {
        Ok(()) => {
            exchange.stage = Stage::With(member, key);
            exchange.sent_at = now;
            if let Some(connection) = cx.upstream.connections.get_mut(key) {
                connection.member = member;
                connection.handed_at = now;
                connection.asked_at = now;
            }
            cx.upstream.handed(member, key, now);
            Some(())
        }
        Err(end) => {
            exchange.stage = Stage::Returned(key, end);
            None
        }
    }
}
