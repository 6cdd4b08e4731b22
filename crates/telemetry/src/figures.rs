//! What was counted of listeners and workers, for whoever shows it.

use serde::{Deserialize, Serialize};

use crate::ids::Instance;

/// One listening address. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerFigures {
    pub address: String,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections that wait in the queue now, and how long the first of them does.
    pub waiting: usize,
    pub waiting_for: u64,
    /// Connections that the app has closed between two requests, and that are held open for their next one.
    #[serde(default)]
    pub parked: usize,
    /// How long connections waited, of those that had to.
    pub waited: WaitFigures,
    /// Connections that were closed unserved.
    pub refused: u64,
    /// What was counted of requests, where each is placed by itself.
    #[serde(default)]
    pub requests: Option<RequestFigures>,
    /// The workers behind it, those that have ended among them.
    pub workers: Vec<WorkerFigures>,
}

/// Requests at a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestFigures {
    /// All requests, those that could not be understood among them: as many as are in progress
    /// or wait, and those that ended in one of the ways below.
    pub total: u64,
    /// Responses that were passed on whole.
    pub answered: u64,
    /// Upgraded connections that have ended.
    #[serde(default)]
    pub upgraded: u64,
    /// Requests whose client went before its response was complete.
    #[serde(default)]
    pub aborted: u64,
    /// Requests that were sent to a second worker.
    pub retried: u64,
    /// Requests that wait for a worker now.
    pub waiting: usize,
    /// Requests that are with workers now.
    pub in_progress: usize,
    /// What was refused, or failed, by the status that its client was told.
    pub failed: std::collections::BTreeMap<u16, u64>,
    /// Responses to clients, our own among them, by the first digit of their status, from 1.
    #[serde(default)]
    pub responses: [u64; 5],
    /// How long clients waited for a worker's response to begin, from the first byte of their request.
    #[serde(default)]
    pub first_byte: WaitFigures,
}

/// How long was waited: for a place in the queue, or for a response. Times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitFigures {
    pub count: u64,
    pub mean: u64,
    /// Their sum.
    #[serde(default)]
    pub total: u64,
    pub p99: u64,
    pub longest: u64,
    /// A histogram: step `n` counts those that waited less than `2^n` microseconds, and not less
    /// than half of that.
    pub steps: Vec<u64>,
}

impl From<balance::Waits> for WaitFigures {
    fn from(waits: balance::Waits) -> Self {
        Self {
            count: waits.count,
            mean: waits.mean(),
            total: waits.total,
            p99: waits.quantile(0.99),
            longest: waits.longest,
            steps: waits.steps.to_vec(),
        }
    }
}

/// One worker behind a listener; what was counted of those that had its place before is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerFigures {
    pub instance: Instance,
    /// Tells apart several workers of one instance.
    pub ordinal: u32,
    /// None while no process has this place.
    pub pid: Option<i32>,
    /// Connections sent, less those taken back.
    pub dispatched: u64,
    /// Connections that are open now.
    pub open: usize,
    /// Connections that were sent and not yet taken.
    pub untaken: usize,
    /// Connections that were taken back, and given to others.
    pub taken_back: u64,
    /// What was counted of requests, where each is placed by itself.
    #[serde(default)]
    pub requests: Option<WorkerRequests>,
    pub seen_by: LoopSeenBy,
}

/// One worker's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerRequests {
    /// All that it was given, and that did not go to another one untaken.
    pub total: u64,
    /// Those that it has now.
    pub in_progress: u64,
    /// Those that it did not answer, not in time, or not as HTTP wants it.
    pub failed: u64,
}

/// What is spoken at a listener whose requests are placed, where it is not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreign {
    /// A worker has answered a request in TLS.
    Tls,
    /// A worker has answered a request with something else.
    Other,
    /// A worker has spoken first: connections pass whole.
    WorkerFirst,
}

impl Foreign {
    /// What was seen, and what follows from it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tls => {
                "the app speaks TLS, and per: request needs plain HTTP: set tls_cert and tls_key \
                 instead of TLS in the app, or use per: connection"
            }
            Self::Other => {
                "the app answered a request with something that is not HTTP; per: connection \
                 passes any protocol"
            }
            Self::WorkerFirst => {
                "the app speaks before its clients do, which is not HTTP: connections pass whole, \
                 as with per: connection"
            }
        }
    }
}

/// What tells whether a worker's loop is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopSeenBy {
    /// The kernel shows in what call it waits.
    Kernel,
    /// What it has taken of what it was sent.
    Taken,
    /// There is no worker.
    Nobody,
}
