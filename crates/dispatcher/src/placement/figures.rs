//! What was counted of connections or requests at a listener.

use std::collections::BTreeMap;

use balance::{ConnectionFigures, IdMap, MemberId};
use telemetry::figures::{RequestFigures, WorkerRequests};

use super::Placement;
use super::terms::Waiting;
use crate::ids::ListenerId;
use telemetry::ids::Place;

impl Placement {
    /// What was counted of connections that wait at a listener.
    pub(crate) fn waiting_connections(&self, listener: ListenerId) -> Waiting {
        match self {
            Self::Connections(connections) => connections.waiting(listener),
            Self::Requests(_) => Waiting::default(),
        }
    }

    /// What was counted of the connections of each member at a listener.
    pub(crate) fn member_figures(
        &self,
        listener: ListenerId,
    ) -> BTreeMap<MemberId, ConnectionFigures> {
        match self {
            Self::Connections(connections) => connections.member_figures(listener),
            Self::Requests(_) => BTreeMap::new(),
        }
    }

    /// What was counted of requests at a listener.
    pub(crate) fn request_figures(&self, listener: ListenerId) -> Option<RequestFigures> {
        match self {
            Self::Connections(_) => None,
            Self::Requests(requests) => requests.proxy.figures(listener.0),
        }
    }

    /// What was counted of the requests of each worker at a listener, by their places.
    pub(crate) fn worker_requests(&self, at: ListenerId) -> Option<IdMap<Place, WorkerRequests>> {
        match self {
            Self::Connections(_) => None,
            Self::Requests(requests) => Some(requests.proxy.workers(at.0)),
        }
    }
}
