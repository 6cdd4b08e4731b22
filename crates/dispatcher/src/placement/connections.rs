//! Each connection goes to a worker, which has it from then on.

mod parked;
mod parking;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use balance::{
    ConnectionBalancer, ConnectionFigures, ConnectionPolicy, ConnectionSettings, IdMap, MemberId,
    Nanos,
};
use rustix::io::fcntl_dupfd_cloexec;
use wire::Passed;

use super::Placement;
use super::evening::{Evening, excess};
use super::promised::Promised;
use super::terms::{Arrived, Returned, Waiting};
use super::way_back::{Sent, WaysBack};
use crate::address::client;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::counts::Need;
use crate::endpoint::Endpoint;
use crate::ids::ListenerId;
use crate::listeners::Listeners;
use crate::members::Members;
use crate::moderation::Moderation;
use crate::notices::Notices;
use crate::registration_events::RegistrationEvents;
use crate::workers::Workers;
use parked::Parked;
use telemetry::events::Event;
use telemetry::ids::Place;

/// How many connections are taken from one member before others have their turn.
const BATCH: usize = 64;

/// The connections of one listener, and the members that they go to.
#[derive(Debug)]
struct Queue {
    balancer: ConnectionBalancer<Workers>,
    /// Refusals that have been reported.
    refused: u64,
    evening: Evening,
}

/// Balancers of connections, one for each listener.
#[derive(Debug)]
pub(crate) struct Connections {
    /// How to choose, and how much may wait.
    settings: ConnectionSettings,
    queues: IdMap<ListenerId, Queue>,
    ways_back: WaysBack,
    promised: Promised,
    parked: Box<Parked>,
    moderation: Moderation,
    /// The number of a descriptor from which on they are scarce.
    descriptors: i32,
    told_blind: bool,
}

impl Connections {
    pub(super) fn new(
        settings: ConnectionSettings,
        keep_alive: Option<Duration>,
        epoll: Arc<OwnedFd>,
        descriptors: i32,
    ) -> Self {
        Self {
            settings,
            queues: IdMap::default(),
            ways_back: WaysBack::new(epoll.clone()),
            promised: Promised::default(),
            parked: Box::new(Parked::new(epoll, keep_alive, descriptors)),
            moderation: Moderation::default(),
            descriptors,
            told_blind: false,
        }
    }

    pub(super) fn need(&self) -> Need {
        match self.settings.policy {
            _ if self.settings.max_connections.is_some() => Need::Choice,
            ConnectionPolicy::LeastConn => Need::Choice,
            ConnectionPolicy::NextAvailable => Need::Ties,
            ConnectionPolicy::RoundRobin | ConnectionPolicy::IpHash => Need::Figures,
        }
    }

    pub(super) fn open(&mut self, id: ListenerId) {
        let queue = Queue {
            balancer: ConnectionBalancer::new(self.settings),
            refused: 0,
            evening: Evening::default(),
        };
        self.queues.insert(id, queue);
    }

    pub(super) fn close(&mut self, listener: ListenerId) {
        self.queues.remove(&listener);
        self.parked.close(listener);
    }

    pub(super) fn join(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        place: Place,
        workers: &mut Workers,
    ) {
        if let Some(queue) = self.queues.get_mut(&listener) {
            let open = workers.counts.of(member).count();
            queue.balancer.join(now, member, place.key(), open, workers);
            self.parked.tell(now, member);
            // Where clients stick to their workers, connections stay.
            if self.settings.policy != ConnectionPolicy::IpHash {
                queue.evening.begin(now);
            }
        }
    }

    pub(super) fn set_well(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        well: bool,
        workers: &mut Workers,
    ) {
        if let Some(queue) = self.queues.get_mut(&listener) {
            queue.balancer.set_well(now, member, well, workers);
        }
    }

    pub(super) fn leave(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        workers: &mut Workers,
    ) -> ConnectionFigures {
        let queue = self.queues.get_mut(&listener);
        let figures = queue.and_then(|queue| queue.balancer.leave(now, member, workers));
        figures.unwrap_or_default()
    }

    pub(super) fn turned(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        workers: &mut Workers,
    ) {
        if let Some(queue) = self.queues.get_mut(&listener) {
            queue.balancer.turned(now, member, workers);
        }
    }

    pub(super) fn has_room(&self, listener: ListenerId) -> bool {
        let queue = self.queues.get(&listener);
        queue.is_some_and(|queue| queue.balancer.room() > self.promised.of(listener))
    }

    pub(super) fn arrive(
        &mut self,
        listener: ListenerId,
        arrived: Arrived<'_>,
        clock: Clock,
        workers: &mut Workers,
    ) {
        let Some(queue) = self.queues.get_mut(&listener) else {
            return;
        };
        self.moderation.count();
        let linger = arrived.listener.linger;
        let connection = Connection::new(arrived.socket, arrived.peer, linger);
        let client = client(arrived.peer, arrived.number);
        let now = clock.now();
        queue.balancer.arrive(now, client, connection, workers);
    }

    pub(super) fn ways_back(&self) -> &WaysBack {
        &self.ways_back
    }

    pub(super) fn ways_back_mut(&mut self) -> &mut WaysBack {
        &mut self.ways_back
    }

    pub(super) fn leaves_few(&self, lowest: &OwnedFd) -> bool {
        lowest.as_raw_fd() >= self.descriptors
    }

    pub(super) fn lacks_descriptors(&self, copied: &OwnedFd) -> bool {
        let leaves_few = |lowest: OwnedFd| self.leaves_few(&lowest);
        self.any_wait() && fcntl_dupfd_cloexec(copied, 0).map_or(true, leaves_few)
    }

    fn any_wait(&self) -> bool {
        let mut queues = self.queues.values();
        queues.any(|queue| queue.balancer.waiting() > 0)
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        let queues = self.queues.values();
        let deadlines =
            queues.flat_map(|queue| [queue.balancer.deadline(), queue.evening.deadline()]);
        deadlines.chain([self.parked.deadline()]).flatten().min()
    }

    pub(super) fn tick(
        &mut self,
        now: Nanos,
        workers: &mut Workers,
        listeners: &Listeners,
        notices: &Notices,
    ) {
        self.tick_parked(now, workers);
        for (id, queue) in &mut self.queues {
            // Who waits comes first.
            if queue.evening.is_due(now) && queue.balancer.waiting() == 0 {
                let room = queue.balancer.room().saturating_sub(self.promised.of(*id));
                let excess = excess(queue.balancer.members(), room);
                if excess.is_empty() {
                    queue.evening.end();
                }
                for (member, most) in excess {
                    if let Some(channel) = workers.channels.get_mut(&member) {
                        self.ways_back.ask(member, most, channel);
                    }
                }
            }
            if queue.balancer.deadline().is_none_or(|at| at > now) {
                continue;
            }
            queue.balancer.tick(now, workers);
            let total = queue.balancer.refused();
            if total > queue.refused {
                queue.refused = total;
                if let Some(listener) = listeners.all.get(id) {
                    let address = listener.address.to_string();
                    notices.tell(Event::Refused { address, total });
                }
            }
        }
    }

    /// Lets the balancers know which connections have ended.
    pub(super) fn count_ends(
        &mut self,
        clock: Clock,
        workers: &mut Workers,
        members: &Members,
        notices: &Notices,
    ) {
        let mut queues = self.queues.values();
        let urgent = queues.any(|queue| queue.balancer.waits_for_an_end());
        // An end that is noted meanwhile waits for the next turn.
        for _ in 0..workers.counts.settle(urgent) {
            let Some(id) = workers.counts.next_ended() else {
                break;
            };
            let listener = members.listener_of(id);
            if let Some(queue) = listener.and_then(|listener| self.queues.get_mut(&listener)) {
                queue.balancer.ended(clock.now(), id, workers);
            }
        }
        if workers.counts.is_blind() && !self.told_blind {
            self.told_blind = true;
            notices.tell(Event::Uncounted);
        }
    }

    /// Pauses when connections come in floods, unless some wait: then every turn counts.
    pub(super) fn pause(&mut self, now: Nanos) -> Option<Duration> {
        let pause = self.moderation.pause(now)?;
        (!self.any_wait()).then_some(pause)
    }

    pub(super) fn is_busy(
        &mut self,
        member: MemberId,
        listener: Option<ListenerId>,
        opaque: bool,
        workers: &mut Workers,
    ) -> bool {
        let has_some = workers.counts.of(member).next().is_some();
        if !has_some && !workers.counts.may_lack_some(member) {
            self.promised.forget(member);
            return false;
        }
        workers.counts.recheck(member);
        let channel = workers.channels.get_mut(&member);
        let is_busy = self.ways_back.may_be_busy(member, channel.as_deref()) || opaque && has_some;
        if !is_busy {
            self.promised.forget(member);
        } else if channel.is_some_and(|channel| channel.hears_requests()) {
            let open = workers.counts.of(member).count();
            let most = listener.map_or(0, |listener| self.promise(member, listener, open));
            if let Some(channel) = workers.channels.get_mut(&member) {
                self.ways_back.ask(member, most, channel);
            }
        }
        is_busy
    }

    /// Keeps room in the queue for what a member gives back, and says how many connections the member
    /// may be asked for. Connections that no other worker takes wait there, and each holds a descriptor.
    fn promise(&mut self, member: MemberId, listener: ListenerId, open: usize) -> u32 {
        self.promised.forget(member);
        let room = match self.queues.get(&listener) {
            Some(queue) => queue.balancer.room(),
            None => 0,
        };
        let room = room.min(self.settings.queue / 2);
        let room = room.saturating_sub(self.promised.of(listener));
        self.promised.note(member, listener, room.min(open));
        match room < open {
            true => u32::try_from(room).unwrap_or(u32::MAX),
            // All find room, also those that are not counted yet.
            false => u32::MAX,
        }
    }

    pub(super) fn calls_for_a_look(&mut self) -> bool {
        self.ways_back.take_news()
    }

    pub(super) fn forget_standing(&mut self, member: MemberId) {
        self.ways_back.forget_standing(member);
    }

    pub(super) fn take_given_back(
        &mut self,
        returned: Returned,
        clock: Clock,
        workers: &mut Workers,
        registration: &RegistrationEvents,
    ) -> bool {
        for _ in 0..BATCH {
            match self.ways_back.receive(returned.member, registration) {
                Sent::Nothing => return false,
                Sent::Word => {}
                Sent::Parks => self.parks(returned.member),
                Sent::Parked(socket, passed) => {
                    let refused = self.take_over(returned, socket, passed, true, clock, workers);
                    refused.into_iter().for_each(|it| registration.put_away(it));
                }
                Sent::Connection(socket, passed) => {
                    let refused = self.take_over(returned, socket, passed, false, clock, workers);
                    refused.into_iter().for_each(|it| registration.put_away(it));
                    self.ways_back.count_down(returned.member);
                    if self.promised.count_down(returned.member) {
                        // There may be room for more.
                        self.ways_back.call_for_a_look();
                    }
                }
            }
        }
        true
    }

    pub(super) fn forget(&mut self, member: MemberId, registration: &RegistrationEvents) {
        self.ways_back.forget(member, registration);
        self.promised.forget(member);
        self.parked.forget(member);
    }

    /// Gives a connection that a member has given back to another one, or parks it. It comes back if
    /// it is none that the member had, or is to be closed.
    fn take_over(
        &mut self,
        returned: Returned,
        socket: OwnedFd,
        passed: Passed,
        parks: bool,
        clock: Clock,
        workers: &mut Workers,
    ) -> Option<OwnedFd> {
        let listener = returned.listener?;
        let queue = self.queues.get_mut(&listener);
        let (Some(queue), Ok(peer)) = (queue, sys::peer_address(socket.as_fd())) else {
            return Some(socket);
        };
        let now = clock.now();
        let peer = peer.as_bytes();
        let endpoint = Endpoint::of(socket.as_fd(), peer);
        let (member, port) = (returned.member, returned.port);
        let is_its = |endpoint| workers.counts.given_back(endpoint, member, port);
        if !endpoint.is_some_and(is_its) {
            return Some(socket);
        }
        queue.balancer.ended(now, returned.member, workers);
        let unread = rustix::io::ioctl_fionread(&socket).is_ok_and(|bytes| bytes > 0);
        let is_new = passed == Passed::default();
        if returned.ends_for_good && !unread && !is_new {
            return Some(socket);
        }
        if returned.ends_for_good {
            // Its next request is served as what has just been accepted.
            self.ways_back.forget_standings();
        }
        let connection = Connection::given_back(socket, peer, passed);
        let client = client(peer, returned.number);
        if returned.ends_for_good && !unread {
            let refused = self.parked.await_first(now, listener, connection, client);
            return refused.map(|connection| connection.socket);
        }
        let has_room = queue.balancer.room() > self.promised.of(listener);
        if parks && (!unread || !has_room && self.parked.is_on()) {
            let refused = self.parked.park(now, listener, connection, client, true);
            return refused.map(|connection| connection.socket);
        }
        match unread {
            true => queue.balancer.arrive(now, client, connection, workers),
            false => self.keep_idle(now, listener, connection, client, workers),
        }
        None
    }

    pub(super) fn waiting(&self, listener: ListenerId) -> Waiting {
        let queue = self.queues.get(&listener);
        queue.map_or_else(Waiting::default, |Queue { balancer, .. }| Waiting {
            connections: balancer.waiting(),
            parked: self.parked.count(listener),
            oldest: balancer.oldest(),
            waits: balancer.waits(),
            refused: balancer.refused(),
        })
    }

    pub(super) fn member_figures(
        &self,
        listener: ListenerId,
    ) -> BTreeMap<MemberId, ConnectionFigures> {
        let queue = self.queues.get(&listener);
        queue.map_or_else(BTreeMap::new, |queue| queue.balancer.members().collect())
    }
}
