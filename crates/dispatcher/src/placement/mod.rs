//! Placement: what accepted connections become. Either each connection goes to a worker, or clients
//! stay with the proxy and each of their requests does.
//!
//! The event loop and all that concerns listeners and workers use both in the same way, and do not ask
//! which one it is.

mod connections;
mod evening;
mod failure_log;
mod figures;
mod promised;
mod requests;
mod survival;
mod terms;
mod way_back;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use balance::{ConnectionFigures, MemberId, Nanos};
use rustix::event::epoll;

use crate::clock::Clock;
use crate::counts::Need;
use crate::ids::ListenerId;
use crate::listeners::{Listener, Listeners};
use crate::members::Members;
use crate::notices::Notices;
use crate::registration_events::RegistrationEvents;
use crate::workers::Workers;
use connections::Connections;
use requests::Requests;
use telemetry::ids::Place;

/// A request that a worker which drains has to answer.
pub(super) use proxy::Awaited;
pub(super) use terms::{Arrived, Returned, Room};

/// Connections or requests, and the workers that they go to.
#[derive(Debug)]
pub(super) enum Placement {
    Connections(Connections),
    Requests(Box<Requests>),
}

impl Placement {
    /// Of connections; descriptors from this number on are left to take back what workers do not take.
    pub(super) fn of_connections(
        settings: balance::ConnectionSettings,
        keep_alive: Option<Duration>,
        epoll: Arc<OwnedFd>,
        descriptors: i32,
    ) -> Self {
        Self::Connections(Connections::new(settings, keep_alive, epoll, descriptors))
    }

    /// Of requests, which are counted from `first` on.
    ///
    /// # Errors
    /// If a certificate cannot be used.
    pub(super) fn of_requests(
        settings: proxy::Settings,
        epoll: Arc<OwnedFd>,
        first: u64,
    ) -> io::Result<Self> {
        let requests = Requests::new(settings, epoll, first)?;
        Ok(Self::Requests(Box::new(requests)))
    }

    /// How much depends on the counts of open connections.
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Connections(connections) => connections.need(),
            // Requests are counted by themselves.
            Self::Requests(_) => Need::Figures,
        }
    }

    /// A listener has been opened.
    pub(super) fn open(&mut self, id: ListenerId, listener: &Listener) {
        match self {
            Self::Connections(connections) => connections.open(id),
            Self::Requests(requests) => requests.open(id, listener),
        }
    }

    /// A listener is no more: what waits there is refused.
    pub(super) fn close(&mut self, listener: ListenerId) {
        match self {
            Self::Connections(connections) => connections.close(listener),
            Self::Requests(requests) => requests.proxy.shut(listener.0),
        }
    }

    /// The app stops: what has been accepted is still served.
    pub(super) fn close_all(&mut self) {
        match self {
            Self::Connections(connections) => connections.close_parked(),
            Self::Requests(requests) => requests.proxy.close(),
        }
    }

    /// After [`Self::close_all`]: the app does not stop after all, or starts again.
    pub(super) fn reopen(&mut self) {
        match self {
            Self::Connections(connections) => connections.reopen(),
            Self::Requests(requests) => requests.proxy.reopen(),
        }
    }

    /// A worker listens.
    pub(super) fn join(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        place: Place,
        workers: &mut Workers,
    ) {
        match self {
            Self::Connections(it) => it.join(now, listener, member, place, workers),
            Self::Requests(it) => it.join(listener, member, place, workers),
        }
    }

    /// Sets whether a worker is well. An unwell one gets nothing while another one is well.
    pub(super) fn set_well(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        well: bool,
        workers: &mut Workers,
    ) {
        match self {
            Self::Connections(connections) => {
                connections.set_well(now, listener, member, well, workers);
            }
            Self::Requests(requests) => requests.proxy.set_well(member, well, workers),
        }
    }

    /// A worker listens no more: what it has not taken goes to others. What was counted of it comes
    /// back.
    pub(super) fn leave(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        workers: &mut Workers,
    ) -> ConnectionFigures {
        match self {
            Self::Connections(connections) => connections.leave(now, listener, member, workers),
            Self::Requests(requests) => {
                requests.proxy.leave(member, workers);
                ConnectionFigures::default()
            }
        }
    }

    /// A worker has taken something: its loop has turned.
    pub(super) fn turned(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        member: MemberId,
        workers: &mut Workers,
    ) {
        match self {
            Self::Connections(connections) => connections.turned(now, listener, member, workers),
            Self::Requests(requests) => requests.proxy.turned(member, workers),
        }
    }

    /// Before connections are accepted: how many descriptors they and what they need may have.
    pub(super) fn divide_descriptors(&mut self) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) => requests.divide_descriptors(),
        }
    }

    /// Whether another connection may be accepted at a listener. Where clients are connected for
    /// longer than they need to be, one may have to make room for it.
    pub(super) fn make_room(&mut self, listener: ListenerId) -> Room {
        match self {
            Self::Connections(connections) if connections.has_room(listener) => Room::Free,
            Self::Connections(_) => Room::Full,
            Self::Requests(requests) => requests.make_room(),
        }
    }

    /// The same, and none has to.
    pub(super) fn has_room(&self, listener: ListenerId) -> bool {
        match self {
            Self::Connections(connections) => connections.has_room(listener),
            Self::Requests(requests) => requests.proxy.has_room(),
        }
    }

    /// Clients wait for a place that others have.
    pub(super) fn press(&mut self) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) => requests.proxy.press(true),
        }
    }

    /// They do so no longer, if there are places.
    pub(super) fn relax(&mut self) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) if requests.proxy.has_room() => requests.proxy.press(false),
            Self::Requests(_) => {}
        }
    }

    /// A connection has been accepted.
    pub(super) fn arrive(
        &mut self,
        listener: ListenerId,
        arrived: Arrived<'_>,
        clock: Clock,
        workers: &mut Workers,
    ) {
        match self {
            Self::Connections(connections) => connections.arrive(listener, arrived, clock, workers),
            Self::Requests(requests) => requests.arrive(listener, arrived),
        }
    }

    /// Whether this descriptor, the lowest that was free, leaves too few. Those that requests need
    /// are divided beforehand.
    pub(super) fn leaves_few(&self, lowest: &OwnedFd) -> bool {
        match self {
            Self::Connections(connections) => connections.leaves_few(lowest),
            Self::Requests(_) => false,
        }
    }

    /// Whether connections that wait for a worker have left too few descriptors.
    pub(super) fn lacks_descriptors(&self, copied: &OwnedFd) -> bool {
        match self {
            Self::Connections(connections) => connections.lacks_descriptors(copied),
            Self::Requests(_) => false,
        }
    }

    /// How many connections or requests wait for a worker at a listener.
    pub(super) fn waiting(&self, listener: ListenerId) -> usize {
        match self {
            Self::Connections(connections) => connections.waiting(listener).connections,
            Self::Requests(requests) => requests.proxy.waiting(listener.0),
        }
    }

    /// Whether clients have connected to a listener a moment ago, and not asked for anything yet. Where
    /// connections are placed, only of those that members have given back since the app began to stop.
    pub(super) fn awaits_first_requests(&self, listener: ListenerId) -> bool {
        match self {
            Self::Connections(connections) => connections.awaits_first_requests(listener),
            Self::Requests(requests) => requests.proxy.awaits_requests(listener.0),
        }
    }

    /// When [`Self::tick`] or [`Self::end_turn`] is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        match self {
            Self::Connections(connections) => connections.deadline(),
            Self::Requests(requests) => requests.deadline(),
        }
    }

    /// A turn of the event loop begins.
    pub(super) fn begin_turn(&mut self, now: Nanos, events: &[epoll::Event]) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) => requests.begin_turn(now, events),
        }
    }

    /// Something has happened on a connection of the proxy's.
    pub(super) fn proxy_event(
        &mut self,
        number: u64,
        flags: epoll::EventFlags,
        workers: &mut Workers,
    ) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) => requests.proxy.handle_event(number, flags, workers),
        }
    }

    /// Does what time has brought to what waits. Tells when connections were refused.
    pub(super) fn tick(
        &mut self,
        now: Nanos,
        workers: &mut Workers,
        listeners: &Listeners,
        notices: &Notices,
    ) {
        match self {
            Self::Connections(connections) => connections.tick(now, workers, listeners, notices),
            // It does so when the turn ends.
            Self::Requests(_) => {}
        }
    }

    /// A turn of the event loop ends: sends what was gathered in it, and tells what went wrong.
    pub(super) fn end_turn(
        &mut self,
        clock: Clock,
        workers: &mut Workers,
        listeners: &Listeners,
        members: &Members,
        notices: &mut Notices,
    ) {
        match self {
            Self::Connections(connections) => {
                connections.count_ends(clock, workers, members, notices);
            }
            Self::Requests(requests) => {
                requests.end_turn(clock, workers, listeners, members, notices);
            }
        }
    }

    /// How many connections are accepted from one listener before others have their turn.
    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Connections(_) => 64,
            // The requests of clients who are there already wait meanwhile: for a millisecond, with 64.
            Self::Requests(_) => 8,
        }
    }

    /// How long the event loop pauses before it takes the next lot.
    pub(super) fn pause(&mut self, now: Nanos) -> Option<Duration> {
        match self {
            Self::Connections(connections) => connections.pause(now),
            Self::Requests(_) => None,
        }
    }

    /// Whether some of these members, which drain, still have work; asks them for idle connections. With
    /// `opaque`, connections of unknown state count as work. `awaited`: a request that one had to answer.
    pub(super) fn is_busy(
        &mut self,
        members: &[MemberId],
        opaque: bool,
        awaited: &mut Option<Awaited>,
        all: &Members,
        workers: &mut Workers,
    ) -> bool {
        match self {
            Self::Connections(connections) => {
                let mut is_busy = false;
                for member in members {
                    let at = all.listener_of(*member);
                    is_busy |= connections.is_busy(*member, at, opaque, workers);
                }
                is_busy
            }
            Self::Requests(requests) => {
                *awaited = requests.proxy.awaited(members, opaque, *awaited);
                awaited.is_some()
            }
        }
    }

    /// Whether a look at workers that drain costs so much that the next one comes later.
    pub(super) fn looks_are_dear(&self) -> bool {
        matches!(self, Self::Connections(_))
    }

    /// Whether something has changed since this was asked last for which workers that drain are to
    /// be looked at.
    pub(super) fn calls_for_a_look(&mut self) -> bool {
        match self {
            Self::Connections(connections) => connections.calls_for_a_look(),
            Self::Requests(_) => false,
        }
    }

    /// What a member has said of itself does not hold any more.
    pub(super) fn forget_standing(&mut self, member: MemberId) {
        match self {
            Self::Connections(connections) => connections.forget_standing(member),
            Self::Requests(_) => {}
        }
    }

    /// A member has given connections back: others get them. Whether there may be more.
    pub(super) fn take_given_back(
        &mut self,
        returned: Returned,
        clock: Clock,
        workers: &mut Workers,
        registration: &RegistrationEvents,
    ) -> bool {
        match self {
            Self::Connections(connections) => {
                connections.take_given_back(returned, clock, workers, registration)
            }
            // The proxy has the connections: a worker has none to give back.
            Self::Requests(_) => false,
        }
    }

    /// A member is asked for nothing any more.
    pub(super) fn forget(&mut self, member: MemberId, registration: &RegistrationEvents) {
        match self {
            Self::Connections(connections) => connections.forget(member, registration),
            Self::Requests(_) => {}
        }
    }
}
