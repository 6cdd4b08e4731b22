//! What a proxy is to do.

use std::time::Duration;

use balance::RequestSettings;
use http::Networks;

use super::tls::Files;
use crate::access;

/// What a proxy is to do. Times of zero mean "for ever", sizes of zero "any".
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How to choose, and how much may wait.
    pub(crate) balance: RequestSettings,
    /// Balancers before us, whose words about clients are believed.
    pub(crate) trusted: Networks,
    /// Every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Certificates and keys; none for clear text.
    pub(crate) tls: Vec<Files>,
    /// The name of a response field that tells the instance.
    pub(crate) instance_header: Option<String>,
    /// Requests that change nothing go to another worker when one fails.
    pub(crate) retry_idempotent: bool,
    /// How many connections of clients there may be.
    pub(crate) max_clients: usize,
    /// How many requests of one client may be in progress.
    pub(crate) client_limit: usize,
    /// Where each request is noted when it is over.
    pub(crate) access: Option<access::Queue>,
    /// Bytes of a request's head.
    pub(crate) head: usize,
    /// Fields of a request's head.
    pub(crate) fields: usize,
    /// Bytes of a request's body.
    pub(crate) body: u64,
    /// How long a request's head may take to arrive.
    pub(crate) head_time: Duration,
    /// How long a connection may be idle between requests.
    pub(crate) idle_time: Duration,
    /// How long a client may send or take nothing while it should.
    pub(crate) stall_time: Duration,
    /// How long a worker may take to begin its response.
    pub(crate) answer_time: Duration,
    /// A client that has closed its sending side has not left.
    pub(crate) half_closed: bool,
}
