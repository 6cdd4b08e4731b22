//! Responses, and the fields that each of them has.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use serde::Serialize;

use crate::Refused;
use crate::assets::Asset;
use crate::stream::Events;

/// The body of a response: whole, or one that goes on.
pub(super) type Body = Either<Full<Bytes>, Events>;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// What protects the page and its readers, on every response: nothing from elsewhere is loaded, nothing
/// within the page's text is run, no other page shows or reads it.
const FIELDS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// Why something is not answered.
#[derive(Serialize)]
struct Fault<'a> {
    error: &'a str,
}

pub(super) fn whole(
    status: StatusCode,
    kind: &'static str,
    content: impl Into<Bytes>,
) -> Response<Body> {
    protected(status, kind, Either::Left(Full::new(content.into())))
}

/// A file of the page.
pub(super) fn asset(asset: &Asset) -> Response<Body> {
    let mut response = whole(StatusCode::OK, asset.kind, asset.content);
    if asset.is_compressed {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
    }
    response
}

pub(super) fn json(status: StatusCode, content: &impl Serialize) -> Response<Body> {
    json_of(status, serde_json::to_vec(content).unwrap_or_default())
}

/// The same with what is JSON already. Terminals like a line end behind it.
pub(super) fn json_of(status: StatusCode, mut content: Vec<u8>) -> Response<Body> {
    content.push(b'\n');
    whole(status, JSON, content)
}

/// One that goes on with what happens.
pub(super) fn events(events: Events) -> Response<Body> {
    protected(StatusCode::OK, EVENTS, Either::Right(events))
}

/// Why there is no other answer, as the API says it.
pub(super) fn fault(status: StatusCode, text: &str) -> Response<Body> {
    json(status, &Fault { error: text.trim() })
}

pub(super) fn refused(refused: &Refused) -> Response<Body> {
    let status = match refused {
        Refused::Unknown(_) => StatusCode::NOT_FOUND,
        Refused::Failed(_) => StatusCode::CONFLICT,
    };
    fault(status, &refused.to_string())
}

/// It is there, and is asked for in another way.
pub(super) fn wrong_method(methods: &'static str) -> Response<Body> {
    let mut response = fault(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods}"));
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, methods);
    response
}

fn protected(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in FIELDS {
        fields.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}
