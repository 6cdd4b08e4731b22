//! What a placement takes over from a killed supervisor.

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

    /// Whether there are new ways back since this was asked last.
    pub(crate) fn takes_new_ways(&mut self) -> bool {
        match self {
            Self::Connections(connections) => connections.ways_back_mut().take_new(),
            Self::Requests(_) => false,
        }
    }
}
