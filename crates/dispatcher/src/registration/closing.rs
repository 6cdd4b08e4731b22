//! Closing what workers have sent. The last `close` of a socket that lingers, or of a file on a
//! user's own file system, takes as long as its owner likes: a thread of its own waits for that.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, SyncSender, TrySendError};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, getpeername, shutdown};

/// How many descriptors may wait to be closed. Beyond that, whoever brings one waits, too.
const WAITING: usize = 512;

/// The thread that closes.
#[derive(Debug)]
pub(super) struct Closer(SyncSender<OwnedFd>);

impl Closer {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, inbox) = mpsc::sync_channel(WAITING);
        std::thread::Builder::new()
            .name("closer".into())
            .spawn(move || {
                for descriptor in inbox {
                    // Who sent a socket may have let it linger. Of anything else this fails.
                    let _ = set_socket_linger(&descriptor, None);
                    drop::<OwnedFd>(descriptor);
                }
            })?;
        Ok(Self(sender))
    }

    /// Sends a caller away at once, also while others wait to be closed: closing it may take as long
    /// as closing what it has sent and nobody has read.
    pub(super) fn send_away(&self, caller: OwnedFd) {
        // Of a connected socket this fails only when the caller has left.
        let _ = shutdown(&caller, Shutdown::Both);
        self.close([caller]);
    }

    /// Closes a socket before this returns, if it has no peer: one without a connection has nothing
    /// to wait for. The thread closes anything else. A worker that connects the socket in this very
    /// moment, and lets it linger, holds up the registration of its own app alone.
    pub(super) fn close_at_once(&self, socket: OwnedFd) {
        if getpeername(&socket) == Err(Errno::NOTCONN) {
            drop(socket);
        } else {
            self.close([socket]);
        }
    }

    pub(super) fn close(&self, descriptors: impl IntoIterator<Item = OwnedFd>) {
        for descriptor in descriptors {
            match self.0.try_send(descriptor) {
                Ok(()) => {}
                Err(TrySendError::Full(descriptor) | TrySendError::Disconnected(descriptor)) => {
                    drop(descriptor);
                }
            }
        }
    }
}
