//! Listening sockets that systemd passes or stores, or that a killed supervisor has left.
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
use super::listeners::{Closing, HeldBy, Opened, only_v6};
use super::registered;
use super::registration_events::RegistrationEvent;

/// Makes a listener of a TCP socket that listens already. Workers join it as they join one whose workers
/// have all ended. `None` if it cannot be one: then it is closed.
pub(super) fn adopt(socket: OwnedFd, held_by: HeldBy, cx: &mut Context) -> Option<ListenAddress> {
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
        held_by,
    };
    let id = registered::open(opened, cx).ok()?;
    if let Some(listener) = cx.listeners.all.get_mut(&id) {
        // Kept for a successor: one that wants the port at another address may have it.
        listener.closing = Some(Closing {
            at: Nanos::MAX,
            by: 0,
        });
        if held_by != HeldBy::Us {
            listener.await_worker(id, &cx.listeners.epoll);
        }
    }
    Some(address)
}

/// A copy of a listener's socket for somebody who stores it. `None` where that is of no use: another process
/// holds the socket already, the kernel chose the port, or it is a Unix socket, whose path the next run can bind anyway.
pub(super) fn to_store(address: &ListenAddress, cx: &Context) -> Option<OwnedFd> {
    let listener = cx.listeners.all.get(&cx.listeners.at(address)?)?;
    let wanted = listener.held_by == HeldBy::Us && !listener.chosen && address.is_tcp();
    let copy = wanted.then(|| listener.socket.as_fd().try_clone_to_owned());
    copy?.ok()
}

/// Notes that somebody stores a listener's socket.
pub(super) fn mark_stored(address: &ListenAddress, cx: &mut Context) {
    if let Some(id) = cx.listeners.at(address)
        && let Some(listener) = cx.listeners.all.get_mut(&id)
    {
        listener.held_by = HeldBy::Store;
    }
}
