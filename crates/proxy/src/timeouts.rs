//! Clients that are too slow, and connections that have been idle too long.

use std::time::Duration;

use balance::Nanos;
use http1::Refusal;

use crate::Settings;
use crate::context::Context;
use crate::detect::worker_first;
use crate::downstream::client::{Client, Phase, Reading};
use crate::downstream::http2::session::{Activity, Session};
use crate::downstream::leave::{conclude, drop_client};
use crate::exchange::{Exchange, Stage, departure};
use crate::hand_over::adopted;
use crate::limits::idle_eviction::make_room;
use crate::slab::{Key, Slab};
use crate::upstream::Upstream;

/// How often all connections are looked at: time limits are that exact.
pub(crate) const SWEEP: Nanos = 500_000_000;

/// [`wire::FIRST_REQUEST`] in nanoseconds.
pub(crate) const FIRST_REQUEST: Nanos = wire::FIRST_REQUEST.as_nanos() as Nanos;

/// How long a client may take to close an HTTP/2 connection after GOAWAY.
const GOAWAY: Duration = Duration::from_secs(2);

/// What happens to a client.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Fine,
    /// Its request fails with this.
    Late(Refusal),
    /// Its HTTP/2 connection is idle, and gets a GOAWAY.
    GoAway,
    /// Its connection is closed.
    Gone,
    /// Its worker has not spoken first.
    Silent,
}

/// Looks at all clients and connections.
pub(crate) fn sweep(clients: &mut Slab<Client>, cx: &mut Context) {
    let clock = Clock {
        now: cx.io.now,
        limits: &cx.settings,
        is_closing: cx.is_closing,
    };
    let verdicts: Vec<_> = clients
        .iter()
        .map(|(key, client)| (key, clock.verdict(client, &cx.upstream)))
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Fine))
        .collect();
    for (key, verdict) in &verdicts {
        if let Verdict::Late(refusal) = verdict {
            conclude(*key, *refusal, None, clients, cx);
        }
    }
    for (key, verdict) in verdicts {
        match (verdict, clients.get_mut(key)) {
            (Verdict::Silent, Some(client)) => {
                worker_first::read_on(client, cx);
            }
            (Verdict::GoAway, Some(client)) => {
                if let Phase::Http2(session) = &mut client.phase {
                    session.close();
                    client.active_at = cx.io.now;
                    cx.ready.wake(key);
                }
            }
            (Verdict::Gone, _) => drop_client(key, clients, cx),
            _ => {}
        }
    }
    make_room(clients, cx);
    cx.upstream.drop_stale(cx.io.now);
    cx.limits.framing.forget(cx.io.now);
}

/// Holds time limits against what clients do.
struct Clock<'a> {
    now: Nanos,
    limits: &'a Settings,
    /// The app stops.
    is_closing: bool,
}

impl Clock<'_> {
    /// Whether a limit has passed since this moment. A limit of zero never does.
    fn has_passed(&self, limit: Duration, since: Nanos) -> bool {
        !limit.is_zero() && u128::from(self.now.saturating_sub(since)) >= limit.as_nanos()
    }

    fn is_stalled(&self, client: &Client) -> bool {
        self.has_passed(self.limits.stall_time, client.active_at)
    }

    fn verdict(&self, client: &Client, upstream: &Upstream) -> Verdict {
        let limits = self.limits;
        let is_clogged = client.link.is_clogged();
        let gone_if = |is_over| match is_over {
            true => Verdict::Gone,
            false => Verdict::Fine,
        };
        match &client.phase {
            Phase::ProxyHeader => gone_if(self.has_passed(limits.head_time, client.active_at)),
            Phase::Reading(_) | Phase::Serving(_) if is_clogged => gone_if(self.is_stalled(client)),
            Phase::Http2(_) if is_clogged && self.is_stalled(client) => Verdict::Gone,
            Phase::Reading(reading)
                if self.is_closing
                    && client.link.input.is_empty()
                    && self.now.saturating_sub(reading.since) >= FIRST_REQUEST =>
            {
                Verdict::Gone
            }
            Phase::Reading(reading) => self.reading(reading, client),
            Phase::FirstWord(word) if word.until <= self.now => Verdict::Silent,
            Phase::Serving(exchange) => self.serving(exchange, client, upstream),
            Phase::Http2(session) => self.http2(session, client),
            // The last words have to get there first.
            Phase::Closing { .. } if is_clogged && !self.is_stalled(client) => Verdict::Fine,
            Phase::Closing { until } => gone_if(*until <= self.now),
            Phase::FirstWord(_) | Phase::Tunnel(_) => Verdict::Fine,
        }
    }

    fn reading(&self, reading: &Reading, client: &Client) -> Verdict {
        let limits = self.limits;
        let is_idle = client.link.input.is_empty() && client.served;
        let limit = match reading.needs {
            0 if is_idle => limits.idle_time,
            0 => limits.head_time,
            // More of its body must come before a worker is asked for.
            _ => limits.stall_time,
        };
        match self.has_passed(limit, reading.since) {
            true if reading.needs == 0 && is_idle => Verdict::Gone,
            true => Verdict::Late(Refusal::TooSlow),
            false => Verdict::Fine,
        }
    }

    fn serving(&self, exchange: &Exchange, client: &Client, upstream: &Upstream) -> Verdict {
        let connection = match exchange.stage {
            Stage::With(_, key) => Some(upstream.connections.get(key)),
            Stage::Waiting | Stage::Returned(..) => None,
        };
        match connection {
            Some(connection) if !exchange.request_done && self.is_stalled(client) => {
                // What has been sent and lies there is for the worker to read.
                let is_unread = connection.is_some_and(|it| it.link.is_clogged());
                Verdict::Late(match is_unread {
                    true => Refusal::SlowWorker,
                    false => Refusal::TooSlow,
                })
            }
            Some(_)
                if exchange.request_done
                    && exchange.answer.is_none()
                    && self.has_passed(self.limits.answer_time, exchange.sent_at) =>
            {
                Verdict::Late(Refusal::SlowWorker)
            }
            _ if departure::is_deserted(client, self.now) => Verdict::Gone,
            _ => Verdict::Fine,
        }
    }

    fn http2(&self, session: &Session, client: &Client) -> Verdict {
        let passed = |limit| self.has_passed(limit, client.active_at);
        match session.activity() {
            Activity::Handshake if passed(self.limits.head_time) => Verdict::Gone,
            Activity::Idle if session.is_closing() && passed(GOAWAY) => Verdict::Gone,
            Activity::Idle if passed(self.limits.idle_time) => Verdict::GoAway,
            Activity::Handshake | Activity::Idle | Activity::Busy => Verdict::Fine,
        }
    }
}

/// Refuses requests that have waited as long as one may.
pub(crate) fn refuse_overdue(clients: &mut Slab<Client>, cx: &mut Context) {
    let now = cx.io.now;
    let mut refused = Vec::new();
    for (id, listener) in cx.listeners.iter_mut() {
        if listener.balancer.deadline().is_some_and(|at| at <= now) {
            while let Some(arrival) = listener.balancer.overdue(now) {
                refused.push(arrival.ticket);
            }
            cx.ready.place_at(id);
        }
    }
    for ticket in refused {
        if adopted::is_one(ticket) {
            adopted::give_up(ticket, cx);
            continue;
        }
        let key = Key::of(ticket.0);
        let client = clients.get_mut(key);
        let trouble = client.and_then(Client::exchange).and_then(|it| it.trouble);
        conclude(key, Refusal::NoWorker, trouble, clients, cx);
    }
}
