//! The loop over clients: each one that may go on does its next step, within its share of the turn.

use std::io;

use balance::Next;

use crate::Workers;
use crate::context::Context;
use crate::detect::worker_first;
use crate::downstream::accept::{read_proxy_header, serve_http2};
use crate::downstream::client::{Client, Phase, Step};
use crate::downstream::leave::drop_client;
use crate::downstream::protocol;
use crate::exchange::{Stage, ending, placing, serve};
use crate::forward::tunnel;
use crate::hand_over::{adopted, parting};
use crate::limits::shares::Shares;
use crate::slab::{Key, Slab};
use crate::upstream::batch::{Entry, Sent};
use crate::upstream::handoff::Route;
use crate::upstream::loops::View;
use crate::upstream::take_back;

/// How many connections go on before the kernel is asked what else there is.
const AT_ONCE: usize = 64;

/// How many clients that had used their share in the last turn go on in this one.
const DUE_AT_ONCE: usize = 256;

/// Does for a client what can be done now.
pub(crate) fn drive<W: Workers>(
    key: Key,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    while has_share(key, clients, &cx.limits.shares) {
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let step = match flush(client, cx) {
            Ok(()) if parting::may_move(client, cx) => {
                parting::move_over(key, clients, cx);
                return;
            }
            Ok(()) => match client.phase {
                Phase::ProxyHeader => read_proxy_header(key, clients, cx),
                Phase::Http2(_) => serve_http2(key, clients, cx),
                Phase::Reading(_) => protocol::read(client, cx, workers),
                Phase::FirstWord(_) => worker_first::hear(client, cx),
                Phase::Serving(_) => serve::serve(client, cx, workers),
                Phase::Tunnel(_) => tunnel::pass(client, cx),
                Phase::Closing { .. } => ending::linger(client, cx),
            },
            Err(step) => step,
        };
        if step == Step::Over {
            drop_client(key, clients, cx);
            return;
        }
        give_handshake(key, clients, cx);
        let has_more = take_share(key, clients, &mut cx.limits.shares);
        if step == Step::Wait && !has_more {
            return;
        }
    }
    if let Some(client) = clients.get_mut(key)
        && !std::mem::replace(&mut client.is_deferred, true)
    {
        cx.ready.defer(key);
    }
}

/// Writes what waits to be written to the client.
fn flush(client: &mut Client, cx: &Context) -> Result<(), Step> {
    let any = client.link.flush(&cx.io.epoll).map_err(|_| Step::Over)?;
    if any {
        client.active_at = cx.io.now;
        // What was sent behind a request is not late while its response goes out.
        if let Phase::Reading(reading) = &mut client.phase {
            reading.since = cx.io.now;
        }
    }
    Ok(())
}

/// Whether a client may go on in this turn.
fn has_share(key: Key, clients: &Slab<Client>, shares: &Shares) -> bool {
    let Some(client) = clients.get(key) else {
        // It is over, and takes no time.
        return true;
    };
    let account = match client.carrier.session() {
        None => Some(client),
        Some(session) => clients.get(session),
    };
    account.is_none_or(|account| shares.has_left(account.share, account.sharer))
}

/// A client's TLS handshake, if its step has come to that, is for another thread.
fn give_handshake(key: Key, clients: &mut Slab<Client>, cx: &Context) {
    let Some(handshakes) = &cx.handshakes else {
        return;
    };
    if let Some(client) = clients.get_mut(key)
        && let Some(handshake) = client.link.take_handshake()
    {
        handshakes.give(client.payer(), key, handshake);
    }
}

/// Notes what a client's step has cost. Whether there may be more to read, although the step
/// brought nothing.
fn take_share(key: Key, clients: &mut Slab<Client>, shares: &mut Shares) -> bool {
    let Some(client) = clients.get_mut(key) else {
        return false;
    };
    let (units, has_more) = client.link.take_work();
    let account = match client.carrier.session() {
        None => Some(client),
        Some(session) => clients.get_mut(session),
    };
    if let Some(account) = account {
        shares.take(&mut account.share, account.sharer, 1 + units);
    }
    has_more
}

/// Places requests that wait, and lets some of the clients go on that can; the others have their
/// turn when these had theirs.
pub(crate) fn settle<W: Workers>(clients: &mut Slab<Client>, cx: &mut Context, workers: &mut W) {
    if cx.upstream.batch.is_full() {
        send_batch(clients, cx, workers);
    }
    adopted::place_new(cx, workers);
    for _ in 0..AT_ONCE {
        while let Some(listener) = cx.ready.next_listener() {
            place_waiting(listener, clients, cx, workers);
        }
        while let Some(listener) = cx.ready.next_woken() {
            let here = clients.iter().filter(|(_, it)| it.listener == listener);
            here.for_each(|(key, _)| cx.ready.wake(key));
        }
        let Some(client) = cx.ready.next_client() else {
            return;
        };
        drive(client, clients, cx, workers);
    }
}

/// Gives requests that wait at a listener to its workers, as long as one can have one.
fn place_waiting<W: Workers>(
    id: u64,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    while let Some(listener) = cx.listeners.get_mut(id) {
        let now = cx.io.now;
        let mut view = View {
            workers,
            now,
            upstream: &cx.upstream,
        };
        let (arrival, member, route) = match listener.balancer.next(now, &mut view) {
            Some(Next::Give(arrival, member)) => (arrival, member, Route::Any),
            Some(Next::Stage(arrival, member)) => (arrival, member, Route::Channel),
            Some(Next::Recall(member)) => {
                take_back::recall(id, member, clients, cx, workers);
                continue;
            }
            None => return,
        };
        if adopted::is_one(arrival.ticket) {
            adopted::hand(arrival.ticket, member, cx, workers);
            continue;
        }
        let key = Key::of(arrival.ticket.0);
        match clients.get_mut(key) {
            Some(client) => placing::start(client, member, route, cx, workers),
            None => placing::start_in_vain(member, arrival.ticket, cx),
        }
        cx.ready.wake(key);
    }
}

/// Wakes the clients that have been paused for long enough.
pub(crate) fn resume(clients: &mut Slab<Client>, cx: &mut Context) {
    while let Some(key) = cx.ready.next_resumed(cx.io.now) {
        if let Some(client) = clients.get_mut(key) {
            client.is_paused = false;
            cx.ready.wake(key);
        }
    }
}

/// Lets the clients go on that had used their share of the last turn.
pub(crate) fn go_on<W: Workers>(clients: &mut Slab<Client>, cx: &mut Context, workers: &mut W) {
    for _ in 0..DUE_AT_ONCE {
        let Some(key) = cx.ready.next_due() else {
            return;
        };
        if let Some(client) = clients.get_mut(key) {
            client.is_deferred = false;
            drive(key, clients, cx, workers);
        }
    }
}

/// Sends the heads that go together at the end of a turn.
pub(crate) fn send_batch<W: Workers>(
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    while !cx.upstream.batch.is_empty() {
        let upstream = &mut cx.upstream;
        let (mut entries, mut results) = upstream.batch.send(&upstream.connections);
        for (entry, result) in entries.drain(..).zip(results.drain(..)) {
            sent(entry, result, clients, cx, workers);
        }
        cx.upstream.batch.reuse(entries, results);
    }
}

fn sent<W: Workers>(
    entry: Entry,
    result: io::Result<usize>,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let client = clients.get_mut(entry.client);
    let upstream = &mut cx.upstream;
    match Sent::of(result) {
        Sent::Taken(len) => {
            if let Some(connection) = upstream.connections.get_mut(entry.connection) {
                connection.is_asked = true;
                let rest = entry.head.get(len..).unwrap_or(&[]);
                connection.link.send_later(rest, &cx.io.epoll);
            }
            let exchange = client.and_then(Client::exchange);
            let retries = cx.settings.retry_idempotent;
            upstream.batch.keep_head(exchange, entry.head, retries);
        }
        // It goes over another connection, or to another worker.
        Sent::Unread => {
            upstream.connections.remove(entry.connection);
            if let Some(client) = client
                && let Some(exchange) = client.exchange()
            {
                exchange.stage = Stage::Waiting;
                exchange.head = entry.head;
                placing::start(client, entry.member, Route::Any, cx, workers);
            }
        }
        Sent::Unknown => {
            upstream.connections.remove(entry.connection);
            cx.ready.wake(entry.client);
        }
    }
}
