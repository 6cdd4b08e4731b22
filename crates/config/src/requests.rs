//! What concerns requests, where each is placed by itself: `per: request`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use http1::Networks;
use serde::{Deserialize, Serialize};

use super::app::Policy;
use super::encode::millis;
use super::fields::Entry;
use super::kind::{Bytes, Millis, Texts};

/// What is placed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each connection, with all that comes over it: any protocol, nothing in between.
    Connection,
    /// Each HTTP request; the clients' connections stay here.
    Request,
}

/// What may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Nothing that a worker may have read.
    Nothing,
    /// Requests that change nothing and have no body, once each.
    Idempotent,
}

/// A line for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// The file; `None` for standard output.
    pub file: Option<PathBuf>,
    pub format: AccessFormat,
}

/// The form of such a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessFormat {
    /// That of Apache and nginx.
    Combined,
    /// One JSON object a line.
    Json,
}

/// How requests are placed, and what is said of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// How many one worker may have in progress; `None` for any number.
    pub max_concurrency: Option<u32>,
    /// How many one client may have in progress; `None` for any number.
    #[serde(default)]
    pub client_limit: Option<u32>,
    /// Requests that change nothing go to another worker when one fails.
    pub retry_idempotent: bool,
    /// Addresses and networks of balancers before us, whose words are believed.
    pub(crate) trusted: Vec<String>,
    /// Every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Files with certificates, and with their keys.
    #[serde(default)]
    pub tls: Vec<(PathBuf, PathBuf)>,
    /// The name of a response field that tells the instance.
    pub instance_header: Option<String>,
    /// Where each request gets a line, if anywhere.
    #[serde(default)]
    pub access_log: Option<AccessLog>,
    /// The largest head, in bytes.
    #[serde(default = "default_head")]
    pub max_head: usize,
    /// The most fields in a head.
    #[serde(default = "default_fields")]
    pub max_fields: usize,
    /// The largest body, in bytes; 0 for any.
    pub max_body: u64,
    /// How long a worker may take to begin its response.
    #[serde(with = "millis")]
    pub response_timeout: Duration,
    /// How long a request's head may take to arrive.
    #[serde(with = "millis")]
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests.
    #[serde(with = "millis")]
    pub idle_timeout: Duration,
    /// Clients that have closed their sending side get their responses.
    #[serde(default)]
    pub half_closed_clients: bool,
}

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A request's head may have so many bytes: twice what Node and Bun take.
const HEAD: usize = 32 * 1024;
/// And as many fields as Node shows to its app.
const FIELDS: usize = 1000;
/// What these may be set to: a head is kept in memory, for each client.
const HEADS: std::ops::RangeInclusive<u64> = 1024..=16 * 1024 * 1024;
const ANY_FIELDS: std::ops::RangeInclusive<u32> = 10..=100_000;

impl Requests {
    /// What an entry says of requests; none if connections are placed.
    ///
    /// # Errors
    /// Says what does not fit together.
    pub(super) fn resolve(entry: &Entry, cwd: &Path) -> anyhow::Result<Option<Self>> {
        if entry.per != Some(Per::Request) {
            if entry.balance == Some(Policy::Sticky) {
                bail!("balance: sticky reads a cookie in each request, so it needs per: request");
            }
            return Ok(None);
        }
        let time = |time: Option<Millis>, default| time.map_or(default, |Millis(time)| time);
        let trusted = entry.trust_proxy.clone().map_or(Vec::new(), |list| list.0);
        networks(&trusted)?;
        let name_is_good = |name: &str| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            !name.is_empty() && name.bytes().all(is_good)
        };
        if let Some(name) = &entry.instance_header
            && !name_is_good(name)
        {
            bail!("instance_header: a header field's name has letters, digits and hyphens");
        }
        let files = |list: &Option<Texts>| -> Vec<PathBuf> {
            let list = list.iter().flat_map(|list| &list.0);
            list.map(|file| cwd.join(file)).collect()
        };
        if entry.access_log.is_none() && entry.access_log_format.is_some() {
            bail!("access_log_format: there is no access_log to write");
        }
        let access_log = entry.access_log.as_ref().map(|file| AccessLog {
            file: (file != "-").then(|| cwd.join(file)),
            format: entry.access_log_format.unwrap_or(AccessFormat::Combined),
        });
        if let Some(Bytes(bytes)) = entry.max_head
            && !HEADS.contains(&bytes)
        {
            bail!("max_head: expected 1k to 16M, not {bytes} bytes");
        }
        if let Some(most) = entry.max_fields
            && !ANY_FIELDS.contains(&most)
        {
            bail!("max_fields: expected 10 to 100000, not {most}");
        }
        let (certificates, keys) = (files(&entry.tls_cert), files(&entry.tls_key));
        if certificates.len() != keys.len() {
            bail!("tls_cert and tls_key: each certificate needs its key");
        }
        if !keys.is_empty() && entry.proxy_protocol == Some(true) {
            bail!("proxy_protocol is not read before TLS: let the balancer in front end TLS");
        }
        Ok(Some(Self {
            tls: certificates.into_iter().zip(keys).collect(),
            max_concurrency: entry.max_concurrency.filter(|most| *most > 0),
            client_limit: entry.client_limit.filter(|most| *most > 0),
            retry_idempotent: entry.retry == Some(Retry::Idempotent),
            trusted,
            proxy_protocol: entry.proxy_protocol.unwrap_or(false),
            instance_header: entry.instance_header.clone(),
            access_log,
            max_head: entry.max_head.map_or(HEAD, |Bytes(bytes)| size(bytes)),
            max_fields: entry.max_fields.map_or(FIELDS, |most| size(most.into())),
            max_body: entry.max_body.map_or(0, |Bytes(bytes)| bytes),
            response_timeout: time(entry.response_timeout, RESPONSE_TIMEOUT),
            header_timeout: time(entry.header_timeout, HEADER_TIMEOUT),
            idle_timeout: time(entry.idle_timeout, IDLE_TIMEOUT),
            half_closed_clients: entry.half_closed_clients.unwrap_or(false),
        }))
    }

    /// The networks of the balancers whose words are believed.
    ///
    /// # Errors
    /// If one of them is none; each was one when it was resolved.
    pub fn networks(&self) -> anyhow::Result<Networks> {
        networks(&self.trusted)
    }
}

fn default_head() -> usize {
    HEAD
}

fn default_fields() -> usize {
    FIELDS
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn networks(texts: &[String]) -> anyhow::Result<Networks> {
    let networks: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
    let networks = networks
        .map_err(anyhow::Error::msg)
        .context("trust_proxy")?;
    Ok(Networks(networks))
}
