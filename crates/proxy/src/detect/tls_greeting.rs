//! Workers that speak TLS close on plain HTTP without a word: they are greeted in TLS, to be named
//! for what they are.

use balance::Nanos;
use telemetry::figures::Foreign;

use super::{Spoken, foreign, other_protocol};
use crate::Workers;
use crate::context::Context;
use crate::downstream::client::{Client, Phase};
use crate::exchange::Stage;
use crate::io::Io;
use crate::link::Read;
use crate::slab::Key;
use crate::upstream::connection::UpstreamConnection;
use crate::upstream::handoff;

/// How long one that is greeted may take to answer. No client waits for it, and there is
/// one connection at a listener for it: a worker that has much to do is given its time.
const GREETING: Nanos = 10_000_000_000;

/// A `ClientHello` of TLS 1.2 that every TLS server answers, with a `ServerHello` or an alert.
/// (An HTTP server finds the end of a head in it, and need not wait for more.)
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x51\x01\x00\x00\x4d\x03\x03\
    maitred: is this a TLS app?\n\r\n\r\n\x00\
    \x00\x08\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30\x01\x00\x00\x1c\
    \x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17\
    \x00\x0b\x00\x02\x01\x00\
    \x00\x0d\x00\x08\x00\x06\x04\x03\x08\x04\x04\x01";

/// A worker has ended the client's connection before it has answered: it may be one that speaks TLS.
/// It is greeted so, once at a listener, whatever becomes of the client.
pub(crate) fn greet<W: Workers>(client: &Client, cx: &mut Context, workers: &mut W) {
    let Phase::Serving(exchange) = &client.phase else {
        return;
    };
    let Stage::With(member, _) = exchange.stage else {
        return;
    };
    if !set_greeted(client.listener, true, cx) {
        return;
    }
    let peer = client.peer;
    let prepare = |connection: &mut UpstreamConnection, io: &Io| {
        connection.greeting = Some(peer);
        connection.leave_at = io.now + GREETING;
        // What cannot be sent is not answered.
        let _ = connection.link.send(CLIENT_HELLO, &[], &io.epoll);
    };
    if handoff::hand_new(member, client.ends(), peer, prepare, cx, workers).is_err() {
        // The next client that gets no answer brings about another greeting.
        set_greeted(client.listener, false, cx);
    }
}

/// A worker has been greeted at this listener, or not yet. Whether that is new, and its protocol is
/// unknown.
fn set_greeted(listener: u64, on: bool, cx: &mut Context) -> bool {
    match cx.listeners.get_mut(listener).map(|it| &mut it.spoken) {
        Some(Spoken::Unknown { greeted, .. }) => std::mem::replace(greeted, on) != on,
        _ => false,
    }
}

/// A connection that carries no request does not come to its worker. If it held a greeting, the next
/// client that gets no answer brings about another one.
pub(crate) fn lose(connection: Key, cx: &mut Context) {
    let connection = cx.upstream.connections.remove(connection);
    if let Some(connection) = connection
        && connection.greeting.is_some()
        && let Some(pool) = cx.upstream.pools.get(&connection.member)
    {
        set_greeted(pool.listener, false, cx);
    }
}

/// Something has come over a connection that carries no request: an answer to a greeting, perhaps.
pub(crate) fn hear_answer(key: Key, cx: &mut Context) {
    let Some(connection) = cx.upstream.connections.get_mut(key) else {
        return;
    };
    let io = &mut cx.io;
    if connection.greeting.is_some()
        && let Some(pool) = cx.upstream.pools.get(&connection.member)
        && let Read::Some(len) = connection.link.read(&mut io.read_buffer, &io.epoll)
        && other_protocol(io.read_buffer.get(..len).unwrap_or(&[])) == Some(Foreign::Tls)
    {
        let listener = pool.listener;
        foreign::note(listener, Foreign::Tls, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_as_long_as_it_says() {
        assert_eq!(CLIENT_HELLO.len(), 5 + 0x51);
        assert_eq!(CLIENT_HELLO[3..5], [0, 0x51]);
        assert_eq!(CLIENT_HELLO[6..9], [0, 0, 0x4d]);
    }
}
