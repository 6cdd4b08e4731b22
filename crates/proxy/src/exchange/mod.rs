//! From a request's head to its response's last byte: placing the request, sending it again, and
//! what follows its end.

mod departure;
mod ending;

use balance::{Arrival, MemberId, Placed, Ticket};
use http1::{Refusal, Version};

use crate::downstream::client::{Client, Exchange, Phase, Stage};
use crate::forward::relay::NO_ANSWER;
use crate::link::{Input, Link, Read};
use crate::outcome::{Outcome, Record};
use crate::slab::Key;
use crate::{Proxy, Report, View, Workers};

/// The cookie by which a client says which worker it belongs to.
pub(crate) const COOKIE: &str = "maitred_worker";

/// So many repetitions may be had at once; each request earns a tenth of one.
pub(crate) const BUDGET: u32 = 100;
const PRICE: u32 = 10;

/// How long the last words to a client may take.
const LEAVING: u64 = 2_000_000_000;

/// What a step has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another one may follow.
    On,
    /// Nothing more can be done until something happens.
    Wait,
    /// The client's connection is over.
    Over,
}

impl Proxy {
    /// Does for a client what can be done now.
    pub(crate) fn drive<W: Workers>(&mut self, key: Key, workers: &mut W) {
        while self.has_share(key) {
            let Some(client) = self.clients.get_mut(key) else {
                return;
            };
            match client.link.flush(&self.epoll) {
                Ok(true) => {
                    client.active_at = self.now;
                    // What was sent behind a request is not late while its response goes out.
                    if let Phase::Reading { since, .. } = &mut client.phase {
                        *since = self.now;
                    }
                }
                Ok(false) => {}
                Err(_) => {
                    self.drop_client(key);
                    return;
                }
            }
            let step = match client.phase {
                Phase::Greeting => self.greet(key),
                Phase::Reading { .. } => self.read_head(key, workers),
                Phase::Hearing { .. } => self.hear_first_word(key),
                Phase::Serving(_) => self.serve(key, workers),
                Phase::Session(_) => self.converse(key),
                Phase::Tunnel(_) => self.tunnel(key),
                Phase::Leaving { .. } => self.leave_client(key),
            };
            let goes_on = match step {
                Step::On => true,
                Step::Wait => false,
                Step::Over => {
                    self.drop_client(key);
                    return;
                }
            };
            let work = self.clients.get_mut(key).map(|client| &mut client.link);
            let (units, more) = work.map_or((0, false), Link::take_work);
            self.take_share(key, 1 + units);
            if !goes_on && !more {
                return;
            }
        }
        self.defer(key);
    }

    /// Asks for a worker for the client's request.
    pub(crate) fn arrive<W: Workers>(
        &mut self,
        key: Key,
        workers: &mut W,
    ) -> Result<Step, Refusal> {
        let (Some(arrival), Some(client)) = (self.arrival(key), self.clients.get(key)) else {
            return Ok(Step::Wait);
        };
        let Some(gate) = self.gates.get_mut(&client.gate) else {
            return Ok(Step::Over);
        };
        let mut view = View {
            workers,
            now: self.now,
            desks: &self.desks,
            pairs: &self.pairs,
        };
        match gate.balancer.arrive(self.now, arrival, &mut view) {
            Placed::At(member) => {
                self.start(key, member, workers);
                Ok(Step::On)
            }
            Placed::Waits => Ok(Step::Wait),
            Placed::Refused => Err(Refusal::NoWorker),
        }
    }

    /// What the balancer is told of the client's request.
    pub(crate) fn arrival(&self, key: Key) -> Option<Arrival> {
        match &self.clients.get(key)?.phase {
            Phase::Serving(exchange) => Some(Arrival {
                ticket: Ticket(key.bits()),
                client: exchange.caller,
                wants: exchange.wants,
                failed: exchange.failed,
            }),
            _ => None,
        }
    }

    fn waits_since(&self, key: Key) -> u64 {
        match self.clients.get(key).map(|client| &client.phase) {
            Some(Phase::Serving(exchange)) => exchange.waits_since,
            _ => self.now,
        }
    }

    /// The response has been passed on whole: the client may send the next request.
    pub(crate) fn finish(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let next = Phase::reading(self.now);
        let Phase::Serving(exchange) = std::mem::replace(&mut client.phase, next) else {
            return Step::Wait;
        };
        client.served = true;
        let gate = client.gate;
        let (done, answer) = (exchange.request_done, exchange.answer);
        self.account(gate, exchange.record, Outcome::Answered);
        let keep_pair = answer.as_ref().and_then(|answer| answer.keep_pair);
        if let Stage::With(member, pair) = exchange.stage {
            match keep_pair {
                Some(time) if done => self.keep_pair(member, pair, time),
                _ => self.drop_pair(pair),
            }
            self.ended(gate, member);
        }
        if done && answer.is_some_and(|answer| answer.keep_alive) && !self.closing {
            return Step::On;
        }
        self.leaving(key)
    }

    /// The client's request fails. Where nothing of a response has been passed on, it is told.
    pub(crate) fn fail(
        &mut self,
        key: Key,
        refusal: Refusal,
        detail: Option<&'static str>,
    ) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let begun = match &client.phase {
            // There is no way to tell it.
            Phase::Serving(exchange) => exchange.answer.is_some() || exchange.is_whole,
            _ => false,
        };
        if !begun {
            return self.refuse(key, refusal, detail);
        }
        let gone = Phase::Leaving { until: self.now };
        if let Phase::Serving(exchange) = std::mem::replace(&mut client.phase, gone) {
            if exchange.version == Version::Http10 || client.link.session().is_some() {
                // To this client an ordinary end would be the response's.
                client.link.reset_at_end();
            }
            let gate = client.gate;
            let report = Report {
                cut: true,
                ..report(&exchange, gate, refusal, detail)
            };
            self.report(report);
            self.abandon(gate, key, exchange.stage);
            self.account(gate, exchange.record, Outcome::Failed(refusal));
        }
        Step::Over
    }

    /// Answers in the worker's stead. The connection goes on where it is known what follows.
    pub(crate) fn refuse(
        &mut self,
        key: Key,
        refusal: Refusal,
        detail: Option<&'static str>,
    ) -> Step {
        let keeps_clients = self.keeps_clients();
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        client.served = true;
        let next = Phase::reading(self.now);
        let (gate, address) = (client.gate, client.peer.address);
        let (mut keep_alive, mut is_head) = (false, false);
        let mut record = match std::mem::replace(&mut client.phase, next) {
            Phase::Serving(exchange) => {
                keep_alive = exchange.keep_alive && exchange.request_done && keeps_clients;
                is_head = exchange.is_head;
                self.report(report(&exchange, gate, refusal, detail));
                self.abandon(gate, key, exchange.stage);
                exchange.record
            }
            // Nothing of it could be understood.
            before => {
                let since = match before {
                    Phase::Reading { since, .. } => since,
                    _ => self.now,
                };
                let line = std::mem::take(&mut client.link.input);
                let Some(at) = self.gates.get_mut(&gate) else {
                    return Step::Over;
                };
                self.last_request += 1;
                let mut record = Record::new(at, self.last_request, address, since);
                if self.settings.access.is_some() {
                    record.note(&line, None, false);
                }
                self.report(Report {
                    id: record.id,
                    gate,
                    member: None,
                    refusal,
                    detail,
                    cut: false,
                });
                record
            }
        };
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        record.bytes = refusal.write(&mut out, record.id, keep_alive, is_head) as u64;
        self.account(gate, record, Outcome::Failed(refusal));
        let sent = self
            .clients
            .get_mut(key)
            .map(|client| client.link.send(&out, &[], &self.epoll));
        self.out = out;
        match sent {
            Some(Ok(())) if keep_alive => Step::On,
            Some(Ok(())) => self.leaving(key),
            Some(Err(_)) | None => Step::Over,
        }
    }

    /// Ends a connection so that the last words arrive: one that is closed while something unread
    /// lies in it is reset, and they might be lost.
    pub(crate) fn leaving(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        client.phase = Phase::Leaving {
            until: self.now + LEAVING,
        };
        client.link.input = Input::default();
        if !client.link.is_clogged() {
            client.link.finish_sending(&self.epoll);
        }
        Step::On
    }

    /// Hears the client out, without listening.
    fn leave_client(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        if client.link.is_clogged() {
            return Step::Wait;
        }
        client.link.finish_sending(&self.epoll);
        if client.link.session().is_some() {
            // What is said last in a stream is not lost, whatever comes.
            return Step::Over;
        }
        match client.link.read(&mut self.room, &self.epoll) {
            Read::Some(_) => Step::On,
            Read::Nothing => Step::Wait,
            Read::End | Read::Broken => Step::Over,
        }
    }

    /// Sends the client's request again, to another worker if there is one, where that cannot
    /// hurt. Whether it does.
    pub(crate) fn repeat<W: Workers>(&mut self, key: Key, workers: &mut W) -> bool {
        let Some(Client { phase, gate, .. }) = self.clients.get_mut(key) else {
            return false;
        };
        let Phase::Serving(exchange) = phase else {
            return false;
        };
        let may = self.settings.retry_idempotent
            && exchange.repeatable
            && !exchange.begun
            && exchange.answer.is_none()
            && self.budget >= PRICE;
        if !may {
            return false;
        }
        exchange.repeatable = false;
        self.budget -= PRICE;
        let gate = *gate;
        let stage = std::mem::replace(&mut exchange.stage, Stage::Waiting);
        if let Stage::With(member, _) = stage {
            exchange.failed = Some(member);
        }
        exchange.waits_since = self.now;
        let worker = exchange.record.worker.take();
        if let Some(gate) = self.gates.get_mut(&gate) {
            gate.counts.retried += 1;
            gate.count_worker(worker, Outcome::Failed(Refusal::BadWorker(NO_ANSWER)));
        }
        self.abandon(gate, key, stage);
        self.arrive(key, workers).is_ok()
    }

    /// Gives the client's request to this worker.
    pub(crate) fn start<W: Workers>(&mut self, key: Key, member: MemberId, workers: &mut W) {
        if self.hand(key, member, workers).is_some() {
            if let Some(client) = self.clients.get_mut(key)
                && let Phase::Serving(exchange) = &mut client.phase
            {
                let gate = self.gates.get(&client.gate);
                exchange.record.worker = gate.and_then(|gate| gate.balancer.key(member));
            }
        } else {
            // It waits on, and goes to whoever can have it.
            let arrival = self.arrival(key);
            let since = self.waits_since(key);
            let gate = self.clients.get(key).map(|client| client.gate);
            if let Some(gate) = gate.and_then(|gate| self.gates.get_mut(&gate)) {
                match arrival {
                    Some(arrival) => gate.balancer.came_back(self.now, member, arrival, since),
                    None => gate.balancer.ended(self.now, member),
                }
            } else if let Some(desk) = self.desks.get(&member)
                && let Some(gate) = self.gates.get_mut(&desk.gate)
            {
                // The client is gone.
                gate.balancer.ended(self.now, member);
            }
        }
    }
}

/// What is told of a request that has failed.
fn report(
    exchange: &Exchange,
    gate: u64,
    refusal: Refusal,
    detail: Option<&'static str>,
) -> Report {
    Report {
        id: exchange.record.id,
        gate,
        member: match exchange.stage {
            Stage::With(member, _) => Some(member),
            Stage::Waiting | Stage::Returned(..) => None,
        },
        refusal,
        detail,
        cut: false,
    }
}
