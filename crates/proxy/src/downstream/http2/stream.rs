//! One stream of an HTTP/2 connection, as a link that speaks HTTP/1.1: its request is read from it,
//! and its response is written to it.

use std::mem::MaybeUninit;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use http1::{End, HEADERS};

use super::message;
use super::session::Opening;
use crate::link::{self, Gone, Read};

/// Room for what stands around a chunk: its length in hexadecimal, and two line ends.
const FRAME: usize = 20;

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    tls: bool,
    waker: Waker,
    body: RecvStream,
    /// Whether the head says that the body comes in chunks.
    is_chunked: bool,
    /// Of the body, what has come and has not been read.
    rest: Bytes,
    is_read: bool,
    reply: Reply,
    /// What follows the response's body.
    trailers: HeaderMap,
}

/// How far the response has got.
#[derive(Debug)]
enum Reply {
    Awaited(SendResponse<Bytes>),
    Begun(SendStream<Bytes>),
}

impl Stream {
    /// The stream of this request; `tls` tells whether its connection is protected.
    pub(crate) fn new(opening: Opening, tls: bool, waker: Waker) -> Self {
        let is_chunked = message::is_chunked(&opening.request);
        Self {
            tls,
            waker,
            body: opening.request.into_body(),
            is_chunked,
            rest: Bytes::new(),
            is_read: false,
            reply: Reply::Awaited(opening.reply),
            trailers: HeaderMap::new(),
        }
    }
}

impl link::Stream for Stream {
    fn is_tls(&self) -> bool {
        self.tls
    }

    /// Reads of the request's body into `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Read {
        while self.rest.is_empty() {
            if self.is_read {
                return Read::End;
            }
            let mut context = Context::from_waker(&self.waker);
            match self.body.poll_data(&mut context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Ready(Some(Err(_))) => return Read::Broken,
                Poll::Ready(None) => {
                    self.is_read = true;
                    if self.is_chunked {
                        return put(buffer, &[b"0\r\n\r\n"]);
                    }
                }
                Poll::Pending => return Read::Nothing,
            }
        }
        let most = buffer.len().saturating_sub(FRAME);
        let part = self.rest.split_to(self.rest.len().min(most));
        // Of a stream that has ended there is nothing to be given back.
        let _ = self.body.flow_control().release_capacity(part.len());
        if self.is_chunked {
            let length = format!("{:x}\r\n", part.len());
            put(buffer, &[length.as_bytes(), &part, b"\r\n"])
        } else {
            put(buffer, &[&part])
        }
    }

    /// Finds out whether the client still wants its response.
    fn check(&mut self) -> Result<(), Gone> {
        let mut context = Context::from_waker(&self.waker);
        let called_off = match &mut self.reply {
            Reply::Awaited(reply) => reply.poll_reset(&mut context),
            Reply::Begun(reply) => reply.poll_reset(&mut context),
        };
        match called_off {
            Poll::Ready(_) => Err(Gone),
            Poll::Pending => Ok(()),
        }
    }

    /// Writes of the response, which begins with its head; how much was taken. A head, and what
    /// interim ones stand before it, is always written whole.
    fn write(&mut self, first: &[u8], second: &[u8]) -> Result<usize, Gone> {
        let head = self.write_heads(first)?;
        let mut taken = head;
        for part in [first.get(head..).unwrap_or(&[]), second] {
            let written = self.write_body(part)?;
            taken += written;
            if written < part.len() {
                break;
            }
        }
        Ok(taken)
    }

    /// Notes the fields that follow the body, each with its line end.
    fn set_trailers(&mut self, fields: &[u8]) {
        self.trailers = message::trailers(fields);
    }

    /// Ends the response.
    fn finish_sending(&mut self) {
        if let Reply::Begun(reply) = &mut self.reply {
            // For a client that has left it does not matter.
            let trailers = std::mem::take(&mut self.trailers);
            let _ = if trailers.is_empty() {
                reply.send_data(Bytes::new(), true)
            } else {
                reply.send_trailers(trailers)
            };
        }
    }

    /// Ends the stream so that the client knows that the response is not complete.
    fn reset(&mut self) {
        match &mut self.reply {
            Reply::Awaited(reply) => reply.send_reset(Reason::INTERNAL_ERROR),
            Reply::Begun(reply) => reply.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

impl Stream {
    fn write_heads(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        let mut at = 0;
        while let Reply::Awaited(reply) = &mut self.reply {
            let rest = bytes.get(at..).unwrap_or(&[]);
            if rest.is_empty() {
                break;
            }
            let Ok(End::At(end)) = http1::find_end(rest, 0) else {
                return Err(Gone);
            };
            let head = rest.get(..end).unwrap_or(&[]);
            let (mut few, mut many) = ([MaybeUninit::uninit(); HEADERS], Vec::new());
            let fields = http1::room(head, &mut few, &mut many);
            let head = http1::parse_response(head, false, fields).map_err(|_| Gone)?;
            let response = message::response(&head).ok_or(Gone)?;
            if head.is_interim() {
                reply.send_informational(response).map_err(|_| Gone)?;
            } else {
                let body = reply.send_response(response, false).map_err(|_| Gone)?;
                self.reply = Reply::Begun(body);
            }
            at += end;
        }
        Ok(at)
    }

    fn write_body(&mut self, mut bytes: &[u8]) -> Result<usize, Gone> {
        let Reply::Begun(reply) = &mut self.reply else {
            return Ok(0);
        };
        let all = bytes.len();
        while bytes.has_remaining() {
            reply.reserve_capacity(bytes.len());
            let room = match reply.capacity() {
                0 => {
                    let mut context = Context::from_waker(&self.waker);
                    match reply.poll_capacity(&mut context) {
                        Poll::Ready(Some(Ok(room))) => room,
                        Poll::Ready(_) => return Err(Gone),
                        Poll::Pending => break,
                    }
                }
                room => room,
            };
            let part = bytes.copy_to_bytes(room.min(bytes.len()));
            reply.send_data(part, false).map_err(|_| Gone)?;
        }
        Ok(all - bytes.len())
    }
}

/// Puts these parts into `buffer`, one behind the other.
fn put(buffer: &mut [u8], parts: &[&[u8]]) -> Read {
    let mut len = 0;
    for part in parts {
        let Some(to) = buffer.get_mut(len..len + part.len()) else {
            return Read::Broken;
        };
        to.copy_from_slice(part);
        len += part.len();
    }
    Read::Some(len)
}
