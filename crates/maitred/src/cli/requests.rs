//! What concerns requests, where each is placed by itself: `--per request`.

use std::num::NonZeroUsize;
use std::time::Duration;

use balance::{RequestPolicy, RequestSettings};
use clap::{Args, ValueEnum};
use http::{Network, Networks};

use crate::proxy::Settings;

/// What is placed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Per {
    /// Each connection, with all that comes over it: any protocol, nothing in between.
    Connection,
    /// Each HTTP request; maitred keeps the clients' connections.
    Request,
}

/// What may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Retry {
    /// Nothing that a copy may have read.
    None,
    /// Requests that change nothing and have no body, once each.
    Idempotent,
}

/// The flags of `maitred run` that go with `--per request`.
#[derive(Debug, Args)]
pub(super) struct Requests {
    /// What is given to a copy: whole connections, or each HTTP request by itself.
    #[arg(long, value_name = "WHAT", default_value = "connection")]
    pub(super) per: Per,

    /// With --per request: how many requests a copy may have in progress; more wait.
    #[arg(long, value_name = "N")]
    max_concurrency: Option<NonZeroUsize>,

    /// With --per request: what is sent to another copy when one fails.
    #[arg(long, value_name = "WHAT", default_value = "none")]
    retry: Retry,

    /// With --per request: a balancer before this one, whose X-Forwarded fields are believed: an
    /// address or a network, as 10.0.0.0/8. Repeatable.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    trust_proxy: Vec<Network>,

    /// With --per request: every connection begins with a PROXY header (version 1 or 2).
    #[arg(long)]
    proxy_protocol: bool,

    /// With --per request: a field of this name in each response tells which copy gave it.
    #[arg(long, value_name = "NAME", value_parser = field_name)]
    instance_header: Option<String>,

    /// With --per request: the largest body of a request, in bytes; 0 for any.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    max_body: u64,

    /// With --per request: how long a copy may take to begin its response, in milliseconds; 0 for
    /// ever.
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    response_timeout: u64,

    /// With --per request: how long a request's head may take to arrive, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    header_timeout: u64,

    /// With --per request: how long a connection may be idle between requests, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 75_000)]
    idle_timeout: u64,
}

/// A request's head may have so many bytes.
const HEAD: usize = 32 * 1024;

/// How many clients may be connected at once, if descriptors allow.
const CLIENTS: usize = 100_000;

/// How long a client may send or take nothing in the middle of a message.
const STALL: Duration = Duration::from_secs(60);

impl Requests {
    /// What the proxy is to do; none if connections are placed.
    pub(super) fn resolve(
        &self,
        policy: RequestPolicy,
        queue: usize,
        patience: u64,
    ) -> Option<Settings> {
        (self.per == Per::Request).then(|| Settings {
            balance: RequestSettings {
                policy,
                max_concurrency: self.max_concurrency.map_or(usize::MAX, NonZeroUsize::get),
                queue,
                patience,
            },
            trusted: Networks(self.trust_proxy.clone()),
            proxy_protocol: self.proxy_protocol,
            instance_header: self.instance_header.clone(),
            retry_idempotent: self.retry == Retry::Idempotent,
            max_clients: CLIENTS,
            head: HEAD,
            body: self.max_body,
            head_time: Duration::from_millis(self.header_timeout),
            idle_time: Duration::from_millis(self.idle_timeout),
            stall_time: STALL,
            answer_time: Duration::from_millis(self.response_timeout),
        })
    }
}

/// A field's name is a token.
fn field_name(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("a header field's name has letters, digits and hyphens".to_owned())
    }
}
