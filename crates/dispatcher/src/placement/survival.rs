//! What a placement takes over from another supervisor, and what it leaves to one.

use std::io;
use std::os::fd::OwnedFd;

use balance::MemberId;

use super::Placement;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::ids::ListenerId;
use crate::workers::Workers;

impl Placement {
    /// Whether connections go to workers, and not requests.
    pub(crate) fn places_connections(&self) -> bool {
        matches!(self, Self::Connections(_))
    }

    /// A connection that an earlier supervisor had accepted waits for a worker.
    pub(crate) fn resume(
        &mut self,
        listener: ListenerId,
        connection: Connection,
        number: u64,
        clock: Clock,
        workers: &mut Workers,
    ) {
        if let Self::Connections(connections) = self {
            connections.resume(listener, connection, number, clock, workers);
        }
    }

    /// The two ends of the way by which a member gives connections back.
    pub(crate) fn way_back(&self, member: MemberId) -> Option<(i32, i32)> {
        match self {
            Self::Connections(connections) => connections.ways_back().ends(member),
            Self::Requests(_) => None,
        }
    }

    /// Takes over such a way.
    pub(crate) fn restore_way_back(&mut self, member: MemberId, ours: OwnedFd, theirs: OwnedFd) {
        if let Self::Connections(connections) = self {
            connections.ways_back_mut().restore(member, ours, theirs);
        }
    }

    /// Goes on with the clients of the placement at the other end of this socket.
    pub(crate) fn follow(&mut self, predecessor: OwnedFd) -> io::Result<()> {
        match self {
            Self::Connections(_) => Ok(()),
            Self::Requests(requests) => requests.proxy.follow(predecessor),
        }
    }

    /// Another placement goes on with all workers, and with the clients as they can move.
    pub(crate) fn hand_over(&mut self, successor: OwnedFd, workers: &mut Workers) {
        match self {
            Self::Connections(connections) => connections.hand_over(),
            Self::Requests(requests) => requests.proxy.hand_over(successor, workers),
        }
    }

    /// Whether nothing is left to do after [`Self::hand_over`].
    pub(crate) fn has_handed_over(&self) -> bool {
        match self {
            Self::Connections(_) => true,
            Self::Requests(requests) => requests.proxy.has_handed_over(),
        }
    }

    /// The time for it is over: what is left is closed.
    pub(crate) fn cut(&mut self) {
        match self {
            Self::Connections(_) => {}
            Self::Requests(requests) => requests.proxy.cut(),
        }
    }

    /// Whether there are new ways back since this was asked last.
    pub(crate) fn takes_new_ways(&mut self) -> bool {
        match self {
            Self::Connections(connections) => connections.ways_back_mut().take_new(),
            Self::Requests(_) => false,
        }
    }
}
