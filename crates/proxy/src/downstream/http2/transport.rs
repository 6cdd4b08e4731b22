//! What the crate `h2` takes for a connection: two buffers, which the proxy fills and empties.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much may lie in either buffer before nothing more is taken.
const ENOUGH: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Buffers {
    input: Vec<u8>,
    /// So much of the input has been read.
    read: usize,
    ended: bool,
    output: Vec<u8>,
}

/// One handle of two: the proxy has one, `h2` the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport(Arc<Mutex<Buffers>>);

impl Transport {
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it should be fed.
    pub(crate) fn wants_input(&self) -> bool {
        let buffers = self.buffers();
        buffers.input.len() - buffers.read < ENOUGH && !buffers.ended
    }

    /// These bytes have come from the client.
    pub(crate) fn feed(&self, bytes: &[u8]) {
        let mut buffers = self.buffers();
        let read = std::mem::take(&mut buffers.read);
        buffers.input.drain(..read);
        buffers.input.extend_from_slice(bytes);
    }

    /// Nothing more will come from the client.
    pub(crate) fn feed_end(&self) {
        self.buffers().ended = true;
    }

    /// Takes what is to be written to the client.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.buffers().output)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffers = self.buffers();
        let rest = buffers.input.get(buffers.read..).unwrap_or(&[]);
        let len = rest.len().min(to.remaining());
        to.put_slice(rest.get(..len).unwrap_or(&[]));
        buffers.read += len;
        if buffers.read == buffers.input.len() {
            buffers.input.clear();
            buffers.read = 0;
        }
        if len > 0 || buffers.ended {
            Poll::Ready(Ok(()))
        } else {
            // The caller of `feed` asks again by itself.
            Poll::Pending
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffers = self.buffers();
        if buffers.output.len() >= ENOUGH {
            // The caller of `take_output` asks again by itself.
            return Poll::Pending;
        }
        buffers.output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
