//! The head of a response: read, checked, and written anew for the client.

use std::mem::MaybeUninit;

use balance::RequestPolicy;
use http1::{BodyDecoder, End, Extra, Framing, HEADERS, Response, Version};

use super::{Passed, malformed};
use crate::Settings;
use crate::detect::other_protocol;
use crate::downstream::carrier::Carrier;
use crate::exchange::begin::COOKIE;
use crate::exchange::{Answer, Exchange, encoder};
use crate::upstream::connection::keep_for;
use telemetry::ids::Place;

/// How long a response's head may be, where requests' heads may not be longer.
const RESPONSE_HEAD: usize = 256 * 1024;

/// How many fields a response may have: more than that are no use, and HTTP/2 has no room for them.
const RESPONSE_FIELDS: usize = 10_000;

/// How many interim responses (100, 102, 103) may come before a response. Early hints and a sign of
/// life each second of a long upload need fewer; without a limit a worker could go on for ever.
const INTERIM: u32 = 1000;

/// What has come of a response, and what is behind it.
pub(super) enum Head<'a> {
    Incomplete(&'a [u8]),
    /// The exchange has its answer.
    Complete(&'a [u8]),
    /// The connection becomes a tunnel.
    Upgrade(&'a [u8]),
}

/// What a response's head depends on beside the request.
pub(super) struct Rules<'a, F> {
    pub(super) settings: &'a Settings,
    pub(super) carrier: Carrier,
    /// Clients' connections go on after a response.
    pub(super) keeps_clients: bool,
    /// Which worker responds.
    pub(super) worker: F,
}

/// Reads interim responses and the response's head, and writes them for the client.
pub(super) fn read<'a, F: Fn() -> Option<Place>>(
    mut input: &'a [u8],
    exchange: &mut Exchange,
    rules: Rules<'_, F>,
    out: &mut Vec<u8>,
) -> Result<Head<'a>, Passed> {
    loop {
        if let Some(what) = other_protocol(input) {
            return Err(Passed::Foreign(what));
        }
        let end = match http1::find_end(input, 0) {
            Ok(End::At(end)) => end,
            Ok(End::Beyond(_)) if input.len() < RESPONSE_HEAD.max(rules.settings.head) => {
                return Ok(Head::Incomplete(input));
            }
            Ok(End::Beyond(_)) => return Err(malformed("the response's head is too large")),
            Err(_) => return Err(malformed("the response is not HTTP")),
        };
        let (head, behind) = input.split_at_checked(end).unwrap_or((input, &[]));
        if http1::check_fields(head, RESPONSE_FIELDS).is_err() {
            return Err(malformed("the response has more than 10,000 header fields"));
        }
        let (mut few, mut many) = ([MaybeUninit::uninit(); HEADERS], Vec::new());
        let fields = http1::room(head, &mut few, &mut many);
        let response = http1::parse_response(head, exchange.is_head, fields)
            .map_err(|error| malformed(error.0))?;
        input = behind;
        if response.is_interim() {
            pass_interim(&response, exchange, out)?;
            continue;
        }
        if response.status == 101 && !exchange.wants_upgrade {
            return Err(malformed(
                "the worker changes the protocol without having been asked",
            ));
        }
        write(&response, exchange, &rules, out);
        return Ok(match response.status {
            101 => Head::Upgrade(input),
            _ => Head::Complete(input),
        });
    }
}

fn pass_interim(
    response: &Response<'_, '_>,
    exchange: &mut Exchange,
    out: &mut Vec<u8>,
) -> Result<(), Passed> {
    exchange.interim += 1;
    if exchange.interim > INTERIM {
        return Err(malformed(
            "the worker sent more than 1,000 interim responses",
        ));
    }
    if exchange.version == Version::Http11 {
        exchange.begun = true;
        let (framing, extra) = (Framing::Empty, Extra::default());
        http1::write_response(response, exchange.version, framing, true, extra, out);
    }
    Ok(())
}

/// Writes the head for the client, and notes how the body goes on.
fn write<F: Fn() -> Option<Place>>(
    response: &Response<'_, '_>,
    exchange: &mut Exchange,
    rules: &Rules<'_, F>,
    out: &mut Vec<u8>,
) {
    let settings = rules.settings;
    let framing = rules
        .carrier
        .framing(framing_for(response, exchange.version));
    let keep_alive = exchange.keep_alive
        && exchange.request_done
        && framing != Framing::Close
        && rules.keeps_clients;
    let worker = (rules.worker)();
    let header = settings.instance_header.as_deref();
    let instance = worker.filter(|_| header.is_some());
    let instance = instance.map_or_else(String::new, |place| place.instance.to_string());
    let is_sticky = settings.balance.policy == RequestPolicy::Sticky;
    let cookie = worker
        .map(Place::key)
        .filter(|key| is_sticky && exchange.wants != Some(*key))
        .map(|key| format!("{COOKIE}={key:x}; Path=/; HttpOnly; SameSite=Lax"));
    let extra = Extra {
        fields: [
            header.map(|name| (name, instance.as_str())),
            cookie.as_deref().map(|cookie| ("Set-Cookie", cookie)),
        ],
    };
    http1::write_response(response, exchange.version, framing, keep_alive, extra, out);
    exchange.begun = true;
    exchange.record.status = Some(response.status);
    if response.status != 101 {
        exchange.answer = Some(Answer {
            decoder: BodyDecoder::new(response.framing),
            encoder: encoder(framing),
            keep_alive,
            keep_connection: response.keep_alive.then(|| keep_for(response.idle_timeout)),
            is_event_stream: response.is_event_stream(),
        });
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
