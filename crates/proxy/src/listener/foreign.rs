//! What is spoken at a listener: HTTP, as it should be, or something else.
//!
//! Until a worker has answered in HTTP there, nothing is taken for granted. A connection on which a
//! client says nothing goes to a worker after a moment, for in some protocols the server speaks first;
//! if it does, connections pass whole from then on. And a worker that closes its connection without
//! an answer is greeted in TLS over another one, since TLS servers close on plain HTTP without a word.

use std::os::fd::OwnedFd;

use balance::{MemberId, Nanos};

use crate::downstream::client::{Client, Exchange, Phase, Stage, Tunnel};
use crate::downstream::request_head;
use crate::exchange::Step;
use crate::forward::relay::NO_ANSWER;
use crate::link::Read;
use crate::slab::Key;
use crate::upstream::pool::Ends;
use crate::{Proxy, Workers};
use telemetry::figures::Foreign;

/// A client that has said nothing for so long may wait for the worker to speak.
const SILENCE: Nanos = 500_000_000;

/// How long a worker may take for its first word.
const FIRST_WORD: Nanos = 1_000_000_000;

/// How long one that is greeted may take to answer. Nobody waits for it, and there is one pair at a
/// listener for it: a worker that has much to do is given its time.
const GREETING: Nanos = 10_000_000_000;

/// So often it is tried at one listener: clients also open connections that they need later.
const TRIES: u8 = 3;

/// A `ClientHello` of TLS 1.2 that every TLS server answers, with a `ServerHello` or an alert.
/// (An HTTP server finds the end of a head in it, and need not wait for more.)
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x51\x01\x00\x00\x4d\x03\x03\
    maitred: is this a TLS app?\n\r\n\r\n\x00\
    \x00\x08\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30\x01\x00\x00\x1c\
    \x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17\
    \x00\x0b\x00\x02\x01\x00\
    \x00\x0d\x00\x08\x00\x06\x04\x03\x08\x04\x04\x01";

/// What is spoken at a listener, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Unknown {
        /// How often a worker was waited for to speak first.
        tries: u8,
        /// One is waited for.
        listens: bool,
        /// One was greeted in TLS.
        greeted: bool,
    },
    Http,
    Foreign(Foreign),
}

impl Spoken {
    pub(crate) const UNKNOWN: Self = Self::Unknown {
        tries: 0,
        listens: false,
        greeted: false,
    };
}

/// What a client is told whose request was answered so.
pub(crate) fn reason(what: Foreign) -> &'static str {
    match what {
        Foreign::Tls => "the worker speaks TLS, and not HTTP",
        Foreign::Other | Foreign::WorkerFirst => {
            "the worker answered in a protocol that is not HTTP"
        }
    }
}

/// What a worker speaks whose response does not begin as one of HTTP does. Seen at once: the end of
/// a head would be waited for in vain.
pub(crate) fn other_protocol(response: &[u8]) -> Option<Foreign> {
    match response {
        // The head of a record: its kind, and the version.
        [0x14..=0x17, 3, ..] => Some(Foreign::Tls),
        _ if begins_as_http(response) => None,
        _ => Some(Foreign::Other),
    }
}

fn begins_as_http(response: &[u8]) -> bool {
    response.iter().zip(b"HTTP/").all(|(a, b)| a == b)
}

impl Proxy {
    /// What was found since this was asked last: listeners where no HTTP is spoken.
    pub fn foreign(&mut self) -> Vec<(u64, Foreign)> {
        std::mem::take(&mut self.foreign)
    }

    /// Something else than HTTP is spoken at a listener, as far as is known.
    pub(crate) fn note_foreign(&mut self, gate: u64, what: Foreign) {
        if let Some(at) = self.gates.get_mut(&gate)
            && !matches!(at.spoken, Spoken::Http | Spoken::Foreign(_))
        {
            at.spoken = Spoken::Foreign(what);
            self.foreign.push((gate, what));
            if what == Foreign::WorkerFirst {
                // Others wait for a worker to speak, too.
                let here = self.clients.iter().filter(|(_, it)| it.gate == gate);
                self.again.extend(here.map(|(key, _)| key));
            }
        }
    }

    /// Why a worker may have ended its connection without an answer.
    pub(crate) fn no_answer(&self, client: Key) -> &'static str {
        let gate = self.clients.get(client).map(|client| client.gate);
        match gate.and_then(|gate| self.gates.get(&gate)) {
            Some(gate) if gate.spoken == Spoken::Foreign(Foreign::Tls) => reason(Foreign::Tls),
            _ => NO_ANSWER,
        }
    }

    /// Whether connections to a listener pass whole.
    pub(crate) fn passes_whole(&self, gate: u64) -> bool {
        let gate = self.gates.get(&gate);
        gate.is_some_and(|gate| gate.spoken == Spoken::Foreign(Foreign::WorkerFirst))
    }

    /// Gives clients that say nothing to workers which may want to speak first: one at a listener at
    /// a time.
    pub(crate) fn hear_workers<W: Workers>(&mut self, workers: &mut W) {
        let is_open = |spoken| matches!(spoken, Spoken::Unknown { tries, listens: false, .. } if tries < TRIES);
        if self.tls.is_some() || !self.gates.values().any(|gate| is_open(gate.spoken)) {
            return;
        }
        let silent: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| self.is_silent(client))
            .map(|(key, client)| (key, client.gate))
            .collect();
        for (key, gate) in silent {
            if self.gates.get(&gate).is_some_and(|it| is_open(it.spoken)) {
                self.hear_worker(key, gate, workers);
            }
        }
    }

    /// Whether a client has not said a word on its connection for a while.
    fn is_silent(&self, client: &Client) -> bool {
        match client.phase {
            Phase::Reading { since, .. } => {
                !client.served
                    && client.link.session().is_none()
                    && client.link.input.is_empty()
                    && self.now.saturating_sub(since) >= SILENCE
            }
            _ => false,
        }
    }

    fn hear_worker<W: Workers>(&mut self, key: Key, gate: u64, workers: &mut W) {
        let (Some(client), Some(at)) = (self.clients.get(key), self.gates.get_mut(&gate)) else {
            return;
        };
        // It is no request, so the balancer does not count it.
        let least = at
            .balancer
            .members()
            .min_by_key(|(_, _, it)| it.in_progress);
        let Some((member, ..)) = least else {
            return;
        };
        let peer = client.peer;
        let ends = Ends {
            peer: peer.address,
            local: client.local,
        };
        let Ok((pair, end)) = self.new_pair(member, ends, peer.sockaddr()) else {
            return;
        };
        if workers.hand(member, end, peer.sockaddr()).is_err() {
            self.pairs.remove(pair);
            return;
        }
        self.handed(member, pair);
        if let Some(pair) = self.pairs.get_mut(pair) {
            pair.client = Some(key);
        }
        if let Some(client) = self.clients.get_mut(key)
            && let Phase::Reading { since, .. } = client.phase
        {
            client.phase = Phase::Hearing {
                since,
                until: self.now + FIRST_WORD,
                member,
                pair,
            };
        }
        self.set_listens(gate, true);
    }

    /// One try at a listener begins, or is over.
    fn set_listens(&mut self, gate: u64, on: bool) {
        if let Some(gate) = self.gates.get_mut(&gate)
            && let Spoken::Unknown { tries, listens, .. } = &mut gate.spoken
        {
            *listens = on;
            *tries += u8::from(on);
        }
    }

    /// Waits for the first word of a client or its worker.
    pub(crate) fn hear_first_word(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let Phase::Hearing { member, pair, .. } = client.phase else {
            return Step::Wait;
        };
        match client.link.read(&mut self.room, &self.epoll) {
            Read::Some(len) => {
                let said = self.room.get(..len).unwrap_or(&[]);
                client.link.input.extend(said);
                client.active_at = self.now;
                return self.read_on(key);
            }
            Read::Nothing => {}
            Read::End | Read::Broken => return Step::Over,
        }
        let Some(it) = self.pairs.get_mut(pair) else {
            return self.read_on(key);
        };
        let len = match it.link.read(&mut self.room, &self.epoll) {
            Read::Some(len) => len,
            Read::Nothing => return Step::Wait,
            Read::End | Read::Broken => return self.read_on(key),
        };
        let said = self.room.get(..len).unwrap_or(&[]);
        if begins_as_http(said) {
            // It tells the client that it has waited too long.
            return self.read_on(key);
        }
        it.link.input.extend(said);
        let gate = client.gate;
        self.note_foreign(gate, Foreign::WorkerFirst);
        if !self.begin_whole(key) {
            return Step::Over;
        }
        self.open_tunnel(key, member, pair, false);
        Step::On
    }

    /// Nobody has spoken first: a request is read from the client, as from any.
    pub(crate) fn read_on(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let Phase::Hearing { since, pair, .. } = client.phase else {
            return Step::Wait;
        };
        let gate = client.gate;
        client.phase = match client.link.input.is_empty() {
            true => Phase::reading(since),
            // Its first byte has come just now.
            false => Phase::reading(self.now),
        };
        self.drop_pair(pair);
        self.set_listens(gate, false);
        Step::On
    }

    /// What a client's connection was tried for is over.
    pub(crate) fn stop_hearing(&mut self, gate: u64, pair: Key) {
        self.drop_pair(pair);
        self.set_listens(gate, false);
    }

    /// A connection that passes whole is placed like a request.
    pub(crate) fn place_whole<W: Workers>(&mut self, key: Key, workers: &mut W) -> Step {
        if !self.begin_whole(key) {
            return Step::Over;
        }
        match self.arrive(key, workers) {
            Ok(step) => step,
            Err(refusal) => self.fail(key, refusal, None),
        }
    }

    /// Counts it; whether its client may have one more.
    fn begin_whole(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else {
            return false;
        };
        let Some(gate) = self.gates.get_mut(&client.gate) else {
            return false;
        };
        self.last_request += 1;
        let address = client.peer.address;
        let mut record = crate::outcome::Record::new(gate, self.last_request, address, self.now);
        let has_room = record.take_seat(&mut self.seats);
        let exchange = request_head::whole(record, key, client.peer.caller, self.now);
        client.phase = Phase::Serving(Box::new(exchange));
        has_room
    }

    /// Bytes go both ways from now on between a client and a worker.
    pub(crate) fn open_tunnel(&mut self, key: Key, member: MemberId, pair: Key, is_counted: bool) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let gone = Phase::Leaving { until: self.now };
        let Phase::Serving(exchange) = std::mem::replace(&mut client.phase, gone) else {
            return;
        };
        let Exchange { mut record, .. } = *exchange;
        if record.worker.is_none() {
            let gate = self.gates.get(&client.gate);
            record.worker = gate.and_then(|gate| gate.balancer.key(member));
        }
        client.phase = Phase::Tunnel(Tunnel {
            record,
            member,
            pair,
            is_counted,
            told_worker: false,
            told_client: false,
        });
    }

    /// A worker has ended the client's connection before it has answered: it may be one that speaks
    /// TLS. It is greeted so, once at a listener, whatever becomes of the client.
    pub(crate) fn greet_in_tls<W: Workers>(&mut self, key: Key, workers: &mut W) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let (gate, Phase::Serving(exchange)) = (client.gate, &client.phase) else {
            return;
        };
        let Stage::With(member, _) = exchange.stage else {
            return;
        };
        let peer = client.peer;
        let ends = Ends {
            peer: peer.address,
            local: client.local,
        };
        let Some(at) = self.gates.get_mut(&gate) else {
            return;
        };
        let Spoken::Unknown { greeted, .. } = &mut at.spoken else {
            return;
        };
        if std::mem::replace(greeted, true) {
            return;
        }
        let Ok((pair, end)) = self.new_pair(member, ends, peer.sockaddr()) else {
            return;
        };
        if let Some(pair) = self.pairs.get_mut(pair) {
            pair.greeting = Some(peer);
            pair.leave_at = self.now + GREETING;
            // What cannot be sent is not answered.
            let _ = pair.link.send(CLIENT_HELLO, &[], &self.epoll);
        }
        match workers.hand(member, end, peer.sockaddr()) {
            Ok(()) => self.handed(member, pair),
            Err(_) => self.lose_greeting(pair),
        }
    }

    /// What came back from the worker may have been a greeting, which is for this worker and no
    /// other: it goes there again. Whether it did.
    pub(crate) fn greet_again<W: Workers>(
        &mut self,
        pair: Key,
        member: MemberId,
        end: OwnedFd,
        workers: &mut W,
    ) -> bool {
        let peer = self.pairs.get(pair).and_then(|pair| pair.greeting);
        let goes = peer.is_some_and(|peer| workers.hand(member, end, peer.sockaddr()).is_ok());
        if !goes {
            self.lose_greeting(pair);
        }
        goes
    }

    /// Whether a worker is greeted over this pair.
    pub(crate) fn is_greeting(&self, pair: Key) -> bool {
        let pair = self.pairs.get(pair);
        pair.is_some_and(|pair| pair.greeting.is_some())
    }

    /// A pair that carries no request does not come to its worker. If it held a greeting, the next
    /// client that gets no answer brings about another one.
    pub(crate) fn lose_greeting(&mut self, pair: Key) {
        let pair = self.pairs.remove(pair);
        let pair = pair.filter(|it| it.greeting.is_some());
        let gate = pair.and_then(|pair| Some(self.desks.get(&pair.member)?.gate));
        if let Some(gate) = gate.and_then(|gate| self.gates.get_mut(&gate))
            && let Spoken::Unknown { greeted, .. } = &mut gate.spoken
        {
            *greeted = false;
        }
    }

    /// Something has come over a pair that carries no request.
    pub(crate) fn hear_greeted(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else {
            return;
        };
        let gate = self.desks.get(&pair.member).map(|desk| desk.gate);
        if pair.greeting.is_some()
            && let Some(gate) = gate
            && let Read::Some(len) = pair.link.read(&mut self.room, &self.epoll)
            && other_protocol(self.room.get(..len).unwrap_or(&[])) == Some(Foreign::Tls)
        {
            self.note_foreign(gate, Foreign::Tls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_as_long_as_it_says() {
        assert_eq!(CLIENT_HELLO.len(), 5 + 0x51);
        assert_eq!(CLIENT_HELLO[3..5], [0, 0x51]);
        assert_eq!(CLIENT_HELLO[6..9], [0, 0, 0x4d]);
    }

    #[test]
    fn a_response_is_known_by_its_first_bytes() {
        for (response, spoken) in [
            (&b"HTTP/1.1 200 OK"[..], None),
            (b"HT", None),
            (b"", None),
            (b"\x15\x03\x01", Some(Foreign::Tls)),
            (b"\x16\x03\x03", Some(Foreign::Tls)),
            (b"220 mail", Some(Foreign::Other)),
        ] {
            assert_eq!(other_protocol(response), spoken);
        }
    }
}
