//! What connections do with those that are parked, or await their first request.

use std::os::fd::AsFd;

use balance::{Client, IdMap, MemberId, Nanos};
use rustix::event::epoll;

use super::super::promised::Promised;
use super::parked::Woken;
use super::{Connections, Placement, Queue};
use crate::address::client;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::ids::ListenerId;
use crate::workers::Workers;

impl Connections {
    /// The app stops: what is parked is closed.
    pub(in crate::placement) fn close_parked(&mut self) {
        self.parked.close_all();
    }

    /// It does not after all, or starts again.
    pub(in crate::placement) fn reopen(&mut self) {
        self.parked.reopen();
    }

    /// Another process goes on: this one closes its copies of ways back and of what is parked.
    pub(in crate::placement) fn hand_over(&mut self) {
        self.ways_back.hand_over();
        self.parked.hand_over();
    }

    /// Does what time has brought to what is parked, and places what was held for want of room.
    pub(super) fn tick_parked(&mut self, now: Nanos, workers: &mut Workers) {
        self.parked.expire(now);
        for member in self.parked.due_to_be_told(now) {
            if let Some(channel) = workers.channels.get_mut(&member) {
                self.ways_back.have_park(member, channel);
            }
        }
        while let Some(woken) = {
            let has_room = has_room(&self.queues, &self.promised);
            self.parked.next_held(has_room)
        } {
            self.place_woken(now, woken, workers);
        }
    }

    fn parked_event(
        &mut self,
        number: u64,
        flags: epoll::EventFlags,
        now: Nanos,
        workers: &mut Workers,
    ) {
        let has_room = has_room(&self.queues, &self.promised);
        if let Some(woken) = self.parked.event(number, flags, has_room) {
            self.place_woken(now, woken, workers);
        }
    }

    /// A client goes on: its connection is placed like a new one.
    fn place_woken(&mut self, now: Nanos, woken: Woken, workers: &mut Workers) {
        if let Some(queue) = self.queues.get_mut(&woken.listener) {
            let Woken {
                connection, client, ..
            } = woken;
            queue.balancer.arrive(now, client, connection, workers);
        }
    }

    /// One that an earlier supervisor has had.
    pub(in crate::placement) fn resume(
        &mut self,
        listener: ListenerId,
        connection: Connection,
        number: u64,
        clock: Clock,
        workers: &mut Workers,
    ) {
        let Some(queue) = self.queues.get_mut(&listener) else {
            return;
        };
        let Ok(peer) = sys::peer_address(connection.socket.as_fd()) else {
            return;
        };
        let client = client(peer.as_bytes(), number);
        let unread = rustix::io::ioctl_fionread(&connection.socket).is_ok_and(|bytes| bytes > 0);
        let now = clock.now();
        match connection.is_new() || unread {
            true => queue.balancer.arrive(now, client, connection, workers),
            false => self.keep_idle(now, listener, connection, client, workers),
        }
    }

    /// Parks an idle connection, or gives it to a worker where none are parked. A worker closes one that
    /// it has got without a request at another time, and not without a word (Node answers 408).
    pub(super) fn keep_idle(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        connection: Connection,
        client: Client,
        workers: &mut Workers,
    ) {
        let parked = &mut self.parked;
        if let Some(connection) = parked.park(now, listener, connection, client, false)
            && let Some(queue) = self.queues.get_mut(&listener)
        {
            queue.balancer.arrive_idle(now, client, connection, workers);
        }
    }

    /// Whether clients of a listener are about to send their first requests.
    pub(in crate::placement) fn awaits_first_requests(&self, listener: ListenerId) -> bool {
        self.parked.awaits(listener)
    }

    /// A member has said that it parks.
    pub(super) fn parks(&mut self, member: MemberId) {
        self.parked.forget(member);
    }
}

/// Whether there is room in the queue of a listener.
fn has_room(queues: &IdMap<ListenerId, Queue>, promised: &Promised) -> impl Fn(ListenerId) -> bool {
    |id| {
        let queue = queues.get(&id);
        queue.is_some_and(|queue| queue.balancer.room() > promised.of(id))
    }
}

impl Placement {
    /// The client of a parked connection says something, or leaves.
    pub(crate) fn parked_event(
        &mut self,
        number: u64,
        flags: epoll::EventFlags,
        clock: Clock,
        workers: &mut Workers,
    ) {
        if let Self::Connections(connections) = self {
            connections.parked_event(number, flags, clock.now(), workers);
        }
    }

    /// Descriptors run short: closes some of the parked connections that have been idle for longest. Whether there
    /// were any.
    pub(crate) fn sheds_parked(&mut self) -> bool {
        match self {
            Self::Connections(connections) => connections.parked.shed(),
            Self::Requests(_) => false,
        }
    }
}
