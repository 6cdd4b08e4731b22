//! The connection of an HTTP/2 client, between its socket and its streams.

use std::task::Poll;

use super::session::{Opening, Session};
use crate::context::Context;
use crate::downstream::client::{Client, Phase, Step};
use crate::exchange::ending;
use crate::link::{Input, Read};

/// How many requests of a connection are taken up in one step.
const STEPS: usize = 16;

/// The client speaks HTTP/2 from now on.
pub(crate) fn begin(client: &mut Client, cx: &Context) -> Step {
    // There each field counts for 32 bytes more than it has. (RFC 9113, 6.5.2.)
    let head = cx.settings.head + 32 * cx.settings.fields;
    let head = u32::try_from(head).unwrap_or(u32::MAX);
    let session = Session::new(cx.ready.wakers.waker(client.key), head, cx.io.now);
    client.phase = Phase::Http2(Box::new(session));
    client.served = true;
    Step::On
}

/// Passes on what there is between the socket of the connection and its streams; and the streams
/// that the client has opened.
pub(crate) fn pass(client: &mut Client, cx: &mut Context) -> (Step, Vec<Opening>) {
    let Some(mut any) = feed(client, cx) else {
        return (Step::Over, Vec::new());
    };
    let Phase::Http2(session) = &mut client.phase else {
        return (Step::Wait, Vec::new());
    };
    let mut over = false;
    let mut opened = Vec::new();
    if !client.link.is_clogged() {
        while opened.len() < STEPS {
            match session.poll() {
                Poll::Ready(Some(opening)) => opened.push(opening),
                Poll::Ready(None) => {
                    over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let said = session.take_output();
        if client.link.send(&said, &[], &cx.io.epoll).is_err() {
            return (Step::Over, Vec::new());
        }
        any |= !said.is_empty() || !opened.is_empty();
    }
    let step = if over {
        // Its last words are on their way.
        ending::close(client, cx)
    } else if any {
        Step::On
    } else {
        Step::Wait
    };
    (step, opened)
}

/// Gives the session what has come from the client. Whether anything has; `None` if the connection
/// is broken.
fn feed(client: &mut Client, cx: &mut Context) -> Option<bool> {
    let Phase::Http2(session) = &mut client.phase else {
        return Some(false);
    };
    if !session.wants_input() {
        return Some(false);
    }
    let io = &mut cx.io;
    let mut kept = std::mem::take(&mut client.link.input);
    let is_new = kept.is_empty();
    let read = match is_new {
        true => client.link.read(&mut io.read_buffer, &io.epoll),
        false => Read::Some(kept.len()),
    };
    match read {
        Read::Some(len) => {
            client.active_at = io.now;
            let bytes: &[u8] = match is_new {
                true => io.read_buffer.get(..len).unwrap_or(&[]),
                false => &kept,
            };
            let taken = session.feed(bytes, io.now);
            client.link.add_work(taken.units);
            if taken.is_flood {
                // What follows is not read.
            } else if is_new {
                client.link.input = Input::of(bytes.get(taken.len..).unwrap_or(&[]));
            } else {
                kept.advance(taken.len);
                client.link.input = kept;
            }
            Some(true)
        }
        Read::Nothing => Some(false),
        Read::End => {
            session.feed_end();
            Some(false)
        }
        Read::Broken => None,
    }
}
