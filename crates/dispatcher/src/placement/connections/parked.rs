//! Parked connections: their programs have closed them between two requests, and they stay open here until
//! their clients say something, or leave, or have been idle for too long.
//!
//! A server that closes an idle connection cannot know that the next request is on its way, and that request is
//! lost. Nothing has told the client of the end, so it may use the connection (RFC 9112, section 9.3): what
//! it sends goes to a worker like what comes over a new one.
//!
//! A worker gives such connections back only when it has been told so, over a way of its own (`way_back`).

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use balance::{Client, IdMap, MemberId, Nanos};
use rustix::event::epoll;

use crate::connection::Connection;
use crate::ids::ListenerId;
use crate::token::Token;

/// [`wire::FIRST_REQUEST`] in nanoseconds.
const FIRST_REQUEST: Nanos = wire::FIRST_REQUEST.as_nanos() as Nanos;

/// How many of the longest idle are closed where descriptors run short.
const BATCH: usize = 64;

/// A member that has not answered is told again to park: the first and the longest pause, and how many times.
const SOON: Nanos = 10_000_000;
const LATE: Nanos = 10_000_000_000;
const TIMES: u32 = 100;

/// One parked connection.
#[derive(Debug)]
struct One {
    listener: ListenerId,
    connection: Connection,
    /// When it is closed.
    until: Nanos,
    /// The app stops, and this one has had no request yet.
    is_new: bool,
    /// Tells its client from others.
    client: Client,
}

/// What has become of a parked connection.
#[derive(Debug)]
pub(super) struct Woken {
    pub(super) listener: ListenerId,
    pub(super) connection: Connection,
    pub(super) client: Client,
}

/// A member that has not said yet that it parks.
#[derive(Clone, Copy, Debug)]
struct Untold {
    at: Nanos,
    pause: Nanos,
    left: u32,
}

/// All that are parked.
#[derive(Debug)]
pub(super) struct Parked {
    epoll: Arc<OwnedFd>,
    /// How long a connection may be idle; `None` where nothing is parked.
    timeout: Option<Nanos>,
    /// How many may be parked.
    most: usize,
    all: IdMap<u64, One>,
    /// By the time at which they are closed.
    order: BTreeSet<(Nanos, u64)>,
    /// Their clients have sent something, and there was no room in the queue.
    held: VecDeque<u64>,
    next: u64,
    untold: IdMap<MemberId, Untold>,
    /// The app stops: nothing is parked.
    closed: bool,
}

impl Parked {
    /// None yet. Of the descriptors that connections may have, they get half.
    pub(super) fn new(epoll: Arc<OwnedFd>, timeout: Option<Duration>, descriptors: i32) -> Self {
        let nanos = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX);
        Self {
            epoll,
            timeout: timeout.map(nanos),
            most: usize::try_from(descriptors / 2).unwrap_or(0),
            all: IdMap::default(),
            order: BTreeSet::new(),
            held: VecDeque::new(),
            next: 0,
            untold: IdMap::default(),
            closed: false,
        }
    }

    /// Whether connections are parked at all, and the app does not stop.
    pub(super) fn is_on(&self) -> bool {
        self.timeout.is_some() && !self.closed
    }

    /// How many are parked at a listener.
    pub(super) fn count(&self, listener: ListenerId) -> usize {
        let all = self.all.values();
        all.filter(|one| one.listener == listener).count()
    }

    /// Parks a connection. It comes back if it has been idle for too long, or as many are parked as may be; with
    /// `makes_room`, the one that has been idle for longest leaves instead.
    pub(super) fn park(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        connection: Connection,
        client: Client,
        makes_room: bool,
    ) -> Option<Connection> {
        let Some(timeout) = self.timeout.filter(|_| !self.closed && self.most > 0) else {
            return Some(connection);
        };
        let left = timeout.saturating_sub(idle_for(&connection.socket));
        if left == 0 {
            return Some(connection);
        }
        if self.all.len() >= self.most && !(makes_room && self.close_longest_idle()) {
            return Some(connection);
        }
        self.keep(One {
            listener,
            connection,
            until: now.saturating_add(left),
            is_new: false,
            client,
        })
    }

    /// The app stops, and this connection has had no request yet: it is kept for a moment, in which that one may
    /// arrive. It comes back if as many are parked as may be.
    pub(super) fn await_first(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        connection: Connection,
        client: Client,
    ) -> Option<Connection> {
        if self.all.len() >= self.most {
            return Some(connection);
        }
        self.keep(One {
            listener,
            connection,
            until: now.saturating_add(FIRST_REQUEST),
            is_new: true,
            client,
        })
    }

    /// Whether first requests are awaited at a listener.
    pub(super) fn awaits(&self, listener: ListenerId) -> bool {
        let mut all = self.all.values();
        all.any(|one| one.is_new && one.listener == listener)
    }

    fn keep(&mut self, one: One) -> Option<Connection> {
        let number = self.next;
        self.next += 1;
        let data = Token::Parked(number).data();
        if epoll::add(
            &*self.epoll,
            &one.connection.socket,
            data,
            epoll::EventFlags::IN,
        )
        .is_err()
        {
            return Some(one.connection);
        }
        self.order.insert((one.until, number));
        self.all.insert(number, one);
        None
    }

    /// Something has happened on a parked connection: if its client has sent something, it is a connection as
    /// others. With `has_room` asks whether the queue of a listener has room; if not, it is held.
    pub(super) fn event(
        &mut self,
        number: u64,
        flags: epoll::EventFlags,
        has_room: impl Fn(ListenerId) -> bool,
    ) -> Option<Woken> {
        let one = self.all.get(&number)?;
        if flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP)
            || !has_unread(&one.connection)
        {
            drop(self.take(number));
            return None;
        }
        if has_room(one.listener) {
            return self.take(number);
        }
        let data = Token::Parked(number).data();
        let nothing = epoll::EventFlags::empty();
        // Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::modify(&*self.epoll, &one.connection.socket, data, nothing);
        if !self.held.contains(&number) {
            self.held.push_back(number);
        }
        None
    }

    /// The next one that was held, if there is room for it now.
    pub(super) fn next_held(&mut self, has_room: impl Fn(ListenerId) -> bool) -> Option<Woken> {
        for _ in 0..self.held.len() {
            let number = self.held.pop_front()?;
            match self.all.get(&number) {
                Some(one) if has_room(one.listener) => return self.take(number),
                Some(_) => self.held.push_back(number),
                // It was closed meanwhile.
                None => {}
            }
        }
        None
    }

    /// When [`Self::expire`] is due, or a member is to be told to park.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let first = self.order.first().map(|(until, _)| *until);
        let untold = self.untold.values().map(|untold| untold.at);
        first.into_iter().chain(untold).min()
    }

    /// Closes those that have been idle for too long. One whose request has arrived just now is left to be served.
    pub(super) fn expire(&mut self, now: Nanos) {
        while let Some((until, number)) = self.order.first().copied()
            && until <= now
        {
            self.order.pop_first();
            let unread = |one: &One| has_unread(&one.connection);
            if !self.all.get(&number).is_some_and(unread) {
                drop(self.take(number));
            }
        }
    }

    /// Descriptors run short: closes some of those that have been idle for longest. Whether there were any.
    pub(super) fn shed(&mut self) -> bool {
        let mut has_closed = false;
        for _ in 0..BATCH {
            has_closed |= self.close_longest_idle();
        }
        has_closed
    }

    fn close_longest_idle(&mut self) -> bool {
        while let Some((_, number)) = self.order.pop_first() {
            // One whose request has arrived just now is left to be served.
            if !self
                .all
                .get(&number)
                .is_some_and(|one| has_unread(&one.connection))
            {
                drop(self.take(number));
                return true;
            }
        }
        false
    }

    /// A listener is no more.
    pub(super) fn close(&mut self, listener: ListenerId) {
        let all = self.all.iter();
        let its = all.filter(|(_, one)| one.listener == listener);
        let its: Vec<u64> = its.map(|(number, _)| *number).collect();
        its.into_iter().for_each(|number| drop(self.take(number)));
    }

    /// The app stops: all are closed but those whose request has arrived; these are held, to be served. First
    /// requests are still awaited.
    pub(super) fn close_all(&mut self) {
        self.closed = true;
        let old = self.all.iter().filter(|(_, one)| !one.is_new);
        let numbers: Vec<u64> = old.map(|(number, _)| *number).collect();
        for number in numbers {
            let is_held = self.event(number, epoll::EventFlags::IN, |_| false);
            debug_assert!(is_held.is_none(), "nothing is taken without room");
        }
    }

    /// Another process has all of them, too, and goes on with them.
    pub(super) fn hand_over(&mut self) {
        let numbers: Vec<u64> = self.all.keys().copied().collect();
        for number in numbers {
            drop(self.take(number));
        }
        self.held.clear();
    }

    /// It does not stop after all, or starts again.
    pub(super) fn reopen(&mut self) {
        self.closed = false;
    }

    fn take(&mut self, number: u64) -> Option<Woken> {
        let one = self.all.remove(&number)?;
        self.order.remove(&(one.until, number));
        // A worker may have a copy still, so the epoll would not forget it by itself.
        let _ = epoll::delete(&*self.epoll, &one.connection.socket);
        Some(Woken {
            listener: one.listener,
            connection: one.connection,
            client: one.client,
        })
    }

    /// A member has come, and is to be told to park.
    pub(super) fn tell(&mut self, now: Nanos, member: MemberId) {
        if self.timeout.is_some() {
            let untold = Untold {
                at: now,
                pause: SOON,
                left: TIMES,
            };
            self.untold.insert(member, untold);
        }
    }

    /// A member has said that it parks, or is no more.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.untold.remove(&member);
    }

    /// The members that are to be told now.
    pub(super) fn due_to_be_told(&mut self, now: Nanos) -> Vec<MemberId> {
        let mut due = Vec::new();
        self.untold.retain(|member, untold| {
            if untold.at <= now {
                due.push(*member);
                untold.at = now + untold.pause;
                untold.pause = (2 * untold.pause).min(LATE);
                untold.left -= 1;
            }
            untold.left > 0
        });
        due
    }
}

/// Whether its client has sent something.
fn has_unread(connection: &Connection) -> bool {
    rustix::io::ioctl_fionread(&connection.socket).is_ok_and(|bytes| bytes > 0)
}

/// How long nothing has gone over a connection, either way: by `struct tcp_info`, which counts milliseconds.
fn idle_for(socket: &OwnedFd) -> Nanos {
    const IPPROTO_TCP: i32 = 6;
    const TCP_INFO: i32 = 11;
    const SENT: usize = 44;
    const RECEIVED: usize = 52;
    let mut info = [0; RECEIVED + 4];
    let read = sys::read_option(socket.as_fd(), IPPROTO_TCP, TCP_INFO, &mut info);
    if read.ok() != Some(info.len()) {
        return 0;
    }
    let number = |at: usize| {
        let bytes = info.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from(u32::from_ne_bytes(*bytes)))
    };
    number(SENT).min(number(RECEIVED)) * 1_000_000
}

#[cfg(test)]
mod tests;
