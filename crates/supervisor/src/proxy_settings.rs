//! What the config says of requests, in the proxy's terms.

use std::time::Duration;

use balance::{RequestPolicy, RequestSettings};

use config::{Balance, Policy, Requests};

/// How many clients may be connected at once, if descriptors allow.
const CLIENTS: usize = 100_000;
/// How long a client may send or take nothing in the middle of a message.
const STALL: Duration = Duration::from_secs(60);

/// The proxy's settings for an app.
///
/// # Errors
/// If a trusted address is none; it was one when it was resolved.
pub(super) fn proxy_settings(
    requests: &Requests,
    balance: &Balance,
) -> anyhow::Result<proxy::Settings> {
    Ok(proxy::Settings {
        balance: RequestSettings {
            policy: match balance.policy {
                Policy::NextAvailable => RequestPolicy::NextAvailable,
                Policy::RoundRobin => RequestPolicy::RoundRobin,
                Policy::LeastConn => RequestPolicy::LeastConn,
                Policy::IpHash => RequestPolicy::IpHash,
                Policy::Sticky => RequestPolicy::Sticky,
            },
            max_concurrency: most(requests.max_concurrency),
            queue: balance.queue,
            queue_timeout: u64::try_from(balance.patience.as_nanos()).unwrap_or(u64::MAX),
        },
        trusted: requests.networks()?,
        proxy_protocol: requests.proxy_protocol,
        tls: requests
            .tls
            .iter()
            .cloned()
            .map(|(certificate, key)| proxy::Files { certificate, key })
            .collect(),
        instance_header: requests.instance_header.clone(),
        retry_idempotent: requests.retry_idempotent,
        max_clients: CLIENTS,
        client_limit: most(requests.client_limit),
        access: None,
        head: requests.max_head,
        fields: requests.max_fields,
        body: requests.max_body,
        head_time: requests.header_timeout,
        idle_time: requests.idle_timeout,
        stall_time: STALL,
        answer_time: requests.response_timeout,
        half_closed: requests.half_closed_clients,
    })
}

/// A limit; any number where there is none.
fn most(limit: Option<u32>) -> usize {
    limit.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}
