//! `listen`: where a channel takes the place of a worker's socket; and what becomes of a channel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use wire::{Address, Outcome, Reply};

use super::super::address::ListenAddress;
use super::super::command::Gone;
use super::super::ids::ListenerId;
use super::super::listeners::{HeldBy, Opened};
use super::super::members::{Caller, Holder};
use super::super::notice::Notice;
use super::super::{endings, linger, membership, registered};
use super::claims::Claim;
use super::own_socket::{self, OwnSocket};
use super::{Answer, Question, Registrar, failed, options, own_ports};
use telemetry::events::Event;

impl Registrar {
    pub(super) fn listen(&mut self, question: &Question) -> Result<Answer, Gone> {
        let claimed = question.request.address;
        let cookie = question.cookie;
        if !claimed.is_none() {
            let known = self
                .claims
                .take(question.peer.pid, question.request.fd, cookie);
            let claim = known.or_else(|| self.claim_now(question, claimed));
            return match claim {
                Some(claim) => self.listen_shared(question, claim),
                None => Ok(self.listens_natively(question)),
            };
        }
        // Some programs bind in one process, and listen in each of its children.
        if let Some(cookie) = cookie {
            let listener = self.dispatcher.run(move |cx| cx.listeners.with(cookie))?;
            if let Some(listener) = listener {
                return self.take_in(question, listener);
            }
            if let Some(claim) = self.claims.with(cookie).cloned() {
                return self.listen_shared(question, claim);
            }
        }
        let bound = sys::local_address(question.socket.as_fd()).ok();
        let bound = bound.and_then(|bound| Address::new(bound.as_bytes()));
        let claim = bound.and_then(|bound| self.claim_now(question, bound));
        if question.request.cluster_worker {
            // The kernel chose its port, or it was bound out of our sight.
            return self.listen_in_cluster(question, claim);
        }
        Ok(self.listens_natively(question))
    }

    /// What an address means for a process that names it now.
    fn claim_now(&self, question: &Question, sockaddr: Address) -> Option<Claim> {
        let address = self.shared_address(question, sockaddr.as_bytes())?;
        Some(Claim {
            cookie: question.cookie,
            rights: self.rights_at(question, address.port()),
            address,
            sockaddr,
        })
    }

    /// A worker listens where others may listen, too.
    fn listen_shared(&mut self, question: &Question, claim: Claim) -> Result<Answer, Gone> {
        let wanted = claim.address.clone();
        if let Some(listener) = self.dispatcher.run(move |cx| cx.listeners.at(&wanted))? {
            return self.take_in(question, listener);
        }
        match self.open(question, claim, false)? {
            Ok(Some(listener)) => self.take_in_first(question, listener),
            Ok(None) => Ok(self.listens_natively(question)),
            Err(error) => Ok((failed(&error), None)),
        }
    }

    /// The first worker that listens at this address: a socket of ours becomes the listener.
    fn open(
        &mut self,
        question: &Question,
        claim: Claim,
        chosen: bool,
    ) -> Result<io::Result<Option<ListenerId>>, Gone> {
        let address = &claim.address;
        let own = match address {
            ListenAddress::Tcp { .. } => {
                let bind = || {
                    let sockaddr = claim.sockaddr.as_bytes();
                    own_socket::tcp(&question.socket, sockaddr, &claim.rights).map(Some)
                };
                self.with_port(question, address, bind)?
            }
            ListenAddress::Path(_) | ListenAddress::Abstract(_) => {
                match self.claims.take_bound(address) {
                    Some(own) => Ok(Some(own)),
                    None => {
                        // The bound socket cannot be used any more. A new one is bound with the rights
                        // of the process that listens, which may be fewer than the binder's.
                        let claim = Claim {
                            rights: question.peer.rights(),
                            ..claim.clone()
                        };
                        self.bind_name(question, address, &claim)?
                    }
                }
            }
        };
        let own = match own {
            Ok(Some(own)) => own,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        self.claims.take_bound(address);
        self.open_own(question, claim, chosen, own)
    }

    fn open_own(
        &mut self,
        question: &Question,
        claim: Claim,
        chosen: bool,
        own: OwnSocket,
    ) -> Result<io::Result<Option<ListenerId>>, Gone> {
        let (socket, path) = own.into_parts();
        let prepared = || -> io::Result<Address> {
            if matches!(claim.address, ListenAddress::Tcp { .. }) {
                let local = sys::local_address(socket.as_fd())?;
                // As long a backlog as the kernel allows: a burst waits there, and is not refused.
                rustix::net::listen(&socket, i32::MAX)?;
                return Ok(Address::new(local.as_bytes()).unwrap_or(claim.sockaddr));
            }
            let _ = claim
                .rights
                .act(|| options::copy(&question.socket, &socket, options::Kind::Unix));
            rustix::net::listen(&socket, i32::MAX)?;
            Ok(claim.sockaddr)
        };
        let sockaddr = match prepared() {
            Ok(sockaddr) => sockaddr,
            Err(error) => return Ok(Err(error)),
        };
        let address = claim.address.clone();
        let opened = Opened {
            socket,
            cookie: question.cookie,
            address: claim.address,
            sockaddr,
            linger: linger::of(&question.socket),
            chosen,
            held_by: HeldBy::Us,
        };
        let listener = match self
            .dispatcher
            .run(move |cx| registered::open(opened, cx))?
        {
            Ok(listener) => listener,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(path) = path {
            self.keep_path(listener, address, path);
        }
        Ok(Ok(Some(listener)))
    }

    /// A worker of `node:cluster` listens on a port that the kernel chose: the n-th such port of
    /// one worker is the n-th of all that the same primary forked.
    fn listen_in_cluster(
        &mut self,
        question: &Question,
        claim: Option<Claim>,
    ) -> Result<Answer, Gone> {
        let Some(primary) = question.peer.parent() else {
            return Ok(self.listens_natively(question));
        };
        if own_ports::is_bound_alone(question, primary) {
            return Ok(self.listens_natively(question));
        }
        let pid = question.peer.pid;
        let place = self
            .dispatcher
            .run(move |cx| registered::place_in_cluster(primary, pid, cx))?;
        let Some((key, listener)) = place else {
            return Ok(self.listens_natively(question));
        };
        if let Some(listener) = listener {
            return self.take_in(question, listener);
        }
        let Some(claim) = claim else {
            return Ok(self.listens_natively(question));
        };
        // The worker's own socket has the port already.
        let _ = rustix::net::sockopt::set_socket_reuseaddr(&question.socket, true);
        match self.open(question, claim, true)? {
            Ok(Some(listener)) => {
                self.dispatcher.run(move |cx| {
                    cx.listeners.clusters.insert(key, listener);
                    cx.takeover.changed();
                })?;
                self.take_in_first(question, listener)
            }
            Ok(None) => Ok(self.listens_natively(question)),
            Err(error) => Ok((failed(&error), None)),
        }
    }

    /// The address that a socket is bound to in pretence, whichever process has bound it: Node passes a socket
    /// from the primary of a `node:cluster` to a worker, which looks whether it has the port.
    pub(super) fn name(&self, question: &Question) -> Reply {
        let claim = question.cookie.and_then(|cookie| self.claims.with(cookie));
        match claim {
            Some(claim) => Reply {
                address: claim.sockaddr,
                ..Reply::plain(Outcome::Done)
            },
            None => Reply::plain(Outcome::Native),
        }
    }

    /// A worker listens by itself: the supervisor has to know its socket from one that the library
    /// never saw.
    fn listens_natively(&mut self, question: &Question) -> Answer {
        self.remember_own_port(question);
        if let Ok(stat) = rustix::fs::fstat(&question.socket) {
            let inode = stat.st_ino;
            let _ = self.notices.try_send(Notice::ListensNatively { inode });
        }
        (Reply::plain(Outcome::Native), None)
    }

    /// Gives a channel to the worker for which a listener was opened. The listener ends if there is none.
    fn take_in_first(&mut self, question: &Question, listener: ListenerId) -> Result<Answer, Gone> {
        let answer = self.take_in(question, listener)?;
        if answer.1.is_none() {
            self.dispatcher
                .run(move |cx| endings::give_up_empty(listener, cx))?;
        }
        Ok(answer)
    }

    /// Gives the worker a channel, and a place behind the listener.
    fn take_in(&mut self, question: &Question, listener: ListenerId) -> Result<Answer, Gone> {
        let caller = caller(question);
        let taken = self
            .dispatcher
            .run(move |cx| membership::take_in(listener, caller, cx))?;
        Ok(match taken {
            Ok((id, sockaddr, theirs)) => {
                if let Some(kept) = self.paths.get(&listener) {
                    // It may have removed the path out of the library's sight.
                    kept.path.restore();
                }
                let reply = Reply {
                    channel: id.0,
                    address: sockaddr,
                    ..Reply::plain(Outcome::Channel)
                };
                (reply, Some(theirs))
            }
            Err(error) => {
                if Errno::from_io_error(&error) == Some(Errno::MFILE) {
                    let pid = question.peer.pid;
                    self.refuse(Event::TooMuch { pid });
                }
                (failed(&error), None)
            }
        })
    }

    pub(super) fn set_option(&mut self, question: &Question) -> Result<Reply, Gone> {
        let (level, option) = (question.request.arg, question.request.arg2);
        let value = question.request.address;
        let Some((id, listener)) = self.listener_of(question)? else {
            return Ok(Reply::plain(Outcome::Native));
        };
        if linger::is(level, option) {
            let linger = value.as_bytes().first_chunk().copied();
            self.dispatcher.run(move |cx| {
                cx.takeover.changed();
                cx.listeners.set_linger(id, linger);
            })?;
            return Ok(Reply::plain(Outcome::Done));
        }
        if !options::may_set(level, option) {
            return Ok(failed(&Errno::NOPROTOOPT.into()));
        }
        if options::is_kept(level, option) {
            return Ok(Reply::plain(Outcome::Done));
        }
        let set = question
            .peer
            .rights()
            .act(|| sys::write_option(listener.as_fd(), level, option, value.as_bytes()));
        Ok(match set.flatten() {
            Ok(()) => Reply::plain(Outcome::Done),
            Err(error) => failed(&error),
        })
    }

    pub(super) fn get_option(&mut self, question: &Question) -> Result<Reply, Gone> {
        let (level, option) = (question.request.arg, question.request.arg2);
        let Some((id, listener)) = self.listener_of(question)? else {
            return Ok(Reply::plain(Outcome::Native));
        };
        if linger::is(level, option) {
            let linger = self.dispatcher.run(move |cx| cx.listeners.linger(id))?;
            return Ok(Reply {
                address: Address::new(&linger.unwrap_or_default()).unwrap_or(Address::NONE),
                ..Reply::plain(Outcome::Done)
            });
        }
        if !options::may_get(level, option) {
            return Ok(failed(&Errno::NOPROTOOPT.into()));
        }
        let mut value = [0; 110];
        Ok(
            match sys::read_option(listener.as_fd(), level, option, &mut value) {
                Ok(len) => Reply {
                    address: value
                        .get(..len)
                        .and_then(Address::new)
                        .unwrap_or(Address::NONE),
                    ..Reply::plain(Outcome::Done)
                },
                Err(error) => failed(&error),
            },
        )
    }

    /// The listener behind a worker's channel, with a copy of its socket.
    fn listener_of(&self, question: &Question) -> Result<Option<(ListenerId, OwnedFd)>, Gone> {
        let Some(cookie) = question.cookie else {
            return Ok(None);
        };
        self.dispatcher
            .run(move |cx| registered::listener_with(cookie, cx))
    }
}

/// The process that asks.
pub(super) fn caller(question: &Question) -> Caller {
    Caller {
        holder: Holder {
            pid: question.peer.pid,
            tid: question.request.tid,
        },
        instance: question.instance(),
        fd: question.request.fd,
    }
}
