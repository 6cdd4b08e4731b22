//! Connections that workers give back while they drain, so that others go on with them.
//!
//! The worker's library knows on which connections no request is in progress. It is asked over the
//! channel, and sends them up over a socket pair of the member's own; each goes to another worker
//! like a new one. What a worker sends is not believed: only a connection that is known to be open at
//! this very worker is taken.

use std::os::fd::{AsFd, OwnedFd};

use balance::MemberId;
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use wire::{Handoff, Passed, RETURNED_LEN, Standing};

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::registration_events::RegistrationEvent;
use super::token::Token;
use super::turn::{Turn, nanos};

/// How many connections are taken from one member before others have their turn.
const BATCH: usize = 64;

/// How many batches are taken of one that is no more: the kernel keeps fewer descriptors in a socket.
const LAST_BATCHES: usize = 1024;

/// The way by which a member gives connections back.
#[derive(Debug)]
pub(super) struct WayBack {
    ours: OwnedFd,
    /// The worker's end: each request has a copy of it beside it.
    theirs: OwnedFd,
    /// How the worker has said it stands; none since it was sent something.
    standing: Option<Standing>,
}

impl Turn {
    /// Asks a member for all connections on which no request is in progress, and on which none is
    /// from now on.
    pub(super) fn ask_back(&mut self, id: MemberId) {
        let channel = self.workers.channels.get(&id);
        let Some(channel) = channel.filter(|channel| channel.hears_requests()) else {
            return;
        };
        if !self.ways_back.contains_key(&id) {
            // Without a descriptor for it, the worker is asked again later.
            let Ok(way) = WayBack::new() else { return };
            let data = Token::WayBack(id).data();
            if epoll::add(&*self.epoll, &way.ours, data, epoll::EventFlags::IN).is_err() {
                return;
            }
            self.ways_back.insert(id, Some(way));
        }
        if let Some(Some(way)) = self.ways_back.get(&id) {
            way.hear(id, true, &self.epoll);
            let (message, len) = Handoff::GiveBack(u32::MAX).encode();
            let message = message.get(..len).unwrap_or(&[]);
            // A full channel has a request in it already.
            let _ = sys::send(channel.ours(), message, Some(way.theirs.as_fd()));
        }
    }

    /// What a member has said of itself does not hold any more.
    pub(super) fn forget_standing(&mut self, id: MemberId) {
        self.note_standing(id, None);
    }

    fn note_standing(&mut self, id: MemberId, standing: Option<Standing>) {
        if let Some(Some(way)) = self.ways_back.get_mut(&id) {
            way.standing = standing;
            // While it has something to do, it is asked again in pauses.
            if standing.is_some_and(|standing| standing.busy == 0) {
                self.draining.hurry(nanos(self.started));
            }
        }
    }

    /// A member has given back one on which a request was in progress. After the last one it is asked
    /// again at once.
    fn count_down(&mut self, id: MemberId) {
        if let Some(Some(way)) = self.ways_back.get_mut(&id)
            && let Some(standing) = &mut way.standing
        {
            standing.busy = standing.busy.saturating_sub(1);
            if standing.busy == 0 {
                way.standing = None;
                self.draining.hurry(nanos(self.started));
            }
        }
    }

    /// Whether requests may be in progress at a member: its library says so, or has not answered yet.
    /// One that cannot be asked is not known to have any.
    pub(super) fn may_be_busy(&self, id: MemberId) -> bool {
        match self.ways_back.get(&id) {
            // It has said what it cannot mean, and is not asked any more.
            Some(None) => false,
            Some(Some(WayBack {
                standing: Some(standing),
                ..
            })) => standing.busy > 0,
            Some(Some(_)) | None => {
                let channel = self.workers.channels.get(&id);
                channel.is_some_and(|channel| channel.takes_probes())
            }
        }
    }

    /// A member has given connections back: others get them. Whether there may be more.
    pub(super) fn take_given_back(&mut self, id: MemberId) -> bool {
        for _ in 0..BATCH {
            let Some(Some(way)) = self.ways_back.get(&id) else {
                return false;
            };
            // A connection that finds no free descriptor on its way would be lost.
            let Ok(spare) = way.theirs.try_clone() else {
                // It is looked at again when the worker is asked again.
                way.hear(id, false, &self.epoll);
                return false;
            };
            drop(spare);
            let mut message = [0; RETURNED_LEN];
            // All that came along: what is left to the kernel it would close within this call.
            let Ok((len, mut sent)) = sys::receive_all(way.ours.as_fd(), &mut message) else {
                return false;
            };
            let passed = (len == RETURNED_LEN)
                .then(|| Passed::decode(&message))
                .flatten();
            let standing = message.get(..len).and_then(Standing::decode);
            match (passed, sent.pop()) {
                (None, None) if standing.is_some() => self.note_standing(id, standing),
                (Some(passed), Some(socket)) if sent.is_empty() => {
                    self.give_to_another(id, socket, passed);
                    self.count_down(id);
                }
                // It has found no free descriptor.
                (Some(_), None) => {}
                (_, last) => {
                    // Our library says nothing of the kind: this worker is not heard any more.
                    let strays = sent.into_iter().chain(last);
                    strays.for_each(|stray| self.put_away(stray));
                    self.shut_way_back(id);
                    return false;
                }
            }
        }
        true
    }

    /// A member is no more: what it has given back, others get.
    pub(super) fn end_way_back(&mut self, id: MemberId) {
        for _ in 0..LAST_BATCHES {
            if !self.take_given_back(id) {
                break;
            }
        }
        self.shut_way_back(id);
        self.ways_back.remove(&id);
    }

    /// Takes nothing more from a member, nor asks it for anything.
    fn shut_way_back(&mut self, id: MemberId) {
        if let Some(WayBack { ours, theirs, .. }) =
            self.ways_back.get_mut(&id).and_then(Option::take)
        {
            let _ = epoll::delete(&*self.epoll, &ours);
            self.put_away(ours);
            self.put_away(theirs);
        }
    }

    fn give_to_another(&mut self, id: MemberId, socket: OwnedFd, passed: Passed) {
        let ends_for_good = self.ends_for_good(id);
        let listener = self.members.get(&id).map(|member| member.listener);
        let (Some(listener), Ok(peer)) = (
            listener.and_then(|id| self.listeners.all.get_mut(&id)),
            sys::peer_address(socket.as_fd()),
        ) else {
            return self.put_away(socket);
        };
        let endpoint = Endpoint::of(socket.as_fd(), peer.as_bytes());
        if !endpoint.is_some_and(|endpoint| self.workers.counts.given_back(endpoint, id)) {
            return self.put_away(socket);
        }
        let now = nanos(self.started);
        listener.balancer.closed(now, id, &mut self.workers);
        let unread = rustix::io::ioctl_fionread(&socket).is_ok_and(|bytes| bytes > 0);
        if ends_for_good && !unread {
            return self.put_away(socket);
        }
        if ends_for_good {
            // Its next request is served as what has just been accepted.
            for way in self.ways_back.values_mut().flatten() {
                way.standing = None;
            }
        }
        let connection = Connection::given_back(socket, peer.as_bytes(), passed);
        let client = super::address::client(peer.as_bytes(), self.accepted);
        listener
            .balancer
            .arrive(now, client, connection, &mut self.workers);
    }

    /// Closes descriptors that a worker has had or sent, on a thread that may wait.
    pub(super) fn put_away(&self, descriptor: OwnedFd) {
        self.registration
            .tell(RegistrationEvent::PutAway(descriptor));
    }
}

impl WayBack {
    fn new() -> rustix::io::Result<Self> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self {
            ours,
            theirs,
            standing: None,
        })
    }

    /// Lets the epoll tell of what comes, or not.
    fn hear(&self, id: MemberId, on: bool, epoll: &OwnedFd) {
        let flags = if on {
            epoll::EventFlags::IN
        } else {
            epoll::EventFlags::empty()
        };
        // Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::modify(epoll, &self.ours, Token::WayBack(id).data(), flags);
    }
}
