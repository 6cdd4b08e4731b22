//! Connections that workers give back, while they drain or when they have more than others, so that
//! others go on with them.
//!
//! The worker's library knows on which connections no request is in progress. It is asked over the
//! channel, and sends them up over a socket pair of the member's own; each goes to another worker
//! like a new one. What a worker sends is not believed: only a connection that is known to be open at
//! this very worker is taken.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use balance::{IdMap, MemberId};
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use wire::{Handoff, PARKED_LEN, Parked, Passed, Standing};

use crate::channel::Channel;
use crate::registration_events::RegistrationEvents;
use crate::token::Token;

/// The way by which a member gives connections back.
#[derive(Debug)]
struct WayBack {
    ours: OwnedFd,
    /// The worker's end: each request has a copy of it beside it.
    theirs: OwnedFd,
    /// How the worker has said it stands; none since it was sent something.
    standing: Option<Standing>,
}

/// What a member has sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// There is nothing more.
    Nothing,
    /// A connection, and what has passed over it.
    Connection(OwnedFd, Passed),
    /// One that its program has closed, while no request was in progress.
    Parked(OwnedFd, Passed),
    /// It knows the way for such connections.
    Parks,
    /// How it stands, or that it has found no free descriptor.
    Word,
}

/// All these ways.
#[derive(Debug)]
pub(super) struct WaysBack {
    /// None for a member that is not heard any more.
    ways: IdMap<MemberId, Option<WayBack>>,
    epoll: Arc<OwnedFd>,
    /// A member has said that it is no longer busy.
    has_news: bool,
    /// There are ways that have not been told of.
    has_new: bool,
}

impl WaysBack {
    pub(super) fn new(epoll: Arc<OwnedFd>) -> Self {
        Self {
            ways: IdMap::default(),
            epoll,
            has_news: false,
            has_new: false,
        }
    }

    /// Asks a member for so many connections on which no request is in progress, and on which none is
    /// from now on. The first time, only the way for them is opened: the member is asked at the next look.
    pub(super) fn ask(&mut self, id: MemberId, most: u32, channel: &mut Channel) {
        if !channel.hears_requests() {
            return;
        }
        self.say(id, Handoff::GiveBack(most), channel);
    }

    /// Has a member give back what its program closes while no request is in progress. The first time, as above.
    pub(super) fn have_park(&mut self, id: MemberId, channel: &mut Channel) {
        if channel.hears_requests() {
            self.say(id, Handoff::Park, channel);
        }
    }

    /// Sends a message with the worker's end of the way, or opens the way.
    fn say(&mut self, id: MemberId, what: Handoff, channel: &mut Channel) {
        if !self.ways.contains_key(&id) {
            // Without a descriptor for it, the worker is asked again later.
            let Ok(way) = WayBack::new() else { return };
            let data = Token::WayBack(id).data();
            if epoll::add(&*self.epoll, &way.ours, data, epoll::EventFlags::IN).is_err() {
                return;
            }
            self.ways.insert(id, Some(way));
            self.has_new = true;
            // It is used when it is noted: what a worker gives back must find the next supervisor, too.
            return;
        }
        if let Some(Some(way)) = self.ways.get(&id) {
            way.hear(id, true, &self.epoll);
            let (message, len) = what.encode();
            let message = message.get(..len).unwrap_or(&[]);
            // A full channel has a request in it already.
            let _ = channel.put(message, Some(way.theirs.as_fd()));
        }
    }

    /// The two ends of a member's way.
    pub(super) fn ends(&self, id: MemberId) -> Option<(i32, i32)> {
        let way = self.ways.get(&id)?.as_ref()?;
        Some((way.ours.as_raw_fd(), way.theirs.as_raw_fd()))
    }

    /// A way that an earlier supervisor has opened. What lies there is taken.
    pub(super) fn restore(&mut self, id: MemberId, ours: OwnedFd, theirs: OwnedFd) {
        let data = Token::WayBack(id).data();
        if epoll::add(&*self.epoll, &ours, data, epoll::EventFlags::IN).is_ok() {
            let way = WayBack {
                ours,
                theirs,
                standing: None,
            };
            self.ways.insert(id, Some(way));
        }
    }

    /// Another process goes on with them: this one closes its copies.
    pub(super) fn hand_over(&mut self) {
        for (_, way) in self.ways.drain() {
            if let Some(way) = way {
                // Of a descriptor that is in the epoll this cannot fail.
                let _ = epoll::delete(&*self.epoll, &way.ours);
            }
        }
    }

    /// Whether there are new ways since this was asked last.
    pub(super) fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.has_new)
    }

    /// What a member has said of itself does not hold any more.
    pub(super) fn forget_standing(&mut self, id: MemberId) {
        self.note_standing(id, None);
    }

    /// The same, of all members.
    pub(super) fn forget_standings(&mut self) {
        for way in self.ways.values_mut().flatten() {
            way.standing = None;
        }
    }

    fn note_standing(&mut self, id: MemberId, standing: Option<Standing>) {
        if let Some(Some(way)) = self.ways.get_mut(&id) {
            let is_free = |standing: Option<Standing>| standing.is_some_and(|it| it.busy == 0);
            // While it has something to do, it is asked again in pauses. So is one that is waited for though it has not,
            // since it has connections of which nothing is known: that is no news the second time.
            self.has_news |= is_free(standing) && !is_free(way.standing);
            way.standing = standing;
        }
    }

    /// A member has given back one on which a request was in progress. After the last one it is asked
    /// again at once.
    pub(super) fn count_down(&mut self, id: MemberId) {
        if let Some(Some(way)) = self.ways.get_mut(&id)
            && let Some(standing) = &mut way.standing
        {
            standing.busy = standing.busy.saturating_sub(1);
            if standing.busy == 0 {
                way.standing = None;
                self.has_news = true;
            }
        }
    }

    /// A look at those that drain is due.
    pub(super) fn call_for_a_look(&mut self) {
        self.has_news = true;
    }

    /// Whether a member has said, since this was asked last, that it is no longer busy.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Whether requests may be in progress at a member: its library says so, or has not answered yet.
    /// One that cannot be asked is not known to have any.
    pub(super) fn may_be_busy(&self, id: MemberId, channel: Option<&Channel>) -> bool {
        match self.ways.get(&id) {
            // It has said what it cannot mean, and is not asked any more.
            Some(None) => false,
            Some(Some(WayBack {
                standing: Some(standing),
                ..
            })) => standing.busy > 0,
            Some(Some(_)) | None => channel.is_some_and(Channel::takes_probes),
        }
    }

    /// The next thing that a member has sent.
    pub(super) fn receive(&mut self, id: MemberId, registration: &RegistrationEvents) -> Sent {
        let Some(Some(way)) = self.ways.get(&id) else {
            return Sent::Nothing;
        };
        // A connection that finds no free descriptor on its way would be lost.
        let Ok(spare) = way.theirs.try_clone() else {
            // It is looked at again when the worker is asked again.
            way.hear(id, false, &self.epoll);
            return Sent::Nothing;
        };
        drop(spare);
        let mut message = [0; PARKED_LEN];
        // All that came along: what is left to the kernel it would close within this call.
        let Ok((len, mut sent)) = sys::receive_all(way.ours.as_fd(), &mut message) else {
            return Sent::Nothing;
        };
        let message = message.get(..len).unwrap_or(&[]);
        let standing = Standing::decode(message);
        if let Some(Parked(passed)) = Parked::decode(message)
            && sent.len() < 2
        {
            return match sent.pop() {
                Some(socket) => Sent::Parked(socket, passed),
                None => Sent::Parks,
            };
        }
        match (Passed::decode(message), sent.pop()) {
            (None, None) if standing.is_some() => {
                self.note_standing(id, standing);
                Sent::Word
            }
            (Some(passed), Some(socket)) if sent.is_empty() => Sent::Connection(socket, passed),
            // It has found no free descriptor.
            (Some(_), None) => Sent::Word,
            (_, last) => {
                // Our library says nothing of the kind: this worker is not heard any more.
                let strays = sent.into_iter().chain(last);
                strays.for_each(|stray| registration.put_away(stray));
                self.shut(id, registration);
                Sent::Nothing
            }
        }
    }

    /// A member is no more.
    pub(super) fn forget(&mut self, id: MemberId, registration: &RegistrationEvents) {
        self.shut(id, registration);
        self.ways.remove(&id);
    }

    /// Takes nothing more from a member, nor asks it for anything.
    fn shut(&mut self, id: MemberId, registration: &RegistrationEvents) {
        let way = self.ways.get_mut(&id).and_then(Option::take);
        if let Some(WayBack { ours, theirs, .. }) = way {
            let _ = epoll::delete(&*self.epoll, &ours);
            registration.put_away(ours);
            registration.put_away(theirs);
        }
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
