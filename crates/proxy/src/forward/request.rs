//! A request's body, on its way to the worker.

use http1::Refusal;

use super::Passed;
use super::body::{Coded, OF_STEP, recode};
use crate::context::Context;
use crate::downstream::client::{Client, Phase};
use crate::exchange::Stage;
use crate::link::{Input, Read};

/// How much of a request's body counts as a sign of life: a client that sends it byte by byte would
/// hold its worker for as long as it likes.
pub(crate) const PORTION: usize = 16 * 1024;

/// The client has closed its connection within a request.
pub(crate) const ENDS_EARLY: &str = "the request's body ends early";

/// Passes on some of a request's body.
pub(crate) fn pass(client: &mut Client, cx: &mut Context) -> Passed {
    let Context {
        io,
        upstream,
        settings,
        limits,
        ready,
        ..
    } = cx;
    let payer = client.payer();
    let Phase::Serving(exchange) = &mut client.phase else {
        return Passed::Nothing;
    };
    let Stage::With(_, connection) = exchange.stage else {
        return Passed::Nothing;
    };
    let Some(connection) = upstream.connections.get_mut(connection) else {
        return Passed::Nothing;
    };
    // A worker that has gone will be seen by its answer, or the want of it.
    match connection.link.flush(&io.epoll) {
        Ok(any) if any => client.active_at = io.now,
        Ok(_) => {}
        Err(_) => return Passed::Nothing,
    }
    if exchange.request_done || connection.link.is_clogged() {
        return Passed::Nothing;
    }
    if exchange.request.is_chunked()
        && let Some(until) = limits.framing.waits_until(payer, io.now)
    {
        if !std::mem::replace(&mut client.is_paused, true) {
            ready.pause(client.key, until);
        }
        return Passed::Nothing;
    }
    let mut kept = std::mem::take(&mut client.link.input);
    let input: &[u8] = if kept.is_empty() {
        match client.link.read(&mut io.read_buffer, &io.epoll) {
            Read::Some(len) => io.read_buffer.get(..len).unwrap_or(&[]),
            Read::Nothing => return Passed::Nothing,
            // Half a request: its worker sees that it has ended, too.
            Read::End => return Passed::Failed(Refusal::Malformed(ENDS_EARLY), None),
            Read::Broken => return Passed::Gone,
        }
    } else {
        &kept
    };
    exchange.raw = None;
    let out = &mut io.write_buffer;
    out.clear();
    let encoder = exchange.request_encoder;
    let coded = match recode(&mut exchange.request, encoder, input, OF_STEP, out) {
        Ok(coded) => coded,
        Err(refusal) => return Passed::Failed(refusal, None),
    };
    client.link.add_work(coded.units());
    let Coded { read, data, direct } = coded;
    limits.framing.take(payer, read - data, data, io.now);
    // What is not data, as extensions of chunks are, keeps no client alive.
    exchange.portion += data;
    // Where the worker has begun to answer, the two of them talk.
    if exchange.portion >= PORTION || exchange.answer.is_some() {
        exchange.portion = 0;
        client.active_at = io.now;
    }
    exchange.body += data as u64;
    if settings.body > 0 && exchange.body > settings.body {
        return Passed::Failed(Refusal::BodyTooLarge, None);
    }
    exchange.request_done = exchange.request.is_done();
    if exchange.request_done {
        // Trailers stay here: workers are known to take them for the next request.
        encoder.end(&[], out);
    }
    exchange.sent_at = io.now;
    let direct = input.get(direct).unwrap_or(&[]);
    // As above.
    let _ = connection.link.send(out, direct, &io.epoll);
    client.link.input = if kept.is_empty() {
        Input::of(input.get(read..).unwrap_or(&[]))
    } else {
        kept.advance(read);
        kept
    };
    Passed::On
}
