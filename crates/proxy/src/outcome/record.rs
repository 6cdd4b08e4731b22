//! What is known of a request, for the counters and the access log.

use std::net::IpAddr;
use std::time::Duration;

use balance::Nanos;
use http1::Request;
use jiff::Timestamp;
use logs::access::{self, Entry, Text};

use super::Outcome;
use crate::limits::client_limit::ClientLimit;
use crate::listener::Listener;
use telemetry::ids::Place;

/// What is known of a request from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Record {
    /// Names it in the log, and to its client where it fails.
    pub(crate) id: u64,
    /// Who asks, as far as the balancers in front are believed; none over a Unix socket.
    pub(crate) client: Option<IpAddr>,
    /// When its first byte had come.
    pub(crate) since: Nanos,
    /// What the log is to say of it; none where there is no log.
    asked: Option<Box<Asked>>,
    /// The status that the client got.
    pub(crate) status: Option<u16>,
    /// When that had begun to go to the client.
    pub(crate) answered_at: Option<Nanos>,
    /// Bytes of the response's body, or of what went through the tunnel, to the client.
    pub(crate) bytes: u64,
    /// It has one of its client's places.
    pub(crate) has_place: bool,
    /// The worker that has it.
    pub(crate) worker: Option<Place>,
}

impl Record {
    /// A request has come to this listener.
    pub(crate) fn new(
        listener: &mut Listener,
        id: u64,
        client: Option<IpAddr>,
        since: Nanos,
    ) -> Self {
        listener.counters.came();
        listener.open += 1;
        Self {
            id,
            client,
            since,
            asked: None,
            status: None,
            answered_at: None,
            bytes: 0,
            has_place: false,
            worker: None,
        }
    }

    /// Keeps for the log what the client has said: `head` begins with the request line, and may be
    /// none that could be understood. `version` is the one that it came in, where it is not the one
    /// that the line says.
    pub(crate) fn note(
        &mut self,
        head: &[u8],
        request: Option<&Request<'_, '_>>,
        version: Option<&[u8]>,
    ) {
        let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next();
        let line = line.unwrap_or(&[]);
        let field = |name| Some(Text::of(request?.field(name)?));
        let asked = Asked {
            line: match (line.strip_suffix(b"HTTP/1.1"), version) {
                (Some(line), Some(version)) => Text::of(&[line, version].concat()),
                _ => Text::of(line),
            },
            referer: field("referer"),
            user_agent: field("user-agent"),
        };
        self.asked = Some(Box::new(asked));
    }

    /// Takes one of its client's places; whether there was one.
    pub(crate) fn take_place(&mut self, limit: &mut ClientLimit) -> bool {
        let Some(client) = self.client else {
            return true;
        };
        self.has_place = limit.take(client);
        self.has_place
    }
}

impl Record {
    /// The status that the client was told, if it was told one.
    pub(super) fn told(&self, outcome: Outcome) -> Option<u16> {
        match outcome {
            Outcome::Failed(refusal) => self.status.or(Some(refusal.status())),
            _ => self.status,
        }
    }
}

/// What a client has asked, in its own words.
#[derive(Debug)]
struct Asked {
    line: Text,
    referer: Option<Text>,
    user_agent: Option<Text>,
}

impl Record {
    /// What the access log says of the request, if there is one.
    pub(super) fn entry(&mut self, now: Nanos, outcome: Outcome) -> Option<Entry> {
        let asked = *self.asked.take()?;
        Some(entry(self, asked, now, outcome))
    }
}

/// What the access log says of a request.
fn entry(record: &Record, asked: Asked, now: Nanos, outcome: Outcome) -> Entry {
    Entry {
        id: record.id,
        client: record.client,
        at: Timestamp::now(),
        duration: Duration::from_nanos(now.saturating_sub(record.since)),
        line: asked.line,
        status: record.told(outcome),
        bytes: record.bytes,
        referer: asked.referer,
        user_agent: asked.user_agent,
        instance: record.worker.map(|place| place.instance),
        outcome: match outcome {
            Outcome::Answered => access::Outcome::Answered,
            Outcome::Upgraded => access::Outcome::Upgraded,
            Outcome::Aborted => access::Outcome::Aborted,
            Outcome::Failed(_) => access::Outcome::Failed,
        },
    }
}
