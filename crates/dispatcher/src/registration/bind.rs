//! `bind`: who has an address, and who gets it.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::sockopt;
use sys::{CapabilitySet, Rights};
use wire::{Address, Outcome, Reply};

use super::super::address::ListenAddress;
use super::super::command::Gone;
use super::super::ids::ListenerId;
use super::super::listeners::only_v6;
use super::super::notice::Notice;
use super::super::{datagrams, endings, registered};
use super::claims::{Bound, Claim};
use super::own_socket::{self, OwnSocket};
use super::{Answer, Question, Registrar, failed};
use process::sockets::{listener_at, sockets_of};
use process::user::User;
use telemetry::events::Event;

impl Registrar {
    /// The address that a question names, if workers share it.
    pub(super) fn shared_address(
        &self,
        question: &Question,
        sockaddr: &[u8],
    ) -> Option<ListenAddress> {
        if !own_socket::is_supported(&question.socket, sockaddr) || !is_of_our_network(question) {
            return None;
        }
        let current = question.peer.current_path();
        let known = current.as_deref().unwrap_or(Path::new(""));
        let address = ListenAddress::parse(sockaddr, only_v6(&question.socket), known)?;
        let private = match address.port() {
            Some(port) => self.settings.private_ports.contains(&port),
            None => self.is_private(question, &address),
        };
        let unknown = match &address {
            ListenAddress::Path(path) => !path.is_absolute() || !question.peer.sees_our_files(),
            ListenAddress::Tcp { .. } | ListenAddress::Abstract(_) => false,
        };
        (!private && !unknown).then_some(address)
    }

    pub(super) fn bind(&mut self, question: &Question) -> Result<Reply, Gone> {
        let sockaddr = named(question.request.address);
        let Some(address) = self.shared_address(question, sockaddr.as_bytes()) else {
            return Ok(Reply::plain(Outcome::Native));
        };
        let (pid, fd) = (question.peer.pid, question.request.fd);
        if !self.claims.has_room_for(pid, fd) {
            self.refuse(Event::TooMuch { pid });
            return Ok(failed(&Errno::NOBUFS.into()));
        }
        let cookie = question.cookie;
        let rights = self.rights_at(question, address.port());
        let claim = Claim {
            cookie,
            address: address.clone(),
            sockaddr,
            rights: rights.clone(),
        };
        let reuse_port = sockopt::socket_reuseport(&question.socket).unwrap_or(false);
        if reuse_port
            && let Some(port) = address.port()
            && self.is_own_port(question, port)
        {
            return Ok(Reply::plain(Outcome::Native));
        }
        if question.request.cluster_worker
            && !reuse_port
            && self.is_of_cluster(question, &address)?
        {
            return Ok(failed(&Errno::ADDRINUSE.into()));
        }
        let wanted = address.clone();
        if let Some(listener) = self.dispatcher.run(move |cx| cx.listeners.at(&wanted))? {
            if !reuse_port && self.listens(pid, listener)? {
                // What it would be told without us: it has this address already.
                return Ok(failed(&Errno::ADDRINUSE.into()));
            }
        } else if self
            .claims
            .bound(&address)
            .is_none_or(|bound| bound.pid == pid && (bound.cookie == cookie || !reuse_port))
        {
            return self.bind_first(question, address, claim);
        }
        self.claims.add(pid, fd, claim);
        Ok(shared(question))
    }

    /// Binds an address that no other worker has: a port to the worker's own socket, a name to one of
    /// ours.
    fn bind_first(
        &mut self,
        question: &Question,
        address: ListenAddress,
        claim: Claim,
    ) -> Result<Reply, Gone> {
        let bound = match &address {
            ListenAddress::Tcp { .. } => {
                let theirs = &question.socket;
                // The port is the app's alone: with this option the kernel would share it out, blind
                // to load, among us and whoever else wants it.
                let _ = sockopt::set_socket_reuseport(theirs, false);
                // Until one of them listens, several workers may have bound it.
                let _ = sockopt::set_socket_reuseaddr(theirs, true);
                let sockaddr = claim.sockaddr;
                let rights = &claim.rights;
                let bind = || rights.act(|| sys::bind(theirs.as_fd(), sockaddr.as_bytes()))?;
                let bound = self.with_port(question, &address, bind)?;
                bound.map(|()| None)
            }
            // Ours, since the worker would not give its own back.
            ListenAddress::Path(_) | ListenAddress::Abstract(_) => {
                match self.bind_name(question, &address, &claim)? {
                    Ok(None) => return Ok(Reply::plain(Outcome::Native)),
                    own => own,
                }
            }
        };
        let own = match bound {
            Ok(own) => own,
            Err(error) => return Ok(failed(&error)),
        };
        let (pid, fd, cookie) = (question.peer.pid, question.request.fd, claim.cookie);
        let reply = match own {
            Some(_) => shared(question),
            None => Reply::plain(Outcome::Done),
        };
        self.claims.add(pid, fd, claim);
        self.claims.bind(address, Bound { pid, cookie, own });
        Ok(reply)
    }

    /// A Unix socket of ours at the address of a claim; none where only the worker itself can bind it.
    pub(super) fn bind_name(
        &mut self,
        question: &Question,
        address: &ListenAddress,
        claim: &Claim,
    ) -> Result<io::Result<Option<OwnSocket>>, Gone> {
        let sockaddr = claim.sockaddr;
        let bound = sys::local_address(question.socket.as_fd());
        if bound.is_ok_and(|bound| bound.as_bytes().len() > 2) {
            // As for any socket that is bound already.
            return Ok(Err(Errno::INVAL.into()));
        }
        let made = match address {
            ListenAddress::Abstract(_) => own_socket::abstract_name(sockaddr.as_bytes()).map(Some),
            _ => {
                let path = sockaddr.as_bytes().get(2..).unwrap_or(&[]);
                let end = path.iter().position(|byte| *byte == 0);
                let path = path.get(..end.unwrap_or(path.len())).unwrap_or(path);
                let links = &self.settings.links;
                let bind = || {
                    let theirs = &question.socket;
                    own_socket::at_path(theirs, path, &question.peer, &claim.rights, links)
                };
                match bind() {
                    Err(error)
                        if error.kind() == io::ErrorKind::AddrInUse
                            && self.left.remove(address)
                            && own_socket::remove_dead(address, &claim.rights) =>
                    {
                        bind()
                    }
                    bound => bound,
                }
            }
        };
        if let Err(error) = &made
            && error.kind() == io::ErrorKind::AddrInUse
        {
            self.tell_in_use(question, address)?;
        }
        Ok(made)
    }

    /// Does something that needs a port. One that is kept open for a successor is given up for it.
    pub(super) fn with_port<T>(
        &mut self,
        question: &Question,
        address: &ListenAddress,
        act: impl Fn() -> io::Result<T>,
    ) -> Result<io::Result<T>, Gone> {
        let in_use =
            |done: &io::Result<T>| matches!(done, Err(it) if it.kind() == io::ErrorKind::AddrInUse);
        let mut done = act();
        if let Some(port) = address.port()
            && in_use(&done)
            && self
                .dispatcher
                .run(move |cx| endings::give_up_closed(port, cx))?
        {
            done = act();
        }
        match &done {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                self.tell_in_use(question, address)?;
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let event = Event::PrivilegedPort {
                    instance: question.instance(),
                    address: address.to_string(),
                    port: address.port().unwrap_or(0),
                };
                let _ = self.notices.try_send(event.into());
            }
            _ => {}
        }
        Ok(done)
    }

    fn tell_in_use(&self, question: &Question, address: &ListenAddress) -> Result<(), Gone> {
        let instance = question.instance();
        let port = address.port();
        let passed = match port {
            Some(port) => self.dispatcher.run(move |cx| cx.listeners.lent_at(port))?,
            None => None,
        };
        let address = address.to_string();
        let _ = self.notices.try_send(match passed {
            Some(passed) => Notice::Event(Event::PassedElsewhere {
                instance,
                address,
                passed: passed.to_string(),
            }),
            None => Notice::InUse {
                instance,
                address,
                by: port.and_then(listener_at),
            },
        });
        Ok(())
    }

    /// What a worker may do at a port: what the kernel allows it, and what the config does.
    pub(super) fn rights_at(&self, question: &Question, port: Option<u16>) -> Rights {
        let mut rights = question.peer.rights();
        if port.is_some_and(|port| self.settings.privileged_ports.contains(&port)) {
            rights.capabilities |= CapabilitySet::NET_BIND_SERVICE;
        }
        rights
    }

    /// Whether a process listens there already, and still has the channel. One that closed it out of
    /// the library's sight, or became another program, is found out here.
    fn listens(&mut self, pid: i32, listener: ListenerId) -> Result<bool, Gone> {
        let held = self
            .dispatcher
            .run(move |cx| registered::held_by(pid, listener, cx))?;
        let mut still = false;
        if !held.is_empty() {
            let Some(sockets) = sockets_of(pid) else {
                return Ok(true);
            };
            for (member, inode) in held {
                if inode.is_none_or(|inode| sockets.iter().any(|(_, it)| *it == inode)) {
                    still = true;
                } else {
                    self.dispatcher
                        .run(move |cx| endings::closed(member, pid, cx))?;
                }
            }
        }
        Ok(still)
    }

    /// `bind` of a datagram socket that the kernel has refused as in use.
    pub(super) fn share_datagrams(&self, question: &Question) -> Answer {
        let current = PathBuf::from("/");
        let sockaddr = question.request.address;
        let address = ListenAddress::parse(sockaddr.as_bytes(), false, &current);
        let socket = match address {
            Some(ListenAddress::Tcp { socket, .. })
                if !self.settings.private_ports.contains(&socket.port()) =>
            {
                let instance = question.instance();
                let (pid, identity) = (question.peer.pid, &question.peer.identity);
                let own = rustix::process::geteuid().as_raw();
                let user = (identity.uid != own).then_some(User {
                    uid: identity.uid,
                    gid: identity.gid,
                });
                let (socket, notice) =
                    datagrams::find(socket, pid, instance, user, self.settings.ancestor);
                let _ = self.notices.try_send(notice);
                socket
            }
            _ => None,
        };
        match socket {
            Some(socket) => (Reply::plain(Outcome::Datagrams), Some(socket)),
            None => (Reply::plain(Outcome::Native), None),
        }
    }
}

/// An address as the kernel tells it: a path with one zero byte behind it.
pub(super) fn named(sockaddr: Address) -> Address {
    let bytes = sockaddr.as_bytes();
    match bytes.get(2..) {
        Some([first, path @ ..]) if bytes.starts_with(&1u16.to_ne_bytes()) && *first != 0 => {
            let end = path.iter().position(|byte| *byte == 0);
            let end = 3 + end.unwrap_or(path.len());
            let name = bytes.get(..end).unwrap_or(bytes);
            Address::new(&[name, &[0]].concat()).unwrap_or(sockaddr)
        }
        _ => sockaddr,
    }
}

fn shared(question: &Question) -> Reply {
    Reply {
        address: named(question.request.address),
        ..Reply::plain(Outcome::Shared)
    }
}

/// Whether the worker's socket is of the same network as ours. In another one the port is another.
fn is_of_our_network(question: &Question) -> bool {
    const SOL_SOCKET: i32 = 1;
    const SO_NETNS_COOKIE: i32 = 71;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let network = |socket: std::os::fd::BorrowedFd<'_>| {
        let mut cookie = [0; 8];
        sys::read_option(socket, SOL_SOCKET, SO_NETNS_COOKIE, &mut cookie).map(|_| cookie)
    };
    let (unix, datagram) = (AddressFamily::UNIX, SocketType::DGRAM);
    let Ok(ours) = socket_with(unix, datagram, SocketFlags::CLOEXEC, None) else {
        return false;
    };
    match (network(question.socket.as_fd()), network(ours.as_fd())) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        // Before Linux 5.14 the kernel does not tell.
        _ => true,
    }
}
