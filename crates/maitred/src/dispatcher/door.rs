//! The door: what workers ask, and what they are answered.
//!
//! Each connection carries one request. It is answered at once, but for a `listen` on a Unix socket
//! that another worker has bound and not listened on yet: that one is parked until the other has
//! done so, or ended, or let too much time pass.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use wire::{Address, Outcome, REQUEST_LEN, Reply, Request, Verb};

use super::Notice;
use super::address::ListenAddress;
use super::listeners::{Bound, Claim, Listener, ListenerId, only_v6};
use super::members::Holder;
use super::turn::Turn;
use super::unix_path::{self, UnixPath};

/// How long a worker may take from `bind` to `listen` on a Unix socket before others stop waiting for
/// it. In between, some start a process that loads the app and listens.
const BETWEEN_BIND_AND_LISTEN: Duration = Duration::from_secs(30);

/// The same for who waits in the process that has bound: only another thread could listen.
const BETWEEN_BIND_AND_LISTEN_OF_THREADS: Duration = Duration::from_secs(1);

/// A question, with all that came along.
#[derive(Debug)]
pub(crate) struct Ask {
    request: Request,
    pid: i32,
    since: Instant,
    /// The socket, or the channel, that the question is about.
    socket: OwnedFd,
    /// Where the answer goes.
    caller: OwnedFd,
}

/// A `listen` on a Unix socket that waits for another worker's.
#[derive(Debug)]
pub(crate) struct Parked {
    ask: Ask,
    address: ListenAddress,
    pub(crate) until: Instant,
}

impl Turn {
    /// Reads what somebody at the door has to say. A caller whose words are not understood, or
    /// who is not ours, is sent away without an answer, and goes on natively.
    pub(crate) fn hear(&mut self, caller: OwnedFd) {
        let mut bytes = [0; REQUEST_LEN + 1];
        let Ok((len, socket)) = sys::receive(caller.as_fd(), &mut bytes) else {
            return;
        };
        let Some(request) = bytes.get(..len).and_then(Request::decode) else {
            return;
        };
        let Ok(peer) = sockopt::socket_peercred(&caller) else {
            return;
        };
        let pid = peer.pid.as_raw_nonzero().get();
        match (request.verb, socket) {
            (Verb::Hello, None) => self.tell(Notice::Loaded { pid }),
            (Verb::Close, None) => self.closed(balance::MemberId(request.channel), pid),
            (Verb::Hello | Verb::Close, Some(_)) | (_, None) => {}
            (_, Some(socket)) => {
                let ask = Ask {
                    request,
                    pid,
                    since: Instant::now(),
                    socket,
                    caller,
                };
                if self.watch_process(pid) {
                    self.consider(ask);
                }
            }
        }
    }

    fn consider(&mut self, ask: Ask) {
        let reply = match ask.request.verb {
            Verb::Bind => self.bind(&ask),
            Verb::Listen => return self.listen(ask),
            Verb::SetOption => Reply::plain(self.set_option(&ask)),
            Verb::GetOption => self.get_option(&ask),
            Verb::Adopt => return self.adopted(ask),
            Verb::ShareDatagrams => return self.share_datagrams(&ask),
            Verb::Hello | Verb::Close => return,
        };
        answer(&ask.caller, &reply, None);
    }

    /// The address that a request names, if workers share it.
    fn shared_address(&self, ask: &Ask, sockaddr: &[u8]) -> Option<ListenAddress> {
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", ask.pid))
            .unwrap_or_else(|_| PathBuf::from("/"));
        let address = ListenAddress::parse(sockaddr, only_v6(&ask.socket), &cwd)?;
        let private = address
            .port()
            .is_some_and(|port| self.settings.private_ports.contains(&port));
        (!private).then_some(address)
    }

    fn bind(&mut self, ask: &Ask) -> Reply {
        let sockaddr = ask.request.address;
        let Some(address) = self.shared_address(ask, sockaddr.as_bytes()) else {
            return Reply::plain(Outcome::Native);
        };
        let shared = Reply {
            address: sockaddr,
            ..Reply::plain(Outcome::Shared)
        };
        let reuse_port = sockopt::socket_reuseport(&ask.socket).unwrap_or(false);
        let cookie = cookie(&ask.socket);
        let claim = Claim {
            cookie,
            address: address.clone(),
            sockaddr,
        };
        let claim = ((ask.pid, ask.request.fd), claim);
        if let Some(listener) = self.listeners.at(&address) {
            if !reuse_port && self.listens(ask.pid, listener) {
                // What it would be told without us: it has this address already.
                return failed(rustix::io::Errno::ADDRINUSE.into());
            }
            self.listeners.claims.extend([claim]);
            return shared;
        }
        if let Some(bound) = self.listeners.bound.get(&address)
            && (bound.pid != ask.pid || bound.cookie != cookie && reuse_port)
            && self.processes.contains_key(&bound.pid)
        {
            self.listeners.claims.extend([claim]);
            return shared;
        }
        let reply = match address {
            // Bound by the worker itself: then path, owner and mode are as ever.
            ListenAddress::Path(_) | ListenAddress::Abstract(_) => Reply::plain(Outcome::Native),
            ListenAddress::Tcp { .. } => match self.bind_natively(ask, &address, &sockaddr) {
                Ok(()) => Reply::plain(Outcome::Done),
                Err(error) => return failed(error),
            },
        };
        let pid = ask.pid;
        self.listeners.claims.extend([claim]);
        self.listeners.bound.insert(address, Bound { pid, cookie });
        reply
    }

    /// Binds the worker's own socket, with the options it has set, for the whole app.
    fn bind_natively(
        &mut self,
        ask: &Ask,
        address: &ListenAddress,
        sockaddr: &Address,
    ) -> io::Result<()> {
        if matches!(address, ListenAddress::Tcp { .. }) {
            // The port is the app's alone: with this option the kernel would share it out, blind
            // to load, among us and whoever else wants it.
            let _ = sockopt::set_socket_reuseport(&ask.socket, false);
            // Until one of them listens, several workers may have bound it.
            let _ = sockopt::set_socket_reuseaddr(&ask.socket, true);
        }
        let mut bound = sys::bind(ask.socket.as_fd(), sockaddr.as_bytes());
        if let Err(error) = &bound
            && error.kind() == io::ErrorKind::AddrInUse
            && let Some(port) = address.port()
            && self.give_up_closed(port)
        {
            bound = sys::bind(ask.socket.as_fd(), sockaddr.as_bytes());
        }
        if let Err(error) = &bound
            && error.kind() == io::ErrorKind::AddrInUse
        {
            self.tell(Notice::InUse {
                instance: ask.request.instance,
                address: address.clone(),
                by: address.port().and_then(super::port_owner::find),
            });
        }
        bound
    }

    fn share_datagrams(&self, ask: &Ask) {
        let wanted = self.shared_address(ask, ask.request.address.as_bytes());
        let socket = match wanted {
            Some(ListenAddress::Tcp { socket, .. }) => {
                self.datagrams_at(socket, ask.pid, ask.request.instance)
            }
            _ => None,
        };
        match socket {
            Some(socket) => {
                let reply = Reply::plain(Outcome::Datagrams);
                answer(&ask.caller, &reply, Some(socket.as_fd()));
            }
            None => answer(&ask.caller, &Reply::plain(Outcome::Native), None),
        }
    }

    fn listens(&mut self, pid: i32, listener: ListenerId) -> bool {
        let held: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| {
                member.listener == listener
                    && member.joined
                    && member.holders.iter().any(|holder| holder.pid == pid)
            })
            .map(|(id, _)| *id)
            .collect();
        held.into_iter().any(|id| self.still_has(id, pid))
    }

    fn listen(&mut self, mut ask: Ask) {
        let cookie = cookie(&ask.socket);
        let claimed = ask.request.address;
        if !claimed.is_none() {
            let known = self.listeners.claims.remove(&(ask.pid, ask.request.fd));
            let address = match known {
                Some(claim) if claim.cookie == cookie => Some(claim.address),
                _ => self.shared_address(&ask, claimed.as_bytes()),
            };
            match address {
                Some(address) => self.listen_shared(ask, address),
                None => self.listen_natively(&ask),
            }
            return;
        }
        // Some programs bind in one process, and listen in each of its children.
        if let Some(cookie) = cookie {
            if let Some(listener) = self.listeners.with(cookie) {
                return self.take_in(ask, listener);
            }
            if let Some(claim) = self.listeners.claim_with(cookie).cloned() {
                self.listeners.listens_with(cookie);
                ask.request.address = claim.sockaddr;
                return self.listen_shared(ask, claim.address);
            }
        }
        let bound = sys::local_address(ask.socket.as_fd()).ok();
        let address = bound.and_then(|sockaddr| self.shared_address(&ask, sockaddr.as_bytes()));
        match address {
            // The kernel chose its port, or it was bound out of our sight.
            address if ask.request.cluster_worker => self.listen_in_cluster(ask, address),
            _ => self.listen_natively(&ask),
        }
    }

    /// A worker listens by itself.
    fn listen_natively(&self, ask: &Ask) {
        if let Ok(stat) = rustix::fs::fstat(&ask.socket) {
            self.tell(Notice::ListensNatively { inode: stat.st_ino });
        }
        answer(&ask.caller, &Reply::plain(Outcome::Native), None);
    }

    /// A worker listens where others may listen, too.
    fn listen_shared(&mut self, ask: Ask, address: ListenAddress) {
        if let Some(listener) = self.listeners.at(&address) {
            return self.take_in(ask, listener);
        }
        if let Some(until) = self.waits_for_binder(&ask, &address) {
            return self.parked.push(Parked {
                ask,
                address,
                until,
            });
        }
        let bound = match &address {
            _ if is_bound(&ask.socket) => Ok(()),
            ListenAddress::Path(path) if unix_path::is_gone(path) => Ok(()),
            ListenAddress::Path(_) => Err(rustix::io::Errno::ADDRINUSE.into()),
            ListenAddress::Tcp { .. } | ListenAddress::Abstract(_) => {
                self.bind_natively(&ask, &address, &ask.request.address)
            }
        };
        match bound {
            Ok(()) => self.listen_first(ask, address),
            Err(error) => answer(&ask.caller, &failed(error), None),
        }
    }

    /// Until when a `listen` waits for the worker that has bound the address. A TCP port is bound
    /// side by side until somebody listens, for who binds first may never do so.
    fn waits_for_binder(&self, ask: &Ask, address: &ListenAddress) -> Option<Instant> {
        let bound = self.listeners.bound.get(address)?;
        let is_tcp = matches!(address, ListenAddress::Tcp { .. });
        let limit = if bound.pid == ask.pid {
            BETWEEN_BIND_AND_LISTEN_OF_THREADS
        } else {
            BETWEEN_BIND_AND_LISTEN
        };
        let waits = !is_tcp && self.processes.contains_key(&bound.pid);
        waits.then(|| ask.since + limit)
    }

    /// The first worker at this address: its socket becomes the listener. But where another one
    /// has removed its path, before it knew that it is no leftover, a new one has to.
    fn listen_first(&mut self, ask: Ask, address: ListenAddress) {
        match self.open(&ask, address) {
            Ok(listener) => self.take_in(ask, listener),
            Err(error) => answer(&ask.caller, &failed(error), None),
        }
        self.answer_parked();
    }

    fn open(&mut self, ask: &Ask, address: ListenAddress) -> io::Result<ListenerId> {
        let (socket, sockaddr) = match &address {
            ListenAddress::Path(path) if unix_path::is_gone(path) => {
                (unix_path::bind(path)?, ask.request.address)
            }
            _ => (ask.socket.try_clone()?, Address::NONE),
        };
        // As long a backlog as the kernel allows: a burst shall wait there, not be refused.
        rustix::net::listen(&socket, i32::MAX)?;
        let flags = rustix::fs::fcntl_getfl(&socket)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        let sockaddr = if sockaddr.is_none() {
            let local = sys::local_address(ask.socket.as_fd())?;
            Address::new(local.as_bytes()).ok_or(io::Error::from(io::ErrorKind::InvalidData))?
        } else {
            sockaddr
        };
        let path = match &address {
            ListenAddress::Path(path) => Some(UnixPath::keep(path, &self.settings.folder)),
            ListenAddress::Tcp { .. } | ListenAddress::Abstract(_) => None,
        };
        let id = ListenerId(self.next_id());
        let listener = Listener {
            cookie: cookie(&socket),
            blocks: !flags.contains(rustix::fs::OFlags::NONBLOCK),
            socket,
            address,
            sockaddr,
            balancer: balance::Balancer::new(self.settings.balance),
            accepting: false,
            closing: None,
            path,
            refused: 0,
            accepted: 0,
            past: std::collections::BTreeMap::new(),
        };
        self.add_listener(id, listener)?;
        Ok(id)
    }

    /// A worker of `node:cluster` listens on a port that the kernel chose: the n-th such port of
    /// one worker is the n-th of all that the same primary forked.
    fn listen_in_cluster(&mut self, ask: Ask, address: Option<ListenAddress>) {
        let (Some(primary), Some(process)) = (parent_of(ask.pid), self.processes.get_mut(&ask.pid))
        else {
            return self.listen_natively(&ask);
        };
        let key = (primary, process.any_ports);
        process.any_ports += 1;
        if let Some(listener) = self.clusters.get(&key)
            && self.listeners.all.contains_key(listener)
        {
            return self.take_in(ask, *listener);
        }
        let Some(address) = address else {
            return self.listen_natively(&ask);
        };
        match self.open(&ask, address) {
            Ok(listener) => {
                self.clusters.insert(key, listener);
                self.take_in(ask, listener);
            }
            Err(error) => answer(&ask.caller, &failed(error), None),
        }
    }

    /// Gives the worker a channel, and a place behind the listener.
    fn take_in(&mut self, ask: Ask, listener: ListenerId) {
        let holder = Holder {
            pid: ask.pid,
            tid: ask.request.tid,
        };
        let Some(it) = self.listeners.all.get(&listener) else {
            return;
        };
        let sockaddr = it.sockaddr;
        let blocks = it.blocks && it.cookie == cookie(&ask.socket);
        match self.add_member(listener, ask.request.instance, holder, ask.request.fd) {
            Ok((id, theirs)) => {
                let reply = Reply {
                    outcome: Outcome::Channel,
                    channel: id.0,
                    address: sockaddr,
                    blocks,
                };
                answer(&ask.caller, &reply, Some(theirs.as_fd()));
                drop(theirs);
                self.join(id);
                if let Some(path) = self
                    .listeners
                    .all
                    .get(&listener)
                    .and_then(|listener| listener.path.as_ref())
                {
                    // A worker removes what it takes for a leftover before it binds.
                    path.restore();
                }
            }
            Err(error) => answer(&ask.caller, &failed(error), None),
        }
    }

    /// Answers those whose wait is over.
    pub(crate) fn answer_parked(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let now = Instant::now();
        for parked in std::mem::take(&mut self.parked) {
            if parked.until <= now {
                self.listeners.bound.remove(&parked.address);
            }
            self.listen_shared(parked.ask, parked.address);
        }
    }

    fn set_option(&mut self, ask: &Ask) -> Outcome {
        let Some(listener) = self.listener_of(&ask.socket) else {
            return Outcome::Native;
        };
        let value = ask.request.address;
        let (level, option) = (ask.request.arg, ask.request.arg2);
        match sys::write_option(listener.socket.as_fd(), level, option, value.as_bytes()) {
            Ok(()) => Outcome::Done,
            Err(error) => failed(error).outcome,
        }
    }

    fn get_option(&mut self, ask: &Ask) -> Reply {
        let Some(listener) = self.listener_of(&ask.socket) else {
            return Reply::plain(Outcome::Native);
        };
        let mut value = [0; 110];
        let (level, option) = (ask.request.arg, ask.request.arg2);
        match sys::read_option(listener.socket.as_fd(), level, option, &mut value) {
            Ok(len) => Reply {
                address: value
                    .get(..len)
                    .and_then(Address::new)
                    .unwrap_or(Address::NONE),
                ..Reply::plain(Outcome::Done)
            },
            Err(error) => failed(error),
        }
    }

    fn listener_of(&self, channel: &OwnedFd) -> Option<&Listener> {
        let id = self.member_of(channel)?;
        self.listeners.all.get(&self.members.get(&id)?.listener)
    }

    fn adopted(&mut self, ask: Ask) {
        let Some(id) = self.member_of(&ask.socket) else {
            return answer(&ask.caller, &Reply::plain(Outcome::Native), None);
        };
        let sockaddr = self
            .listener_of(&ask.socket)
            .map_or(Address::NONE, |listener| listener.sockaddr);
        let reply = Reply {
            outcome: Outcome::Channel,
            channel: id.0,
            address: sockaddr,
            blocks: false,
        };
        answer(&ask.caller, &reply, None);
        let holder = Holder {
            pid: ask.pid,
            tid: ask.request.tid,
        };
        let others = ask.request.arg != 0;
        self.adopt(id, holder, others, ask.request.fd, ask.socket);
    }
}

fn failed(error: io::Error) -> Reply {
    let errno = error.raw_os_error();
    Reply::plain(Outcome::Failed(
        errno.unwrap_or(rustix::io::Errno::INVAL.raw_os_error()),
    ))
}

/// The number by which the kernel knows a socket, and never another one.
fn cookie(socket: &OwnedFd) -> Option<u64> {
    sockopt::socket_cookie(socket).ok()
}

/// Whether a socket has an address that it could listen at.
fn is_bound(socket: &OwnedFd) -> bool {
    let local = sys::local_address(socket.as_fd()).ok();
    let cwd = std::path::Path::new("/");
    local.is_some_and(|local| ListenAddress::parse(local.as_bytes(), false, cwd).is_some())
}

/// A caller who is gone needs no answer.
fn answer(caller: &OwnedFd, reply: &Reply, fd: Option<BorrowedFd<'_>>) {
    let _ = sys::send(caller.as_fd(), &reply.encode(), fd);
}

/// The parent of a process, from `/proc/<pid>/stat`: the fourth field, behind the name in
/// parentheses.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
