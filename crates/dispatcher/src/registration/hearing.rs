//! Those who ask: who is let in, heard, and put off.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::net::{RecvFlags, recv, sockopt};
use rustix::process::{Pid, Resource, getrlimit};
use wire::{REQUEST_LEN, Reply, Request, Verb};

use super::super::command::Gone;
use super::super::endings;
use super::super::notice::Notice;
use super::peer::{Peer, is_scarcity};
use super::reserve::{Heard, NEEDED};
use super::{Question, Registrar, SOCKET};
use telemetry::events::Event;

/// How many callers may be connected with their question still to come.
const CALLERS: usize = 256;

/// How long a caller may be silent where others need its place.
const PATIENCE: Duration = Duration::from_millis(20);

impl Registrar {
    /// Accepts those who connect. Those who do not say what they want make room for others, the
    /// first first. Where none can do so yet, others wait in the backlog.
    pub(super) fn let_in(&mut self) -> Result<(), Gone> {
        loop {
            if self.callers.len() >= CALLERS && !self.make_room()? {
                self.leave_in_backlog();
                self.reserve.pause();
                return Ok(());
            }
            match sys::accept(self.settings.socket.as_fd()) {
                Ok((caller, _)) => {
                    // What is left of a reserve that was lent belongs to this caller's question.
                    self.reserve.fill(self.inbox.bell());
                    self.last_caller += 1;
                    // Of a descriptor that is new this fails for want of memory alone.
                    if self.watch(&caller, self.last_caller).is_ok() {
                        self.callers
                            .insert(self.last_caller, (caller, Instant::now()));
                    }
                }
                Err(error) if is_scarcity(&error) => {
                    let room = if self.callers.is_empty() {
                        self.reserve.lend(self.inbox.bell())
                    } else {
                        self.make_room()?
                    };
                    if !room {
                        self.leave_in_backlog();
                        self.lack();
                        return Ok(());
                    }
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// Hears the caller that has been connected for longest, and sends it away if it is silent. The
    /// library asks as soon as it is let in; a process that waits for a processor gets a moment for it.
    /// Whether the caller has made room.
    fn make_room(&mut self) -> Result<bool, Gone> {
        let Some(first) = self.callers.first_entry() else {
            return Ok(false);
        };
        let (caller, since) = first.get();
        if since.elapsed() < PATIENCE && !has_spoken(caller) {
            return Ok(false);
        }
        let (caller, _) = first.remove();
        self.hear(caller)?;
        Ok(true)
    }

    fn leave_in_backlog(&self) {
        let _ = epoll::delete(&self.epoll, &self.settings.socket);
    }

    pub(super) fn hear(&mut self, caller: OwnedFd) -> Result<(), Gone> {
        // Before another thread closes it: this one, asleep in the epoll with the last reference to it,
        // would keep the connection open. Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::delete(&self.epoll, &caller);
        self.attend(Heard { caller, said: None })
    }

    /// Goes on with those for whom there was no descriptor.
    pub(super) fn hear_again(&mut self) -> Result<(), Gone> {
        let Some(put_off) = self.reserve.due() else {
            return Ok(());
        };
        if !put_off.is_empty() && !self.reserve.fill(self.inbox.bell()) {
            // Those who are silent give theirs up. They are free when another thread has closed them.
            for _ in 0..NEEDED {
                if !self.make_room()? {
                    break;
                }
            }
        }
        for heard in put_off {
            self.attend(heard)?;
        }
        match self.watch(&self.settings.socket, SOCKET) {
            Ok(()) => self.let_in(),
            // It was not taken out.
            Err(_) => Ok(()),
        }
    }

    /// Reads what a caller has to say. One whose words are not understood, or who is not ours, is sent
    /// away without an answer, and goes on natively. Without descriptors, it waits for some.
    fn attend(&mut self, mut heard: Heard) -> Result<(), Gone> {
        let has_room = self.reserve.release(self.inbox.bell());
        if heard.said.is_none() {
            if !has_room && has_spoken(&heard.caller) {
                self.put_off(heard);
                return Ok(());
            }
            heard.said = self.read(&heard.caller);
        }
        let Heard { caller, said } = heard;
        let handled = match said {
            None => {
                self.closer.send_away(caller);
                Ok(())
            }
            Some((request, socket)) => match known(&caller, self.settings.ancestor) {
                Err(error) if is_scarcity(&error) => {
                    let said = Some((request, socket));
                    self.put_off(Heard { caller, said });
                    Ok(())
                }
                known => {
                    let handled = match known {
                        Ok((peer, is_ours)) => {
                            self.consider(request, peer, is_ours, socket, &caller)
                        }
                        Err(_) => {
                            self.closer.close(socket);
                            Ok(())
                        }
                    };
                    self.closer.send_away(caller);
                    handled
                }
            },
        };
        self.reserve.fill(self.inbox.bell());
        handled
    }

    /// What a caller has said, with the last descriptor that came along; none if that is not understood.
    fn read(&self, caller: &OwnedFd) -> Option<(Request, Option<OwnedFd>)> {
        let mut bytes = [0; REQUEST_LEN + 1];
        let (len, mut sent) = sys::receive_all(caller.as_fd(), &mut bytes).ok()?;
        let socket = sent.pop();
        self.closer.close(sent);
        match bytes.get(..len).and_then(Request::decode) {
            Some(request) => Some((request, socket)),
            None => {
                self.closer.close(socket);
                None
            }
        }
    }

    /// A caller waits for descriptors; of too many, the first is sent away.
    fn put_off(&mut self, heard: Heard) {
        self.lack();
        if let Some(Heard { caller, said }) = self.reserve.put_off(heard) {
            self.closer.close(said.and_then(|(_, socket)| socket));
            self.closer.send_away(caller);
        }
    }

    /// There are no descriptors for those who register.
    fn lack(&mut self) {
        if !self.reserve.pauses() {
            self.reserve.pause();
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(0);
            self.refuse(Event::OutOfDescriptors {
                limit,
                reason: None,
            });
        }
    }

    fn consider(
        &mut self,
        request: Request,
        peer: Peer,
        is_ours: bool,
        socket: Option<OwnedFd>,
        caller: &OwnedFd,
    ) -> Result<(), Gone> {
        if !is_ours {
            self.closer.close(socket);
            self.refuse(Event::Stranger {
                pid: peer.pid,
                uid: peer.identity.uid,
            });
            return Ok(());
        }
        let pid = peer.pid;
        match (request.verb, socket) {
            (Verb::Hello, None) => {
                let _ = self.notices.try_send(Notice::Loaded { pid });
                Ok(())
            }
            (Verb::Close, None) => {
                let channel = balance::MemberId(request.channel);
                self.dispatcher
                    .run(move |cx| endings::closed(channel, pid, cx))
            }
            (Verb::Hello | Verb::Close, socket) => {
                self.closer.close(socket);
                Ok(())
            }
            (Verb::Remove, None) => {
                let reply = self.remove(&request, pid)?;
                answer(caller, &reply, None);
                Ok(())
            }
            (_, None) => Ok(()),
            (_, Some(socket)) => {
                let handle = peer.handle.try_clone();
                let watched = self.dispatcher.run(move |cx| {
                    handle.is_ok_and(|handle| endings::watch_process(pid, handle, cx))
                })?;
                let question = Question {
                    cookie: sockopt::socket_cookie(&socket).ok(),
                    request,
                    peer,
                    socket,
                };
                if !watched {
                    self.refuse(Event::TooMuch { pid });
                    self.closer.close([question.socket]);
                    return Ok(());
                }
                let (reply, descriptor) = self.answer(&question)?;
                // Once it has its answer, the caller may close its socket, or listen with it and close it
                // then. A copy that lived on would keep the port, and take connections with it.
                self.closer.close_at_once(question.socket);
                answer(caller, &reply, descriptor.as_ref().map(AsFd::as_fd));
                // A copy of our own, or of another instance's.
                self.closer.close(descriptor);
                Ok(())
            }
        }
    }
}

/// Who it is, and whether it descends from the ancestor of all workers.
fn known(caller: &OwnedFd, ancestor: Pid) -> io::Result<(Peer, bool)> {
    let peer = Peer::of(caller.as_fd())?;
    let is_ours = peer.descends_from(ancestor)?;
    Ok((peer, is_ours))
}

/// Whether a caller has said something that has not been read.
fn has_spoken(caller: &OwnedFd) -> bool {
    recv(
        caller,
        &mut [0; 1][..],
        RecvFlags::PEEK | RecvFlags::DONTWAIT,
    )
    .is_ok()
}

/// A caller who is gone needs no answer.
fn answer(caller: &OwnedFd, reply: &Reply, fd: Option<BorrowedFd<'_>>) {
    let _ = sys::send(caller.as_fd(), &reply.encode(), fd);
}
