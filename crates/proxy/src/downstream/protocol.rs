//! Reading what a client says: which HTTP it speaks, and the next request.

use http1::Refusal;

use super::client::{Client, Phase, Step};
use super::http1::{self as head, Refused};
use super::http2;
use crate::Workers;
use crate::context::Context;
use crate::detect::worker_first;
use crate::exchange::ending;
use crate::forward::request::ENDS_EARLY;
use crate::link::{Input, Read};

/// Reads the next request, or finds out that something else than HTTP/1.1 is spoken.
pub(crate) fn read<W: Workers>(client: &mut Client, cx: &mut Context, workers: &mut W) -> Step {
    if !client.served
        && client.carrier.is_connection()
        && cx.listeners.passes_whole(client.listener)
    {
        return worker_first::place_whole(client, cx, workers);
    }
    // The response before it goes first.
    if client.link.is_clogged() {
        return Step::Wait;
    }
    let mut buffer = std::mem::take(&mut cx.io.read_buffer);
    let mut input = std::mem::take(&mut client.link.input);
    let step = match gather(client, &mut input, &mut buffer, cx) {
        Ok(len) => {
            let bytes = match input.is_empty() {
                true => buffer.get(..len).unwrap_or(&[]),
                false => &input,
            };
            let (step, used) = understand(client, bytes, cx, workers);
            // One that comes byte by byte, or many that came at once, are not copied each time.
            if input.is_empty() {
                input = Input::of(bytes.get(used..).unwrap_or(&[]));
            } else {
                input.advance(used);
            }
            step
        }
        Err(step) => step,
    };
    client.link.input = input;
    cx.io.read_buffer = buffer;
    step.unwrap_or_else(|refusal| ending::refuse(client, refusal, None, cx))
}

/// Reads on, where what has been read needs more. What is new lies in `buffer` if there was nothing
/// in `input`; how much that is.
fn gather(
    client: &mut Client,
    input: &mut Input,
    buffer: &mut [u8],
    cx: &Context,
) -> Result<usize, Result<Step, Refusal>> {
    let Phase::Reading(reading) = &mut client.phase else {
        return Err(Ok(Step::Wait));
    };
    if !input.is_empty() && reading.searched == 0 {
        return Ok(0);
    }
    match client.link.read(buffer, &cx.io.epoll) {
        Read::Some(len) => {
            client.active_at = cx.io.now;
            if input.is_empty() {
                reading.since = cx.io.now;
            } else {
                input.extend(buffer.get(..len).unwrap_or(&[]));
            }
            Ok(len)
        }
        Read::Nothing => Err(Ok(Step::Wait)),
        Read::End if reading.needs > 0 => Err(Err(Refusal::Malformed(ENDS_EARLY))),
        Read::End | Read::Broken => Err(Ok(Step::Over)),
    }
}

/// Does what the client's words ask for; and how many bytes of them have been used.
fn understand<W: Workers>(
    client: &mut Client,
    bytes: &[u8],
    cx: &mut Context,
    workers: &mut W,
) -> (Result<Step, Refusal>, usize) {
    let Phase::Reading(reading) = &client.phase else {
        return (Ok(Step::Wait), 0);
    };
    if bytes.len() < reading.needs {
        return (Ok(Step::On), 0);
    }
    if !client.served && client.carrier.begins_http2(&client.link, bytes) {
        return (Ok(http2::serve::begin(client, cx)), 0);
    }
    match head::read(client, bytes, cx, workers) {
        Ok((step, used)) => (Ok(step), used),
        Err(Refused { refusal, used }) => (Err(refusal), used),
    }
}
