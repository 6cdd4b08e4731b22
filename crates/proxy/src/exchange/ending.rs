//! How requests end: answered, failed, refused or abandoned; and the last words on a connection.

use balance::Nanos;
use http1::Refusal;

use super::{Exchange, Stage};
use crate::context::Context;
use crate::downstream::client::{Client, Phase, Step};
use crate::link::{Input, Read};
use crate::outcome::account::account;
use crate::outcome::record::Record;
use crate::outcome::{Outcome, Report};
use crate::slab::Key;

/// How long the last words to a client may take.
const CLOSING: Nanos = 2_000_000_000;

/// What comes behind the last words is read so often, a buffer of 64 KiB at a time.
const BETWEEN_READS: Nanos = 4_000_000;

/// The response has been passed on whole: the client may send the next request.
pub(crate) fn finish(client: &mut Client, cx: &mut Context) -> Step {
    let next = Phase::reading(cx.io.now);
    let Phase::Serving(exchange) = std::mem::replace(&mut client.phase, next) else {
        return Step::Wait;
    };
    client.served = true;
    let listener = client.listener;
    let (done, answer) = (exchange.request_done, exchange.answer);
    account(listener, exchange.record, Outcome::Answered, cx);
    let keep_connection = answer.as_ref().and_then(|answer| answer.keep_connection);
    if let Stage::With(member, connection) = exchange.stage {
        match keep_connection {
            Some(time) if done => cx.upstream.keep(member, connection, time, cx.io.now),
            _ => cx.upstream.drop_connection(connection),
        }
        cx.listeners
            .ended(listener, member, cx.io.now, &mut cx.ready);
    }
    if done && answer.is_some_and(|answer| answer.keep_alive) && !cx.is_closing {
        return Step::On;
    }
    close(client, cx)
}

/// The client's request fails. Where nothing of a response has been passed on, the client gets an
/// error.
pub(crate) fn fail(
    client: &mut Client,
    refusal: Refusal,
    detail: Option<&'static str>,
    cx: &mut Context,
) -> Step {
    let begun = match &client.phase {
        // It can have no error any more.
        Phase::Serving(exchange) => exchange.answer.is_some() || exchange.is_whole,
        _ => false,
    };
    if !begun {
        return refuse(client, refusal, detail, cx);
    }
    let gone = Phase::Closing { until: cx.io.now };
    if let Phase::Serving(exchange) = std::mem::replace(&mut client.phase, gone) {
        if client.carrier.cuts_by_reset(exchange.version) {
            // To this client an ordinary end would be the response's.
            client.link.reset_at_end();
        }
        let listener = client.listener;
        cx.outcomes.report(Report {
            cut: true,
            ..report(&exchange, listener, refusal, detail)
        });
        abandon(exchange.stage, listener, client.key, cx);
        account(listener, exchange.record, Outcome::Failed(refusal), cx);
    }
    Step::Over
}

/// Answers in the worker's stead. The connection goes on where it is known what follows.
pub(crate) fn refuse(
    client: &mut Client,
    refusal: Refusal,
    detail: Option<&'static str>,
    cx: &mut Context,
) -> Step {
    client.served = true;
    let next = Phase::reading(cx.io.now);
    let listener = client.listener;
    let (mut keep_alive, mut is_head) = (false, false);
    let mut record = match std::mem::replace(&mut client.phase, next) {
        Phase::Serving(exchange) => {
            keep_alive = exchange.keep_alive
                && exchange.request_done
                && cx.keeps_clients(client.link.is_tls());
            is_head = exchange.is_head;
            let report = report(&exchange, listener, refusal, detail);
            cx.outcomes.report(report);
            abandon(exchange.stage, listener, client.key, cx);
            exchange.record
        }
        before => match record_unread(client, before, cx) {
            Some(record) => {
                cx.outcomes.report(Report {
                    id: record.id,
                    listener,
                    member: None,
                    refusal,
                    detail,
                    cut: false,
                });
                record
            }
            None => return Step::Over,
        },
    };
    let mut out = std::mem::take(&mut cx.io.write_buffer);
    out.clear();
    record.bytes = refusal.write(&mut out, record.id, keep_alive, is_head) as u64;
    account(listener, record, Outcome::Failed(refusal), cx);
    let sent = client.link.send(&out, &[], &cx.io.epoll);
    cx.io.write_buffer = out;
    match sent {
        Ok(()) if keep_alive => Step::On,
        Ok(()) => close(client, cx),
        Err(_) => Step::Over,
    }
}

/// The record of a request of which nothing could be understood; none if its listener is gone.
fn record_unread(client: &mut Client, before: Phase, cx: &mut Context) -> Option<Record> {
    let since = match before {
        Phase::Reading(reading) => reading.since,
        _ => cx.io.now,
    };
    let line = std::mem::take(&mut client.link.input);
    let listener = cx.listeners.get_mut(client.listener)?;
    let id = cx.outcomes.next_id();
    let mut record = Record::new(listener, id, client.peer.address, since);
    if cx.settings.access.is_some() {
        record.note(&line, None, None);
    }
    Some(record)
}

/// What is reported of a request that has failed.
fn report(
    exchange: &Exchange,
    listener: u64,
    refusal: Refusal,
    detail: Option<&'static str>,
) -> Report {
    Report {
        id: exchange.record.id,
        listener,
        member: match exchange.stage {
            Stage::With(member, _) => Some(member),
            Stage::Waiting | Stage::Returned(..) => None,
        },
        refusal,
        detail,
        cut: false,
    }
}

/// Ends a connection so that the last words arrive: one that is closed while something unread lies
/// in it is reset, and they might be lost.
pub(crate) fn close(client: &mut Client, cx: &Context) -> Step {
    client.phase = Phase::Closing {
        until: cx.io.now + CLOSING,
    };
    client.link.input = Input::default();
    if !client.link.is_clogged() {
        client.link.finish_sending(&cx.io.epoll);
    }
    Step::On
}

/// Reads what still comes, and throws it away, until the client ends the connection. A buffer at a time,
/// with pauses: who goes on sending is read at 16 MB a second at most.
pub(crate) fn linger(client: &mut Client, cx: &mut Context) -> Step {
    if client.link.is_clogged() || client.is_paused {
        return Step::Wait;
    }
    client.link.finish_sending(&cx.io.epoll);
    if !client.carrier.must_linger() {
        return Step::Over;
    }
    match client.link.read(&mut cx.io.read_buffer, &cx.io.epoll) {
        Read::Some(_) => {
            client.is_paused = true;
            cx.ready.pause(client.key, cx.io.now + BETWEEN_READS);
            Step::Wait
        }
        Read::Nothing => Step::Wait,
        Read::End | Read::Broken => Step::Over,
    }
}

/// A request, or a tunnel, is over, and its connection to a worker is not used again.
pub(crate) fn abandon(stage: Stage, listener: u64, client: Key, cx: &mut Context) {
    match stage {
        Stage::Waiting => cx.listeners.cancel(listener, client),
        Stage::Returned(connection, end) => {
            drop(end);
            cx.upstream.drop_connection(connection);
            cx.listeners.cancel(listener, client);
        }
        Stage::With(member, connection) => {
            cx.upstream.drop_connection(connection);
            cx.listeners
                .left(listener, member, client, cx.io.now, &mut cx.ready);
        }
    }
}
