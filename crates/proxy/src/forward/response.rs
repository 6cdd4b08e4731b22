//! A response, on its way to the client.

use std::os::fd::OwnedFd;

use http1::Refusal;

use super::body::{Coded, recode};
use super::response_head::{self, Head, Rules};
use super::{Passed, malformed, tunnel};
use crate::context::Context;
use crate::downstream::client::{Client, Phase};
use crate::exchange::{Exchange, Stage};
use crate::io::Io;
use crate::link::{Input, Link, Read};
use crate::listener::Listeners;
use telemetry::ids::Place;

/// Passes on some of a response.
pub(crate) fn pass(client: &mut Client, cx: &mut Context) -> Passed {
    let keeps_clients = cx.keeps_clients(client.link.is_tls());
    let Phase::Serving(exchange) = &mut client.phase else {
        return Passed::Nothing;
    };
    let Stage::With(member, key) = exchange.stage else {
        return Passed::Nothing;
    };
    let Some(connection) = cx.upstream.connections.get_mut(key) else {
        return Passed::NoAnswer;
    };
    if client.link.is_clogged() {
        return Passed::Nothing;
    }
    let io = &mut cx.io;
    let mut kept = std::mem::take(&mut connection.link.input);
    let read = connection.link.read(&mut io.read_buffer, &io.epoll);
    let input: &[u8] = match read {
        Read::Some(len) if kept.is_empty() => io.read_buffer.get(..len).unwrap_or(&[]),
        Read::Some(len) => {
            kept.extend(io.read_buffer.get(..len).unwrap_or(&[]));
            &kept
        }
        // What is kept is a head that is not complete.
        Read::Nothing => {
            connection.link.input = kept;
            return Passed::Nothing;
        }
        Read::End => return end(exchange, &mut client.link, io),
        Read::Broken => return broken(exchange),
    };
    client.active_at = io.now;
    client.link.add_work(connection.link.take_work().0);
    let out = &mut io.write_buffer;
    out.clear();
    let is_new = exchange.answer.is_none();
    let mut rest = input;
    if is_new {
        let given_to = exchange.record.worker;
        let rules = Rules {
            settings: &cx.settings,
            carrier: client.carrier,
            keeps_clients,
            worker: || given_to.or_else(|| worker(&cx.listeners, client.listener, member)),
        };
        match response_head::read(input, exchange, rules, out) {
            Ok(Head::Complete(behind)) => {
                exchange.record.answered_at = Some(io.now);
                rest = behind;
            }
            Ok(Head::Incomplete(behind)) => {
                connection.link.input = Input::of(behind);
                return match client.link.send(out, &[], &io.epoll) {
                    Ok(()) => Passed::On,
                    Err(_) => Passed::Gone,
                };
            }
            Ok(Head::Upgrade(behind)) => {
                exchange.record.answered_at = Some(io.now);
                let sent = client.link.send(out, behind, &io.epoll);
                tunnel::open(client, member, key, true, &cx.listeners);
                return match sent {
                    Ok(()) => Passed::Upgraded,
                    Err(_) => Passed::Gone,
                };
            }
            Err(passed) => return passed,
        }
    }
    pass_body(rest, exchange, &mut client.link, out, &io.epoll).unwrap_or_else(|refusal| {
        if is_new {
            // Its head has not gone out: the client can still have an error.
            exchange.answer = None;
            exchange.record.status = None;
            exchange.record.answered_at = None;
        }
        malformed(bad_body(refusal))
    })
}

/// Passes on some of the body, behind what is in `out`.
fn pass_body(
    input: &[u8],
    exchange: &mut Exchange,
    client: &mut Link,
    out: &mut Vec<u8>,
    epoll: &OwnedFd,
) -> Result<Passed, Refusal> {
    let Some(answer) = &mut exchange.answer else {
        return Ok(Passed::Nothing);
    };
    // A worker's is read whole: the app is known for what it sends.
    let whole = usize::MAX;
    let coded = recode(&mut answer.decoder, answer.encoder, input, whole, out)?;
    client.add_work(coded.units());
    let Coded { read, data, direct } = coded;
    exchange.record.bytes += data as u64;
    let done = answer.decoder.is_done();
    if done {
        let trailers = answer.decoder.trailers();
        answer.encoder.end(trailers, out);
        client.set_trailers(trailers);
        if read < input.len() {
            // It says more than was asked: what comes next cannot be trusted.
            answer.keep_connection = None;
        }
    }
    let direct = input.get(direct).unwrap_or(&[]);
    Ok(match client.send(out, direct, epoll) {
        Ok(()) if done => Passed::Complete,
        Ok(()) => Passed::On,
        Err(_) => Passed::Gone,
    })
}

/// The worker has ended its connection, which may be the end of its response.
fn end(exchange: &Exchange, client: &mut Link, io: &mut Io) -> Passed {
    match &exchange.answer {
        Some(answer) if answer.decoder.ends_with_connection() => {
            io.write_buffer.clear();
            answer.encoder.end(&[], &mut io.write_buffer);
            match client.send(&io.write_buffer, &[], &io.epoll) {
                Ok(()) => Passed::Complete,
                Err(_) => Passed::Gone,
            }
        }
        _ => broken(exchange),
    }
}

/// The worker's connection is gone before its response was complete.
fn broken(exchange: &Exchange) -> Passed {
    match &exchange.answer {
        None => Passed::NoAnswer,
        Some(_) => malformed("the worker closed its connection before its response was complete"),
    }
}

/// Which worker it is behind a listener that has this number there.
fn worker(listeners: &Listeners, listener: u64, member: balance::MemberId) -> Option<Place> {
    listeners.get(listener)?.place(member)
}

/// What is wrong with a response's body, in the words that the reader has for requests.
fn bad_body(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeadTooLarge(_) => "the response's trailers are too large",
        other => other.reason(),
    }
}
