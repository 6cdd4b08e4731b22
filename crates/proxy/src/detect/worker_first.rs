//! Protocols in which the server speaks first: a client that says nothing may wait for that.

use balance::{Look, Nanos};
use telemetry::figures::Foreign;

use super::{Spoken, begins_as_http, foreign};
use crate::Workers;
use crate::context::Context;
use crate::downstream::client::{Client, FirstWord, Phase, Step};
use crate::exchange::{Exchange, ending, placing};
use crate::forward::tunnel;
use crate::link::Read;
use crate::outcome::record::Record;
use crate::slab::{Key, Slab};
use crate::upstream::handoff;

/// A client that has said nothing for so long may wait for the worker to speak.
const SILENCE: Nanos = 500_000_000;

/// How long a worker may take for its first word.
const FIRST_WORD: Nanos = 1_000_000_000;

/// So often it is tried at one listener: clients also open connections that they need later.
const TRIES: u8 = 3;

/// Gives clients that say nothing to workers which may want to speak first: one at a listener at a
/// time.
pub(crate) fn hear_workers<W: Workers>(
    clients: &mut Slab<Client>,
    cx: &mut Context,
    workers: &mut W,
) {
    let is_open =
        |spoken| matches!(spoken, Spoken::Unknown { tries, listens: false, .. } if tries < TRIES);
    if !cx.settings.tls.is_empty() || !cx.listeners.iter().any(|(_, it)| is_open(it.spoken)) {
        return;
    }
    for (_, client) in clients.iter_mut() {
        let listener = cx.listeners.get(client.listener);
        if is_silent(client, cx.io.now) && listener.is_some_and(|it| is_open(it.spoken)) {
            hear_worker(client, cx, workers);
        }
    }
}

/// Whether a client has not said a word on its connection for a while.
fn is_silent(client: &Client, now: Nanos) -> bool {
    match &client.phase {
        Phase::Reading(reading) => {
            !client.served
                && client.carrier.is_connection()
                && client.link.input.is_empty()
                && now.saturating_sub(reading.since) >= SILENCE
        }
        _ => false,
    }
}

fn hear_worker<W: Workers>(client: &mut Client, cx: &mut Context, workers: &mut W) {
    let Phase::Reading(reading) = client.phase else {
        return;
    };
    let Some(listener) = cx.listeners.get(client.listener) else {
        return;
    };
    // It is no request, so the balancer does not count it. One whose loop waits takes it at once.
    let members = listener.balancer.members();
    let least =
        members.min_by_key(|(id, _, it)| (it.in_progress, workers.look(*id) != Look::Waiting));
    let Some((member, ..)) = least else {
        return;
    };
    let (key, ends, peer) = (client.key, client.ends(), client.peer);
    let made = handoff::hand_new(
        member,
        ends,
        peer,
        |it, _| it.client = Some(key),
        cx,
        workers,
    );
    let Ok(connection) = made else {
        return;
    };
    client.phase = Phase::FirstWord(FirstWord {
        since: reading.since,
        until: cx.io.now + FIRST_WORD,
        member,
        connection,
    });
    set_listens(client.listener, true, cx);
}

/// One try at a listener begins, or is over.
fn set_listens(listener: u64, on: bool, cx: &mut Context) {
    if let Some(listener) = cx.listeners.get_mut(listener)
        && let Spoken::Unknown { tries, listens, .. } = &mut listener.spoken
    {
        *listens = on;
        *tries += u8::from(on);
    }
}

/// Waits for the first word of a client or its worker.
pub(crate) fn hear(client: &mut Client, cx: &mut Context) -> Step {
    let Phase::FirstWord(FirstWord {
        member, connection, ..
    }) = client.phase
    else {
        return Step::Wait;
    };
    let io = &mut cx.io;
    match client.link.read(&mut io.read_buffer, &io.epoll) {
        Read::Some(len) => {
            let said = io.read_buffer.get(..len).unwrap_or(&[]);
            client.link.input.extend(said);
            client.active_at = io.now;
            return read_on(client, cx);
        }
        Read::Nothing => {}
        Read::End | Read::Broken => return Step::Over,
    }
    let Some(worker) = cx.upstream.connections.get_mut(connection) else {
        return read_on(client, cx);
    };
    let len = match worker.link.read(&mut io.read_buffer, &io.epoll) {
        Read::Some(len) => len,
        Read::Nothing => return Step::Wait,
        Read::End | Read::Broken => return read_on(client, cx),
    };
    let said = io.read_buffer.get(..len).unwrap_or(&[]);
    if begins_as_http(said) {
        // It tells the client that it has waited too long.
        return read_on(client, cx);
    }
    worker.link.input.extend(said);
    foreign::note(client.listener, Foreign::WorkerFirst, cx);
    if !begin_whole(client, cx) {
        return Step::Over;
    }
    tunnel::open(client, member, connection, false, &cx.listeners);
    Step::On
}

/// Neither has spoken first: a request is read from the client, as from any.
pub(crate) fn read_on(client: &mut Client, cx: &mut Context) -> Step {
    let Phase::FirstWord(word) = client.phase else {
        return Step::Wait;
    };
    client.phase = match client.link.input.is_empty() {
        true => Phase::reading(word.since),
        // Its first byte has come just now.
        false => Phase::reading(cx.io.now),
    };
    stop(client.listener, word.connection, cx);
    Step::On
}

/// What a client's connection was tried for is over.
pub(crate) fn stop(listener: u64, connection: Key, cx: &mut Context) {
    cx.upstream.drop_connection(connection);
    set_listens(listener, false, cx);
}

/// A connection that passes whole is placed like a request.
pub(crate) fn place_whole<W: Workers>(
    client: &mut Client,
    cx: &mut Context,
    workers: &mut W,
) -> Step {
    if !begin_whole(client, cx) {
        return Step::Over;
    }
    match placing::arrive(client, cx, workers) {
        Ok(step) => step,
        Err(refusal) => ending::fail(client, refusal, None, cx),
    }
}

/// Counts it; whether its client may have one more.
fn begin_whole(client: &mut Client, cx: &mut Context) -> bool {
    let Some(listener) = cx.listeners.get_mut(client.listener) else {
        return false;
    };
    let (peer, now) = (client.peer, cx.io.now);
    let id = cx.outcomes.next_id();
    let mut record = Record::new(listener, id, peer.address, now);
    let has_place = record.take_place(&mut cx.limits.per_client);
    let exchange = Exchange::whole(record, client.key, peer.caller, now);
    client.phase = Phase::Serving(Box::new(exchange));
    has_place
}
