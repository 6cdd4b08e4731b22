//! One HTTP/2 connection of a client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use balance::Nanos;
use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};

use super::flood::{Flood, Taken};
use super::message;
use super::transport::Transport;

/// How long the preface of a client is.
const PREFACE: usize = 24;

/// How many requests a client may have open on one connection.
const STREAMS: u32 = 128;

/// How much of a request's body a client may send before it is read, for each and for all.
const WINDOW: u32 = 128 * 1024;
const WINDOWS: u32 = 512 * 1024;

/// How much of a response may wait within `h2`.
const SENDING: usize = 128 * 1024;

/// How many requests more than it has let come to their response a client may call off: each has
/// cost a worker its work. (CVE-2023-44487.)
const CALLED_OFF: u32 = 256;

/// A request, and how it is answered.
pub(crate) struct Opening {
    pub(crate) request: http::Request<RecvStream>,
    pub(crate) reply: SendResponse<Bytes>,
}

impl Opening {
    /// Its head, in the words of HTTP/1.1.
    pub(crate) fn head(&self) -> Vec<u8> {
        message::request_head(&self.request)
    }

    /// Tells the client that nothing has been done of it, so that it may ask again.
    pub(crate) fn refuse(&mut self) {
        self.reply.send_reset(Reason::REFUSED_STREAM);
    }
}

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// The settings of the client have not come yet.
    Handshake,
    /// Requests are in progress.
    Busy,
    /// Nothing is asked.
    Idle,
}

/// One HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Session {
    transport: Transport,
    state: State,
    waker: Waker,
    flood: Flood,
    /// Requests called off, less those that came to their response.
    called_off: u32,
    is_closing: bool,
}

#[derive(Debug)]
enum State {
    Handshake(Box<Handshake<Transport, Bytes>>),
    Open(Box<Connection<Transport, Bytes>>),
    Over,
}

impl Session {
    /// A session that begins now, with heads of at most `head` bytes.
    pub(crate) fn new(waker: Waker, head: u32, now: Nanos) -> Self {
        let transport = Transport::default();
        let handshake = Builder::new()
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(head)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .max_send_buffer_size(SENDING)
            .handshake(transport.clone());
        Self {
            transport,
            state: State::Handshake(Box::new(handshake)),
            waker,
            flood: Flood::new(PREFACE, now),
            called_off: 0,
            is_closing: false,
        }
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.transport.wants_input()
    }

    /// Takes in what has come from the client, or a part of it.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Nanos) -> Taken {
        let taken = self.flood.take(bytes, now);
        self.transport.feed(bytes.get(..taken.len).unwrap_or(&[]));
        if taken.is_flood {
            self.send_goaway();
        }
        taken
    }

    pub(crate) fn feed_end(&self) {
        self.transport.feed_end();
    }

    /// Takes what is to be written to the client.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        let said = self.transport.take_output();
        self.flood.earn_bytes(said.len());
        said
    }

    /// Goes on with what there is; the next request, or `None` when the session is over.
    pub(crate) fn poll(&mut self) -> Poll<Option<Opening>> {
        let mut context = Context::from_waker(&self.waker);
        if let State::Handshake(handshake) = &mut self.state {
            match Pin::new(handshake.as_mut()).poll(&mut context) {
                Poll::Ready(Ok(connection)) => {
                    self.state = State::Open(Box::new(connection));
                    if self.is_closing {
                        self.close();
                    }
                }
                Poll::Ready(Err(_)) => self.state = State::Over,
                Poll::Pending => return Poll::Pending,
            }
        }
        let mut context = Context::from_waker(&self.waker);
        let State::Open(connection) = &mut self.state else {
            return Poll::Ready(None);
        };
        match connection.poll_accept(&mut context) {
            Poll::Ready(Some(Ok((request, reply)))) => {
                Poll::Ready(Some(Opening { request, reply }))
            }
            // The client has had an error that names what it did wrong.
            Poll::Ready(Some(Err(_)) | None) => {
                self.state = State::Over;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Announces that no more requests are taken (GOAWAY); those in progress come to their end.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(crate) fn activity(&self) -> Activity {
        match &self.state {
            State::Handshake(_) => Activity::Handshake,
            State::Open(connection) if connection.has_streams() => Activity::Busy,
            State::Open(_) | State::Over => Activity::Idle,
        }
    }

    /// A stream has ended; whether its response was complete.
    pub(crate) fn stream_ended(&mut self, complete: bool) {
        if complete {
            self.called_off = self.called_off.saturating_sub(1);
            return;
        }
        self.called_off += 1;
        if self.called_off > CALLED_OFF {
            self.send_goaway();
        }
    }

    /// Ends the connection of a client that costs too much.
    fn send_goaway(&mut self) {
        match &mut self.state {
            State::Open(connection) => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                self.waker.wake_by_ref();
            }
            State::Handshake(_) => self.state = State::Over,
            State::Over => {}
        }
    }
}
