//! Listening sockets from outside: a killed supervisor has left them, or systemd passes them.
//!
//! A TCP socket becomes a listener, at which clients wait for workers. A Unix socket is closed, and its path
//! stays: the dispatcher may not remove it, for the rights of the worker that bound it are not known any
//! more. The next worker that binds the path removes it, with rights of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use balance::Nanos;
use wire::Address;

use super::address::ListenAddress;
use super::context::Context;
use super::listeners::{Closing, Opened, only_v6};
use super::registered;
use super::registration_events::RegistrationEvent;

/// Makes a listener of a TCP socket that listens already. Workers join it as they join one whose workers
/// have all ended. `None` if it cannot be one: then it is closed.
pub(super) fn adopt(socket: OwnedFd, lent: bool, cx: &mut Context) -> Option<ListenAddress> {
    rustix::io::ioctl_fionbio(&socket, true).ok()?;
    let local = sys::local_address(socket.as_fd()).ok()?;
    let address = ListenAddress::parse(local.as_bytes(), only_v6(&socket), Path::new("/"));
    let address = address.filter(|address| cx.listeners.at(address).is_none())?;
    if !address.is_tcp() {
        drop(socket);
        cx.registration.tell(RegistrationEvent::Left(address));
        return None;
    }
    let opened = Opened {
        socket,
        cookie: None,
        address: address.clone(),
        sockaddr: Address::new(local.as_bytes())?,
        linger: None,
        chosen: false,
        lent,
    };
    let id = registered::open(opened, cx).ok()?;
    if let Some(listener) = cx.listeners.all.get_mut(&id) {
        // Kept for a successor: one that wants the port at another address may have it.
        listener.closing = Some(Closing {
            at: Nanos::MAX,
            by: 0,
        });
    }
    Some(address)
}
