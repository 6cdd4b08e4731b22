//! What becomes of requests: each one ends here, once, and is counted for what became of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use balance::Nanos;
use http1::{Refusal, Request};
use jiff::Timestamp;

use crate::downstream::client::Phase;
use crate::limits::client_limit::Seats;
use crate::listener::foreign::Spoken;
use crate::{Gate, Proxy};
use logs::access::{self, Entry, Text};
use telemetry::figures::WorkerRequests;

/// What is known of a request from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Record {
    /// Names it in the log, and to its client where it fails.
    pub(crate) id: u64,
    /// Who asks, as far as balancers before us are to be believed; none over a Unix socket.
    pub(crate) client: Option<IpAddr>,
    /// When its first byte had come.
    pub(crate) since: Nanos,
    /// What the log is to say of it; none where there is no log.
    asked: Option<Box<Asked>>,
    /// What the client was told.
    pub(crate) status: Option<u16>,
    /// Bytes of the response's body, or of what went through the tunnel, to the client.
    pub(crate) bytes: u64,
    /// It has one of its client's places.
    pub(crate) seated: bool,
    /// The key of the worker that has it.
    pub(crate) worker: Option<u64>,
}

impl Record {
    /// A request has come to this listener.
    pub(crate) fn new(gate: &mut Gate, id: u64, client: Option<IpAddr>, since: Nanos) -> Self {
        gate.counts.total += 1;
        gate.open += 1;
        Self {
            id,
            client,
            since,
            asked: None,
            status: None,
            bytes: 0,
            seated: false,
            worker: None,
        }
    }

    /// Keeps for the log what the client has said: `head` begins with the request line, and may be
    /// none that could be understood. `http2` tells that it stands for what came in another form.
    pub(crate) fn note(&mut self, head: &[u8], request: Option<&Request<'_, '_>>, http2: bool) {
        let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next();
        let line = line.unwrap_or(&[]);
        let field = |name| Some(Text::of(request?.field(name)?));
        let asked = Asked {
            line: match line.strip_suffix(b"HTTP/1.1") {
                Some(line) if http2 => Text::of(&[line, b"HTTP/2.0"].concat()),
                _ => Text::of(line),
            },
            referer: field("referer"),
            user_agent: field("user-agent"),
        };
        self.asked = Some(Box::new(asked));
    }

    /// Takes one of its client's places; whether there was one.
    pub(crate) fn take_seat(&mut self, seats: &mut Seats) -> bool {
        let Some(client) = self.client else {
            return true;
        };
        self.seated = seats.take(client);
        self.seated
    }
}

/// What a client has asked, in its own words.
#[derive(Debug)]
struct Asked {
    line: Text,
    referer: Option<Text>,
    user_agent: Option<Text>,
}

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

impl Gate {
    /// A worker has one request less. One that is sent again has `failed` with it.
    pub(crate) fn count_worker(&mut self, worker: Option<u64>, outcome: Outcome) {
        use Refusal::{BadWorker, SlowWorker};
        if let Some(key) = worker {
            let counts = self.workers.entry(key).or_default();
            counts.total += 1;
            counts.failed += u64::from(matches!(
                outcome,
                Outcome::Failed(BadWorker(_) | SlowWorker)
            ));
        }
    }
}

impl Proxy {
    /// What was counted of each worker at a listener, by their keys.
    pub fn workers(&self, gate: u64) -> HashMap<u64, WorkerRequests> {
        let Some(counted) = self.gates.get(&gate).map(|gate| &gate.workers) else {
            return HashMap::new();
        };
        let mut workers = counted.clone();
        let here = self.clients.iter().filter(|(_, it)| it.gate == gate);
        let busy = here.filter_map(|(_, client)| match &client.phase {
            Phase::Serving(exchange) => exchange.record.worker,
            Phase::Tunnel(tunnel) => tunnel.record.worker,
            _ => None,
        });
        for key in busy {
            let worker = workers.entry(key).or_default();
            worker.total += 1;
            worker.in_progress += 1;
        }
        workers
    }

    /// A request is over.
    pub(crate) fn account(&mut self, gate: u64, mut record: Record, outcome: Outcome) {
        if let Some(queue) = &self.settings.access
            && let Some(asked) = record.asked.take()
        {
            queue.put(entry(&record, *asked, self.now, outcome));
        }
        if let Some(client) = record.client
            && record.seated
        {
            self.seats.free(client);
        }
        let name = gate;
        let Some(gate) = self.gates.get_mut(&name) else {
            return;
        };
        gate.open -= 1;
        if gate.shut && gate.open == 0 {
            self.gates.remove(&name);
            return;
        }
        gate.count_worker(record.worker, outcome);
        let counts = &mut gate.counts;
        match outcome {
            Outcome::Answered => {
                counts.answered += 1;
                gate.spoken = Spoken::Http;
            }
            Outcome::Upgraded => counts.upgraded += 1,
            Outcome::Aborted => counts.aborted += 1,
            Outcome::Failed(refusal) => *counts.failed.entry(refusal.status()).or_default() += 1,
        }
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
        status: match outcome {
            Outcome::Failed(refusal) => record.status.or(Some(refusal.status())),
            _ => record.status,
        },
        bytes: record.bytes,
        referer: asked.referer,
        user_agent: asked.user_agent,
        instance: record.worker.and_then(|key| u32::try_from(key >> 32).ok()),
        outcome: match outcome {
            Outcome::Answered => access::Outcome::Answered,
            Outcome::Upgraded => access::Outcome::Upgraded,
            Outcome::Aborted => access::Outcome::Aborted,
            Outcome::Failed(_) => access::Outcome::Failed,
        },
    }
}
