//! Connections of health checks: a socket pair, one end of which goes down a worker's channel as a
//! client's connection would. The other end is for the supervisor, which speaks over it in its own
//! thread.
//!
//! The balancers do not know of a check: it counts nowhere, takes no client's place and does not move to
//! another worker. One that its worker has not taken stays in the channel, and no second one joins it
//! there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use balance::MemberId;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use tokio::sync::oneshot;
use wire::{Address, Handoff};

use super::address::ListenAddress;
use super::command::{Command, Commands};
use super::context::Context;
use super::ids::ListenerId;

/// Workers of one instance that are checked at the same time.
const MOST: usize = 64;

/// The way for health checks, from outside the dispatcher's thread.
#[derive(Clone, Debug)]
pub struct Checks(Commands);

impl Checks {
    pub(super) fn new(commands: Commands) -> Self {
        Self(commands)
    }

    /// Connects to those of these workers that take connections, at one of their listeners: that with
    /// this port or, where none is named, the one that was opened first. None if none of them takes
    /// connections there.
    ///
    /// # Errors
    /// If the kernel grants no sockets.
    pub async fn connect(
        &self,
        workers: Vec<MemberId>,
        port: Option<u16>,
    ) -> io::Result<Vec<CheckConnection>> {
        let connected = self.ask(move |cx| connect(&workers, port, cx)).await;
        connected.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Whether a worker has taken the last check that it was given.
    pub async fn was_taken(&self, worker: MemberId) -> bool {
        let taken = self.ask(move |cx| was_taken(worker, cx)).await;
        taken.unwrap_or(false)
    }

    /// Has the dispatcher do this between two events. `None` if it has ended.
    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Context) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, result) = oneshot::channel();
        // What asked may have gone.
        let act = move |cx: &mut Context| drop(answer.send(act(cx)));
        self.0.give(Command::Run(Box::new(act))).ok()?;
        result.await.ok()
    }
}

/// What a check is over.
#[derive(Debug)]
pub struct CheckConnection {
    /// Names the worker in [`Checks::was_taken`].
    pub worker: MemberId,
    /// The worker's process.
    pub pid: i32,
    /// Where it listens.
    pub address: ListenAddress,
    /// Our end; `None` if an earlier check lies before the worker still.
    pub socket: Option<OwnedFd>,
}

/// TCP goes before Unix sockets, of which tools make some for themselves.
fn connect(
    workers: &[MemberId],
    port: Option<u16>,
    cx: &mut Context,
) -> io::Result<Vec<CheckConnection>> {
    let serving = |id: &MemberId| {
        let member = cx.members.all.get(id)?;
        let listener = cx.listeners.all.get(&member.listener)?;
        let is_meant = port.is_none() || listener.address.port() == port;
        (member.joined && !member.rests && is_meant && !listener.shut)
            .then_some((*id, member.listener))
    };
    let serving: Vec<_> = workers.iter().filter_map(serving).collect();
    let rank = |listener: ListenerId| {
        let it = cx.listeners.all.get(&listener);
        (!it.is_some_and(|it| it.address.is_tcp()), listener)
    };
    let Some(chosen) = serving.iter().map(|(_, listener)| rank(*listener)).min() else {
        return Ok(Vec::new());
    };
    let chosen = chosen.1;
    let serving = serving.iter().filter(|(_, listener)| *listener == chosen);
    let ids: Vec<_> = serving.map(|(id, _)| *id).take(MOST).collect();
    ids.into_iter()
        .filter_map(|id| connect_to(id, chosen, cx).transpose())
        .collect()
}

fn connect_to(
    id: MemberId,
    listener: ListenerId,
    cx: &mut Context,
) -> io::Result<Option<CheckConnection>> {
    let (Some(listener), Some(member), Some(channel)) = (
        cx.listeners.all.get(&listener),
        cx.members.all.get(&id),
        cx.workers.channels.get_mut(&id),
    ) else {
        return Ok(None);
    };
    let mut connection = CheckConnection {
        worker: id,
        pid: member.pid().unwrap_or(0),
        address: listener.address.clone(),
        socket: None,
    };
    if channel.has_check() {
        return Ok(Some(connection));
    }
    let local = local(&listener.sockaddr);
    let peer = without_port(&local);
    let (ours, theirs) = proxy::make_pair(id.0, peer.as_bytes(), local.as_bytes())?;
    let (message, _) = Handoff::check(peer.as_bytes());
    match channel.put_check(&message, theirs.as_fd()) {
        Ok(()) => connection.socket = Some(ours),
        // Clients' connections lie there, as many as fit.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(connection))
}

fn was_taken(worker: MemberId, cx: &Context) -> bool {
    let channel = cx.workers.channels.get(&worker);
    channel.is_none_or(|channel| !channel.has_check())
}

/// The address at which a client on this machine would find a listener.
fn local(listener: &Address) -> Address {
    let mut bytes = listener.as_bytes().to_vec();
    let family = bytes.first_chunk().map(|it| u16::from_ne_bytes(*it));
    match family.map(AddressFamily::from_raw) {
        Some(AddressFamily::INET) => {
            let ip = bytes.get_mut(4..8);
            if let Some(ip) = ip.filter(|ip| ip.iter().all(|byte| *byte == 0)) {
                ip.copy_from_slice(&[127, 0, 0, 1]);
            }
        }
        Some(AddressFamily::INET6) => {
            let ip = bytes.get_mut(8..24);
            if let Some(ip) = ip.filter(|ip| ip.iter().all(|byte| *byte == 0))
                && let Some(last) = ip.last_mut()
            {
                *last = 1;
            }
        }
        _ => bytes = AddressFamily::UNIX.as_raw().to_ne_bytes().to_vec(),
    }
    Address::new(&bytes).unwrap_or(Address::NONE)
}

/// The same machine, as a client's address: no client of TCP can have this port.
fn without_port(local: &Address) -> Address {
    let mut bytes = local.as_bytes().to_vec();
    if let Some(port) = bytes.get_mut(2..4) {
        port.copy_from_slice(&[0, 1]);
    }
    Address::new(&bytes).unwrap_or(Address::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(ip: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = AddressFamily::INET.as_raw().to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(ip);
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn a_check_comes_from_this_machine() {
        let unix = AddressFamily::UNIX.as_raw().to_ne_bytes().to_vec();
        let mut path = unix.clone();
        path.extend(b"/run/app.sock\0");
        let mut v6 = AddressFamily::INET6.as_raw().to_ne_bytes().to_vec();
        v6.extend(80u16.to_be_bytes());
        v6.extend([0; 24]);
        let mut loopback = v6.clone();
        loopback[23] = 1;
        for (listener, seen) in [
            (v4([0; 4], 80), v4([127, 0, 0, 1], 80)),
            (v4([10, 0, 0, 1], 80), v4([10, 0, 0, 1], 80)),
            (v6, loopback),
            (path, unix),
        ] {
            let seen_there = local(&Address::new(&listener).unwrap());
            assert_eq!(seen_there.as_bytes(), seen);
            let peer = without_port(&seen_there);
            assert_eq!(peer.as_bytes().len(), seen.len());
            assert_ne!(peer.as_bytes().get(2..4), Some(&80u16.to_be_bytes()[..]));
        }
    }
}
