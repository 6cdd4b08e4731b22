//! Passing on: a request's body to the worker, its response to the client, and what an upgraded
//! connection carries both ways. Nothing is read for a side that has not taken what came before.

use std::mem::MaybeUninit;

use http1::{BodyDecoder, BodyEncoder, End, Extra, Framing, HEADERS, Refusal, Response, Version};

use crate::downstream::client::{Answer, Phase, Stage, Tunnel};
use crate::exchange::{COOKIE, Step};
use crate::forward::body::{Coded, recode};
use crate::link::{Input, Read};
use crate::listener::foreign::{other_protocol, reason};
use crate::slab::Key;
use crate::upstream::pool;
use crate::{Proxy, Workers};
use telemetry::figures::Foreign;

/// How long a response's head may be, where requests' heads may not be longer.
const RESPONSE_HEAD: usize = 256 * 1024;

/// How many fields a response may have: more than that are no use, and HTTP/2 has no room for them.
const RESPONSE_FIELDS: usize = 10_000;

/// How many interim responses (100, 102, 103) may come before a response. Early hints and a sign of
/// life each second of a long upload need fewer; without a limit a worker could go on for ever.
const INTERIM: u32 = 1000;

/// What was seen of a worker that did not answer.
pub(crate) const NO_ANSWER: &str = "the worker closed its connection before it had answered";

/// So much of a request's body counts as a sign of life: a client that sends it byte by byte would
/// hold its worker for as long as it likes.
pub(crate) const PORTION: usize = 16 * 1024;

/// What a turn of passing on has come to.
enum Passed {
    /// Something went on.
    On,
    /// Nothing can, for now.
    Nothing,
    /// The request cannot be completed.
    Failed(Refusal, Option<&'static str>),
    /// A side is gone, or has been told all that it can be.
    Gone,
    /// The worker has ended the connection before its response.
    NoAnswer,
    /// It speaks something else.
    Foreign(Foreign),
    /// The response is complete.
    Complete,
    /// The connection is a tunnel now.
    Upgraded,
}

impl Proxy {
    /// Passes on what can be passed on of a client's request and its response.
    pub(crate) fn serve<W: Workers>(&mut self, key: Key, workers: &mut W) -> Step {
        if self.is_leaving(key) {
            return Step::Over;
        }
        if let Some(Phase::Serving(exchange)) = self.clients.get(key).map(|client| &client.phase)
            && exchange.is_whole
        {
            let Stage::With(member, pair) = exchange.stage else {
                return Step::Wait;
            };
            self.open_tunnel(key, member, pair, true);
            return Step::On;
        }
        let up = self.pass_request(key);
        match up {
            Passed::Failed(refusal, detail) => return self.fail(key, refusal, detail),
            Passed::Gone => return Step::Over,
            _ => {}
        }
        match self.pass_response(key) {
            Passed::On => Step::On,
            Passed::Nothing if matches!(up, Passed::On) => Step::On,
            Passed::Nothing => Step::Wait,
            Passed::Failed(refusal, detail) => self.fail(key, refusal, detail),
            Passed::Gone => Step::Over,
            Passed::Complete => self.finish(key),
            Passed::Upgraded => Step::On,
            Passed::Foreign(what) => {
                if let Some(client) = self.clients.get(key) {
                    self.note_foreign(client.gate, what);
                }
                self.fail(key, Refusal::BadWorker(reason(what)), None)
            }
            Passed::NoAnswer if self.repeat(key, workers) => Step::On,
            Passed::NoAnswer => {
                self.greet_in_tls(key, workers);
                let refusal = Refusal::BadWorker(self.no_answer(key));
                self.fail(key, refusal, None)
            }
        }
    }

    /// Passes on some of a request's body.
    fn pass_request(&mut self, key: Key) -> Passed {
        let Some(client) = self.clients.get_mut(key) else {
            return Passed::Gone;
        };
        let Phase::Serving(exchange) = &mut client.phase else {
            return Passed::Nothing;
        };
        let Stage::With(_, pair) = exchange.stage else {
            return Passed::Nothing;
        };
        let Some(pair) = self.pairs.get_mut(pair) else {
            return Passed::Nothing;
        };
        // A worker that has gone will be seen by its answer, or the want of it.
        match pair.link.flush(&self.epoll) {
            Ok(any) if any => client.active_at = self.now,
            Ok(_) => {}
            Err(_) => return Passed::Nothing,
        }
        if exchange.request_done {
            return Passed::Nothing;
        }
        if pair.link.is_clogged() {
            return Passed::Nothing;
        }
        let mut kept = std::mem::take(&mut client.link.input);
        let input: &[u8] = if kept.is_empty() {
            match client.link.read(&mut self.room, &self.epoll) {
                Read::Some(len) => self.room.get(..len).unwrap_or(&[]),
                Read::Nothing => return Passed::Nothing,
                // Half a request: its worker shall see that it has ended too.
                Read::End => {
                    return Passed::Failed(
                        Refusal::Malformed("the request's body ends early"),
                        None,
                    );
                }
                Read::Broken => return Passed::Gone,
            }
        } else {
            &kept
        };
        self.out.clear();
        let coded = recode(
            &mut exchange.request,
            exchange.request_encoder,
            input,
            &mut self.out,
        );
        let coded = match coded {
            Ok(coded) => coded,
            Err(refusal) => return Passed::Failed(refusal, None),
        };
        client.link.add_work(coded.units());
        let Coded { read, data, direct } = coded;
        // What is not data, as extensions of chunks are, keeps no client alive.
        exchange.portion += data;
        // Where the worker has begun to answer, the two of them talk.
        if exchange.portion >= PORTION || exchange.answer.is_some() {
            exchange.portion = 0;
            client.active_at = self.now;
        }
        exchange.body += data as u64;
        if self.settings.body > 0 && exchange.body > self.settings.body {
            return Passed::Failed(Refusal::BodyTooLarge, None);
        }
        let direct = input.get(direct).unwrap_or(&[]);
        exchange.request_done = exchange.request.is_done();
        let mut tail = Vec::new();
        if exchange.request_done {
            // Trailers stay here: workers are known to take them for the next request.
            exchange.request_encoder.end(&[], &mut tail);
            self.out.extend_from_slice(&tail);
        }
        exchange.sent_at = self.now;
        // As above.
        let _ = pair.link.send(&self.out, direct, &self.epoll);
        client.link.input = if kept.is_empty() {
            Input::of(input.get(read..).unwrap_or(&[]))
        } else {
            kept.advance(read);
            kept
        };
        Passed::On
    }

    /// Passes on some of a response.
    fn pass_response(&mut self, key: Key) -> Passed {
        let keeps_clients = self.keeps_clients();
        let Some(client) = self.clients.get_mut(key) else {
            return Passed::Gone;
        };
        let Phase::Serving(exchange) = &mut client.phase else {
            return Passed::Nothing;
        };
        let Stage::With(member, pair_key) = exchange.stage else {
            return Passed::Nothing;
        };
        let Some(pair) = self.pairs.get_mut(pair_key) else {
            return Passed::NoAnswer;
        };
        if client.link.is_clogged() {
            return Passed::Nothing;
        }
        let mut kept = std::mem::take(&mut pair.link.input);
        let read = pair.link.read(&mut self.room, &self.epoll);
        let input: &[u8] = match read {
            Read::Some(len) if kept.is_empty() => self.room.get(..len).unwrap_or(&[]),
            Read::Some(len) => {
                kept.extend(self.room.get(..len).unwrap_or(&[]));
                &kept
            }
            // What is kept is a head that is not complete.
            Read::Nothing => {
                pair.link.input = kept;
                return Passed::Nothing;
            }
            Read::End | Read::Broken => {
                return match &exchange.answer {
                    None => Passed::NoAnswer,
                    Some(answer) if read == Read::End && answer.decoder.ends_with_connection() => {
                        self.out.clear();
                        answer.encoder.end(&[], &mut self.out);
                        match client.link.send(&self.out, &[], &self.epoll) {
                            Ok(()) => Passed::Complete,
                            Err(_) => Passed::Gone,
                        }
                    }
                    Some(_) => Passed::Failed(
                        Refusal::BadWorker(
                            "the worker closed its connection before its response was complete",
                        ),
                        None,
                    ),
                };
            }
        };
        client.active_at = self.now;
        client.link.add_work(pair.link.take_work().0);
        self.out.clear();
        let mut rest = input;
        let is_new = exchange.answer.is_none();
        while exchange.answer.is_none() {
            match other_protocol(rest) {
                None => {}
                Some(what) => return Passed::Foreign(what),
            }
            let end = match http1::find_end(rest, 0) {
                Ok(End::At(end)) => end,
                Ok(End::Beyond(_)) if rest.len() < RESPONSE_HEAD.max(self.settings.head) => break,
                Ok(End::Beyond(_)) => {
                    return malformed("the response's head is too large");
                }
                Err(_) => return malformed("the response is not HTTP"),
            };
            let (head, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if http1::check_fields(head, RESPONSE_FIELDS).is_err() {
                return malformed("the response has more than 10,000 header fields");
            }
            let (mut few, mut many) = ([MaybeUninit::uninit(); HEADERS], Vec::new());
            let fields = http1::room(head, &mut few, &mut many);
            let response = match http1::parse_response(head, exchange.is_head, fields) {
                Ok(response) => response,
                Err(error) => return malformed(error.0),
            };
            rest = behind;
            if response.is_interim() {
                exchange.interim += 1;
                if exchange.interim > INTERIM {
                    return malformed("the worker sent more than 1,000 interim responses");
                }
                if exchange.version == Version::Http11 {
                    exchange.begun = true;
                    http1::write_response(
                        &response,
                        exchange.version,
                        Framing::Empty,
                        true,
                        Extra::default(),
                        &mut self.out,
                    );
                }
                continue;
            }
            if response.status == 101 && !exchange.wants_upgrade {
                return malformed("the worker changes the protocol without having been asked");
            }
            let framing = match framing_for(&response, exchange.version) {
                // A stream has its own way to tell where a body ends.
                Framing::Chunked if client.link.session().is_some() => Framing::Close,
                framing => framing,
            };
            let keep_alive = exchange.keep_alive
                && exchange.request_done
                && framing != Framing::Close
                && keeps_clients;
            let key = self
                .gates
                .get(&client.gate)
                .and_then(|gate| gate.balancer.key(member));
            let instance = key.map(|key| (key >> 32).to_string()).unwrap_or_default();
            let cookie = key
                .filter(|key| {
                    self.settings.balance.policy == balance::RequestPolicy::Sticky
                        && exchange.wants != Some(*key)
                })
                .map(|key| format!("{COOKIE}={key:x}; Path=/; HttpOnly; SameSite=Lax"));
            let extra = Extra {
                fields: [
                    self.settings
                        .instance_header
                        .as_deref()
                        .map(|name| (name, instance.as_str())),
                    cookie.as_deref().map(|cookie| ("Set-Cookie", cookie)),
                ],
            };
            http1::write_response(
                &response,
                exchange.version,
                framing,
                keep_alive,
                extra,
                &mut self.out,
            );
            exchange.begun = true;
            exchange.record.status = Some(response.status);
            if response.status == 101 {
                let Phase::Serving(exchange) =
                    std::mem::replace(&mut client.phase, Phase::Leaving { until: self.now })
                else {
                    return Passed::Gone;
                };
                let tunnel = Tunnel {
                    record: exchange.record,
                    member,
                    pair: pair_key,
                    is_counted: true,
                    told_worker: false,
                    told_client: false,
                };
                let sent = client.link.send(&self.out, rest, &self.epoll);
                client.phase = Phase::Tunnel(tunnel);
                return match sent {
                    Ok(()) => Passed::Upgraded,
                    Err(_) => Passed::Gone,
                };
            }
            exchange.answer = Some(Answer {
                decoder: BodyDecoder::new(response.framing),
                encoder: match framing {
                    Framing::Chunked => BodyEncoder::Chunked,
                    Framing::Empty | Framing::Length(_) | Framing::Close => BodyEncoder::Plain,
                },
                keep_alive,
                keep_pair: response
                    .keep_alive
                    .then(|| pool::keep_for(response.idle_timeout)),
                is_event_stream: response.is_event_stream(),
            });
        }
        let Some(answer) = &mut exchange.answer else {
            // A head that is not complete.
            let rest = Input::of(rest);
            if client.link.send(&self.out, &[], &self.epoll).is_err() {
                return Passed::Gone;
            }
            pair.link.input = rest;
            return Passed::On;
        };
        let coded = recode(&mut answer.decoder, answer.encoder, rest, &mut self.out);
        let coded = match coded {
            Ok(coded) => coded,
            Err(refusal) => {
                if is_new {
                    // Its head has not gone out: the client can still be told.
                    exchange.answer = None;
                    exchange.record.status = None;
                }
                return Passed::Failed(Refusal::BadWorker(bad_body(refusal)), None);
            }
        };
        client.link.add_work(coded.units());
        let Coded { read, data, direct } = coded;
        exchange.record.bytes += data as u64;
        let done = answer.decoder.is_done();
        if done {
            let trailers = answer.decoder.trailers();
            answer.encoder.end(trailers, &mut self.out);
            client.link.set_trailers(trailers);
            if read < rest.len() {
                // It says more than was asked: what comes next cannot be trusted.
                answer.keep_pair = None;
            }
        }
        let direct = rest.get(direct).unwrap_or(&[]);
        if client.link.send(&self.out, direct, &self.epoll).is_err() {
            return Passed::Gone;
        }
        if done { Passed::Complete } else { Passed::On }
    }
}

fn malformed(detail: &'static str) -> Passed {
    Passed::Failed(Refusal::BadWorker(detail), None)
}

/// What is wrong with a response's body, in the words that the reader has for requests.
fn bad_body(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeadTooLarge(_) => "the response's trailers are too large",
        other => other.reason(),
    }
}

/// How the response's body is framed for a client of this version.
fn framing_for(response: &Response<'_, '_>, client: Version) -> Framing {
    match (response.framing, client) {
        (Framing::Chunked | Framing::Close, Version::Http11) => Framing::Chunked,
        (Framing::Chunked | Framing::Close, Version::Http10) => Framing::Close,
        (framing, _) => framing,
    }
}
