//! Passing on: a request's body to the worker, its response to the client, and what a tunnel carries
//! both ways. Nothing is read for a side that has not taken what came before.

pub(crate) mod body;
pub(crate) mod request;
pub(crate) mod response;
mod response_head;
pub(crate) mod tunnel;

use http1::Refusal;
use telemetry::figures::Foreign;

/// What a step of passing on has come to.
pub(crate) enum Passed {
    /// Something went on.
    On,
    /// Nothing can, for now.
    Nothing,
    /// The request cannot be completed.
    Failed(Refusal, Option<&'static str>),
    /// A side is gone, or has had all that it can have.
    Gone,
    /// The worker has ended the connection before its response.
    NoAnswer,
    /// It speaks something else.
    Foreign(Foreign),
    /// The response is complete.
    Complete,
    /// The connection is a tunnel now.
    Upgraded,
}

/// The response is not one that can be passed on.
fn malformed(detail: &'static str) -> Passed {
    Passed::Failed(Refusal::BadWorker(detail), None)
}
