//! What a proxy is to do.

use std::time::Duration;

use balance::RequestSettings;
use http1::Networks;

use crate::downstream::tls::Files;
use logs::access;

/// What a proxy is to do. Times of zero mean "for ever", sizes of zero "any".
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to choose, and how much may wait.
    pub balance: RequestSettings,
    /// Balancers in front, whose words about clients are believed.
    pub trusted: Networks,
    /// Every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Certificates and keys; none for clear text.
    pub tls: Vec<Files>,
    /// The name of a response field that tells the instance.
    pub instance_header: Option<String>,
    /// Requests that change nothing go to another worker when one fails.
    pub retry_idempotent: bool,
    /// How many connections of clients there may be.
    pub max_clients: usize,
    /// How many requests of one client may be in progress.
    pub client_limit: usize,
    /// Where each request is noted when it is over.
    pub access: Option<access::Queue>,
    /// Bytes of a request's head.
    pub head: usize,
    /// Fields of a request's head.
    pub fields: usize,
    /// Bytes of a request's body.
    pub body: u64,
    /// How long a request's head may take to arrive.
    pub head_time: Duration,
    /// How long a connection may be idle between requests.
    pub idle_time: Duration,
    /// How long a client may send or take nothing while it should.
    pub stall_time: Duration,
    /// How long a worker may take to begin its response.
    pub answer_time: Duration,
    /// A client that has closed its sending side has not left.
    pub half_closed: bool,
}
