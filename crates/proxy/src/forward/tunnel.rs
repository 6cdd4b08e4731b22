//! Upgraded connections, and those that pass whole: bytes go both ways, whatever they mean.

use balance::MemberId;

use crate::context::Context;
use crate::downstream::client::{Client, Phase, Step};
use crate::exchange::{Exchange, Tunnel};
use crate::io::Io;
use crate::link::{Link, Read};
use crate::listener::Listeners;
use crate::slab::Key;

/// Bytes go both ways from now on between a client and a worker.
pub(crate) fn open(
    client: &mut Client,
    member: MemberId,
    connection: Key,
    is_counted: bool,
    listeners: &Listeners,
) {
    let gone = Phase::Closing { until: 0 };
    let mut record = match std::mem::replace(&mut client.phase, gone) {
        Phase::Serving(exchange) => exchange.record,
        other => {
            client.phase = other;
            return;
        }
    };
    if record.worker.is_none() {
        let listener = listeners.get(client.listener);
        record.worker = listener.and_then(|listener| listener.place(member));
    }
    client.phase = Phase::Tunnel(Tunnel {
        record,
        member,
        connection,
        is_counted,
        told_worker: false,
        told_client: false,
    });
}

/// Undoes [`open`] for a connection that its worker has not taken: it waits for another worker, as a request
/// does. What the client has said lies in it, and goes along.
pub(crate) fn undo(client: &mut Client) {
    let gone = Phase::Closing { until: 0 };
    client.phase = match std::mem::replace(&mut client.phase, gone) {
        Phase::Tunnel(tunnel) => {
            // It has waited since it came.
            let (caller, since) = (client.peer.caller, tunnel.record.since);
            let exchange = Exchange::whole(tunnel.record, client.key, caller, since);
            Phase::Serving(Box::new(exchange))
        }
        other => other,
    };
}

/// Passes on what a tunnel carries.
pub(crate) fn pass(client: &mut Client, cx: &mut Context) -> Step {
    let Phase::Tunnel(tunnel) = &mut client.phase else {
        return Step::Wait;
    };
    let io = &mut cx.io;
    let Some(connection) = cx.upstream.connections.get_mut(tunnel.connection) else {
        return Step::Over;
    };
    let worker = &mut connection.link;
    if worker.flush(&io.epoll).is_err() {
        return Step::Over;
    }
    let Some(up) = copy(&mut client.link, worker, &mut tunnel.told_worker, io) else {
        return Step::Over;
    };
    let Some(down) = copy(worker, &mut client.link, &mut tunnel.told_client, io) else {
        return Step::Over;
    };
    tunnel.record.bytes += down as u64;
    client.link.add_work(worker.take_work().0);
    if up + down > 0 {
        client.active_at = io.now;
        Step::On
    } else if tunnel.told_worker && tunnel.told_client {
        Step::Over
    } else {
        Step::Wait
    }
}

/// Copies what there is from one side to the other; how much that was, or `None` if a side is
/// broken. The end of one side is passed on to the other.
fn copy(from: &mut Link, to: &mut Link, told: &mut bool, io: &mut Io) -> Option<usize> {
    if to.is_clogged() {
        return Some(0);
    }
    let kept = std::mem::take(&mut from.input);
    if !kept.is_empty() {
        to.send(&kept, &[], &io.epoll).ok()?;
        return Some(kept.len());
    }
    match from.read(&mut io.read_buffer, &io.epoll) {
        Read::Some(len) => {
            let bytes = io.read_buffer.get(..len).unwrap_or(&[]);
            to.send(bytes, &[], &io.epoll).ok()?;
            Some(len)
        }
        Read::Nothing => Some(0),
        Read::End => {
            if !std::mem::replace(told, true) {
                to.finish_sending(&io.epoll);
            }
            Some(0)
        }
        Read::Broken => None,
    }
}
