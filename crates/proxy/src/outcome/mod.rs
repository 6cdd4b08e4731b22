//! What becomes of requests, and what is reported.

pub(crate) mod account;
pub(crate) mod record;

use balance::MemberId;
use http1::Refusal;
use telemetry::figures::Foreign;

/// How many reports may wait to be fetched.
pub(crate) const REPORTS: usize = 256;

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its response was passed on whole.
    Answered,
    /// It was a tunnel, and that is over.
    Upgraded,
    /// Its client has gone before that.
    Aborted,
    /// It was refused, or its response was cut.
    Failed(Refusal),
}

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The request's number, which stands in the error that the client got.
    pub id: u64,
    pub listener: u64,
    pub member: Option<MemberId>,
    pub refusal: Refusal,
    /// What exactly was wrong with the response.
    pub detail: Option<&'static str>,
    /// The response had begun, so that only the end of the connection shows the failure.
    pub cut: bool,
}

/// What waits to be fetched by the event loop.
#[derive(Debug)]
pub(crate) struct Outcomes {
    reports: Vec<Report>,
    /// Failures beyond those.
    unreported: u64,
    /// Listeners where something else than HTTP is spoken, and which was not fetched yet.
    pub(crate) foreign: Vec<(u64, Foreign)>,
    /// What is wrong with certificates that have changed.
    pub(crate) certificate_error: Option<String>,
    last_request: u64,
}

impl Outcomes {
    /// Requests are numbered behind `first`.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            reports: Vec::new(),
            unreported: 0,
            foreign: Vec::new(),
            certificate_error: None,
            last_request: first,
        }
    }

    /// The number of the next request.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    /// A request has failed.
    pub(crate) fn report(&mut self, report: Report) {
        if self.reports.len() < REPORTS {
            self.reports.push(report);
        } else {
            self.unreported += 1;
        }
    }

    /// The requests that have failed since this was asked last, and how many more there were.
    pub(crate) fn take_reports(&mut self) -> (Vec<Report>, u64) {
        let more = std::mem::take(&mut self.unreported);
        (std::mem::take(&mut self.reports), more)
    }
}
