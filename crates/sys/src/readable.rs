//! Descriptors of any kind that tokio's reactor watches for input: timers, inotify.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that can be waited for.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Takes a descriptor that does not block. Needs tokio's reactor.
    ///
    /// # Errors
    /// If the reactor cannot watch it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, so it is open; it is never handed out but borrowed, so
        // it stays open, and the same, until the registration is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Self(registered.map_err(io::Error::from)?))
    }

    /// Calls `read` whenever there may be input, until it answers something else than
    /// [`io::ErrorKind::WouldBlock`]. Loses nothing when it is dropped while it waits.
    ///
    /// # Errors
    /// What `read` answers.
    pub async fn read<R>(
        &self,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        let read = |fd: &OwnedFd| read(fd.as_fd());
        self.0.async_io(Interest::READABLE, read).await
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
