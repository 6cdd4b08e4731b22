//! What was counted of listeners and workers, for whoever shows it.

use serde::{Deserialize, Serialize};

/// One listening address. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListenerFigures {
    pub(crate) address: String,
    /// Connections accepted so far.
    pub(crate) accepted: u64,
    /// Connections that wait in the queue now, and how long the first of them does.
    pub(crate) waiting: usize,
    pub(crate) waiting_for: u64,
    /// How long connections waited, of those that had to.
    pub(crate) waited: WaitFigures,
    /// Connections that were closed unserved.
    pub(crate) refused: u64,
    /// What was counted of requests, where each is placed by itself.
    #[serde(default)]
    pub(crate) requests: Option<RequestFigures>,
    /// The workers behind it, those that have ended among them.
    pub(crate) workers: Vec<WorkerFigures>,
}

/// Requests at a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestFigures {
    /// All requests, those that could not be understood among them: as many as are in progress
    /// or wait, and those that ended in one of the ways below.
    pub(crate) total: u64,
    /// Responses that were passed on whole.
    pub(crate) answered: u64,
    /// Upgraded connections that have ended.
    #[serde(default)]
    pub(crate) upgraded: u64,
    /// Requests whose client went before its response was complete.
    #[serde(default)]
    pub(crate) aborted: u64,
    /// Requests that were sent to a second worker.
    pub(crate) retried: u64,
    /// Requests that wait for a worker now.
    pub(crate) waiting: usize,
    /// Requests that are with workers now.
    pub(crate) in_progress: usize,
    /// What was refused, or failed, by the status that its client was told.
    pub(crate) failed: std::collections::BTreeMap<u16, u64>,
}

/// How long connections waited in the queue. Times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WaitFigures {
    pub(crate) count: u64,
    pub(crate) mean: u64,
    pub(crate) p99: u64,
    pub(crate) longest: u64,
    /// A histogram: step `n` counts those that waited less than `2^n` microseconds, and not less
    /// than half of that.
    pub(crate) steps: Vec<u64>,
}

/// One worker behind a listener; what was counted of those that had its place before is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerFigures {
    pub(crate) instance: u32,
    /// Tells apart several workers of one instance.
    pub(crate) ordinal: u32,
    /// None while no process has this place.
    pub(crate) pid: Option<i32>,
    /// Connections sent, less those taken back.
    pub(crate) dispatched: u64,
    /// Connections that are open now.
    pub(crate) open: usize,
    /// Connections that were sent and not yet taken.
    pub(crate) untaken: usize,
    /// Connections that were taken back, and given to others.
    pub(crate) taken_back: u64,
    /// What was counted of requests, where each is placed by itself.
    #[serde(default)]
    pub(crate) requests: Option<WorkerRequests>,
    pub(crate) seen_by: LoopSeenBy,
}

/// One worker's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerRequests {
    /// All that it was given, and that did not go to another one untaken.
    pub(crate) total: u64,
    /// Those that it has now.
    pub(crate) in_progress: u64,
    /// Those that it did not answer, not in time, or not as HTTP wants it.
    pub(crate) failed: u64,
}

/// What tells whether a worker's loop is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoopSeenBy {
    /// The kernel shows in what call it waits.
    Kernel,
    /// What it has taken of what it was sent.
    Taken,
    /// There is no worker.
    Nobody,
}
