//! Taking back what lies in a worker's channel and was not taken: it goes to other workers, with all
//! that lies in it.

use std::os::fd::OwnedFd;

use balance::{Look, MemberId, Ticket};

use super::OVERDUE;
use super::connection::UpstreamConnection;
use crate::Workers;
use crate::context::Context;
use crate::detect::tls_greeting;
use crate::downstream::client::{Client, Phase};
use crate::downstream::peer::Peer;
use crate::exchange::Stage;
use crate::forward::tunnel;
use crate::hand_over::adopted;
use crate::slab::{Key, Slab};

/// Why a request may have to wait, where a worker is to blame.
const FULL: &str = "the worker has too many open files; raise its limit (ulimit -n)";

/// Why a request comes back from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The worker has not taken it in time. Its time in the queue begins anew.
    Overdue,
    /// Another worker is free, or the worker's channel takes it no more.
    Recalled,
    /// The worker has no descriptor left to take it with.
    Full,
}

/// Looks after what lies untaken in channels.
pub(crate) fn look_after_untaken<W: Workers>(
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    cx.upstream.untaken_at = None;
    let pools = cx.upstream.pools.iter();
    let members: Vec<_> = pools
        .filter(|(_, pool)| !pool.untaken.is_empty())
        .map(|(member, _)| *member)
        .collect();
    for member in members {
        look_after(member, clients, cx, workers);
    }
}

fn look_after<W: Workers>(
    member: MemberId,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let lying = workers.untaken(member);
    let Some(pool) = cx.upstream.pools.get_mut(&member) else {
        return;
    };
    while pool.untaken.len() > lying {
        pool.untaken.pop_front();
    }
    let connections = &cx.upstream.connections;
    let is_gone = |key: &Key| connections.get(*key).is_none();
    if pool.untaken.iter().any(is_gone) {
        remove_deserted(member, clients, cx, workers);
    }
    let upstream = &cx.upstream;
    let untaken = upstream.pools.get(&member).map(|pool| pool.untaken.iter());
    // What is for this worker alone does not go to another.
    let asks = |key: &Key| {
        let connection = upstream.connections.get(*key)?;
        let waits = connection.client.is_some() && asked_of(connection, clients).is_none();
        waits.then_some(connection)
    };
    let Some(oldest) = untaken.into_iter().flatten().find_map(asks) else {
        return;
    };
    let is_overdue = cx.io.now >= oldest.handed_at + OVERDUE;
    cx.upstream.untaken_at = Some(cx.io.now + OVERDUE);
    if !is_overdue {
        return;
    }
    if workers.is_full(member) {
        take_back_from_full(member, clients, cx, workers);
    } else if another_is_free(member, cx, workers) {
        take_back(member, clients, cx, workers);
    }
}

/// The peer of a connection that finds out what this worker speaks: it is for no other worker.
fn asked_of(connection: &UpstreamConnection, clients: &Slab<Client>) -> Option<Peer> {
    let client = || clients.get(connection.client?);
    let waits = |client: &&Client| matches!(client.phase, Phase::FirstWord(_));
    let first_word = || client().filter(waits).map(|client| client.peer);
    connection.greeting.or_else(first_word)
}

/// Whether another worker behind the same listener could have a request now, and may.
fn another_is_free<W: Workers>(member: MemberId, cx: &Context, workers: &mut W) -> bool {
    use balance::RequestPolicy::{LeastConn, NextAvailable};
    if !matches!(cx.settings.balance.policy, NextAvailable | LeastConn) {
        return false;
    }
    let pool = cx.upstream.pools.get(&member);
    let Some(listener) = pool.and_then(|pool| cx.listeners.get(pool.listener)) else {
        return false;
    };
    listener.balancer.members().any(|(id, _, figures)| {
        id != member && figures.in_progress == 0 && workers.look(id) == Look::Waiting
    })
}

/// Takes everything back from a worker that has no descriptor left to take it: it goes to others,
/// under every policy.
fn take_back_from_full<W: Workers>(
    member: MemberId,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let Some(pool) = cx.upstream.pools.get(&member) else {
        return;
    };
    let listener = pool.listener;
    take_out(member, Why::Full, clients, cx, workers);
    if let Some(listener) = cx.listeners.get_mut(listener) {
        listener.balancer.full(cx.io.now, member);
    }
}

/// Takes everything back that this worker has not taken: it waits again.
pub(crate) fn take_back<W: Workers>(
    member: MemberId,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    take_out(member, Why::Overdue, clients, cx, workers);
}

/// Takes back what is staged at a worker, for another one.
pub(crate) fn recall<W: Workers>(
    listener: u64,
    member: MemberId,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    take_out(member, Why::Recalled, clients, cx, workers);
    // If it did not come back, the worker has just taken it.
    let listener = cx.listeners.get_mut(listener);
    if let Some(taken) = listener.and_then(|it| it.balancer.taken(cx.io.now, member)) {
        begins(taken, clients, cx);
    }
}

/// A worker has taken a request that was staged: what it may take to read and to answer it counts
/// from now.
pub(crate) fn begins(request: Ticket, clients: &mut Slab<Client>, cx: &mut Context) {
    let now = cx.io.now;
    if adopted::is_one(request) {
        return;
    }
    let client = clients.get_mut(Key::of(request.0));
    let exchange = client.and_then(Client::exchange);
    let Some(exchange) = exchange else {
        return;
    };
    let Stage::With(member, key) = exchange.stage else {
        return;
    };
    exchange.sent_at = now;
    if let Some(connection) = cx.upstream.connections.get_mut(key) {
        connection.asked_at = now;
    }
    if let Some(pool) = cx.upstream.pools.get_mut(&member) {
        pool.last = Some(key);
    }
}

fn take_out<W: Workers>(
    member: MemberId,
    why: Why,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let Some(listener) = cx.upstream.pools.get(&member).map(|pool| pool.listener) else {
        return;
    };
    let mut back = all_in_channel(member, workers);
    if cx.heir.is_known() {
        leave_foreign(member, &mut back, cx, workers);
    }
    // The youngest goes first into the queue's front, so that the oldest comes to stand there.
    for end in back.into_iter().rev() {
        let upstream = &mut cx.upstream;
        let Some(pool) = upstream.pools.get_mut(&member) else {
            continue;
        };
        let Some((at, key)) = pool.find_untaken(&end, &upstream.connections) else {
            if upstream.is_foreign(&end) {
                adopted::came_back(end, member, listener, cx);
            }
            continue;
        };
        pool.untaken.remove(at);
        if pool.last == Some(key) {
            pool.last = None;
        }
        let Some(connection) = upstream.connections.get(key) else {
            continue;
        };
        let client = connection.client;
        if let Some(peer) = asked_of(connection, clients) {
            match workers.hand(member, end, peer.sockaddr()) {
                Ok(()) => pool.untaken.push_back(key),
                Err(_) => tls_greeting::lose(key, cx),
            }
        } else if let Some(client) = client {
            wait_again(client, member, (key, end), why, clients, cx);
        } else {
            upstream.connections.remove(key);
        }
    }
    // What is untaken still, the worker has taken meanwhile, or there was no descriptor to take it
    // back.
    cx.ready.place_at(listener);
}

/// A proxy that is replaced leaves in the channel what the other one may have put there already.
fn leave_foreign<W: Workers>(
    member: MemberId,
    back: &mut Vec<OwnedFd>,
    cx: &Context,
    workers: &mut W,
) {
    let is_foreign = |end: &mut OwnedFd| cx.upstream.is_foreign(end);
    for end in back.extract_if(.., is_foreign) {
        let peer = adopted::peer_of(&end);
        // It has just been there, so there is room for it.
        let _ = workers.hand(member, end, peer.as_bytes());
    }
}

/// Takes requests whose clients have left out of a worker's channel, so that the worker never sees
/// them. The others go back there in their order, and keep their place with this worker under every
/// policy.
fn remove_deserted<W: Workers>(
    member: MemberId,
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let lying: Vec<_> = all_in_channel(member, workers)
        .into_iter()
        .map(|end| (cx.upstream.is_foreign(&end), end))
        .collect();
    let connections = &cx.upstream.connections;
    let Some(pool) = cx.upstream.pools.get_mut(&member) else {
        return;
    };
    let listener = pool.listener;
    pool.untaken.retain(|key| connections.get(*key).is_some());
    // What the channel does not take again, and what came behind that.
    let mut refused = Vec::new();
    let mut others = Vec::new();
    for (is_foreign, end) in lying {
        if is_foreign {
            let peer = adopted::peer_of(&end);
            let handed = match refused.is_empty() && others.is_empty() {
                true => workers.hand(member, end, peer.as_bytes()),
                false => Err(end),
            };
            others.extend(handed.err());
            continue;
        }
        let Some((at, key)) = pool.find_untaken(&end, connections) else {
            continue;
        };
        let Some(connection) = connections.get(key) else {
            continue;
        };
        let client = connection.client.and_then(|client| clients.get(client));
        let Some(peer) = connection.greeting.or(client.map(|client| client.peer)) else {
            continue;
        };
        let handed = match refused.is_empty() && others.is_empty() {
            true => workers.hand(member, end, peer.sockaddr()),
            false => Err(end),
        };
        if let Err(end) = handed {
            pool.untaken.remove(at);
            refused.push((connection.client, key, end));
        }
    }
    // The youngest goes first into the queue's front.
    for (client, key, end) in refused.into_iter().rev() {
        match client {
            Some(client) => {
                let returned = (key, end);
                wait_again(client, member, returned, Why::Recalled, clients, cx);
            }
            None => tls_greeting::lose(key, cx),
        }
    }
    for end in others.into_iter().rev() {
        adopted::came_back(end, member, listener, cx);
    }
}

/// Takes all out that lies in a worker's channel, oldest first.
fn all_in_channel<W: Workers>(member: MemberId, workers: &mut W) -> Vec<OwnedFd> {
    std::iter::from_fn(|| workers.take_back(member)).collect()
}

/// A request waits again, in the connection that its worker has not taken.
fn wait_again(
    client: Key,
    member: MemberId,
    (connection, end): (Key, OwnedFd),
    why: Why,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) {
    let mut since = cx.io.now;
    let Some(client) = clients.get_mut(client) else {
        return;
    };
    tunnel::undo(client);
    let Some(exchange) = client.exchange() else {
        return;
    };
    exchange.stage = Stage::Returned(connection, end);
    exchange.record.worker = None;
    if why != Why::Overdue {
        since = exchange.waits_since;
    }
    if why == Why::Full {
        exchange.failed = Some(member);
        exchange.trouble = Some(FULL);
    }
    exchange.waits_since = since;
    if let (Some(arrival), Some(listener)) =
        (client.arrival(), cx.listeners.get_mut(client.listener))
    {
        listener
            .balancer
            .taken_back(cx.io.now, member, arrival, since);
    }
}
