//! Clients that leave while their request waits or is in progress.
//!
//! TCP does not tell a client that has closed its sending side and hears on from one that has gone.
//! Nearly all have gone, and a worker that does not learn it works for nothing: so the end of what a
//! client sends calls its request off, as in nginx, Node and HAProxy, unless `half_closed_clients`
//! says otherwise.

use balance::Nanos;

use crate::Settings;
use crate::context::Context;
use crate::downstream::client::{Client, Phase};

/// A client that may have closed its sending side alone is taken for gone when nothing of its
/// response has gone to it for so long.
const PAUSE: Nanos = 10_000_000_000;

/// Whether the client that has a request in progress has left, as far as is known.
pub(crate) fn has_left(client: &Client, settings: &Settings) -> bool {
    let Phase::Serving(exchange) = &client.phase else {
        return false;
    };
    // A stream of events would never end, and its worker would not know that no client reads it.
    client.link.is_ending() && (exchange.is_event_stream() || !settings.half_closed)
}

/// The same, after a look at what the client has sent behind its request.
pub(crate) fn is_leaving(client: &mut Client, cx: &mut Context) -> bool {
    if let Phase::Serving(exchange) = &client.phase
        && exchange.request_done
    {
        let io = &mut cx.io;
        client.link.look_for_end(&mut io.read_buffer, &io.epoll);
    }
    has_left(client, &cx.settings)
}

/// Whether a client that has closed its sending side hears nothing of its response any more. TCP
/// tells only where something is sent.
pub(crate) fn is_deserted(client: &Client, now: Nanos) -> bool {
    let Phase::Serving(exchange) = &client.phase else {
        return false;
    };
    client.link.is_ending()
        && exchange.answer.is_some()
        && now.saturating_sub(client.active_at) >= PAUSE
}
