//! Server-sent events: what changes, for clients that keep pace.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

/// So many frames may wait for a client: some seconds.
const WAITING: usize = 16;

/// A client's connection, as those see it who work for it.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Its client has shown that it may ask.
    is_trusted: AtomicBool,
    end: Notify,
}

impl Connection {
    pub(crate) fn trust(&self) {
        self.is_trusted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }

    /// Closes it, whatever it does.
    pub(crate) fn end(&self) {
        self.end.notify_one();
    }

    /// Waits until it is to be closed.
    pub(crate) async fn ended(&self) {
        self.end.notified().await;
    }
}

/// Who is told of changes.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    frames: mpsc::Sender<Bytes>,
    connection: Arc<Connection>,
}

impl Subscriber {
    /// One, and the body that its client gets; the permit is given back with the body.
    pub(crate) fn new(connection: Arc<Connection>, permit: OwnedSemaphorePermit) -> (Self, Events) {
        let (sender, frames) = mpsc::channel(WAITING);
        let subscriber = Self {
            frames: sender,
            connection,
        };
        let events = Events {
            frames,
            _permit: permit,
        };
        (subscriber, events)
    }

    /// Tells it, and says whether it wants to hear more. One that does not keep pace is cut off: its browser
    /// connects anew, and is told how things are then.
    pub(crate) fn tell(&self, frame: &Bytes) -> bool {
        match self.frames.try_send(frame.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.connection.end();
                false
            }
        }
    }

    /// Waits until its client is gone.
    pub(crate) async fn gone(&self) {
        self.frames.closed().await;
    }
}

/// The body of a response that goes on.
#[derive(Debug)]
pub(crate) struct Events {
    frames: mpsc::Receiver<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frames.poll_recv(context);
        frame.map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// An event with JSON as its data.
pub(crate) fn frame(event: &str, data: &impl Serialize) -> Bytes {
    frame_of(event, &serde_json::to_vec(data).unwrap_or_default())
}

/// The same with data that is JSON already: it has no line ends.
pub(crate) fn frame_of(event: &str, json: &[u8]) -> Bytes {
    let mut frame = format!("event: {event}\ndata: ").into_bytes();
    frame.extend_from_slice(json);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}
