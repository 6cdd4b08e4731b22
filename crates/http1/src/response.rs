//! Responses: what workers answer. A worker is the app's own program, but what it relays may come
//! from anywhere, so that here, too, nothing is repaired.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::field::{self, Connection, Kind};
use crate::{Framing, Version};

/// A response that cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseError(pub &'static str);

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'h, 'b> {
    /// The version that the worker speaks.
    pub version: Version,
    /// The status code, from 100 to 999.
    pub status: u16,
    /// The words behind it.
    pub reason: &'b str,
    /// How its body is framed.
    pub framing: Framing,
    /// The length that it tells of a body which it does not have (HEAD, 304).
    pub length: Option<u64>,
    /// Whether the worker lets the connection go on after this.
    pub keep_alive: bool,
    /// After how many seconds the worker leaves an idle connection, if it tells.
    pub idle_timeout: Option<u64>,
    /// All fields.
    pub headers: &'h [Header<'b>],
    pub(crate) connection: Connection,
}

impl Response<'_, '_> {
    /// Whether another response to the same request follows.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether it is a stream of events, which lasts as long as the client wants it.
    pub fn is_event_stream(&self) -> bool {
        self.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("content-type")
                && header
                    .value
                    .get(..17)
                    .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
        })
    }
}

/// Reads the head of a response: all of `bytes`, of which [`crate::find_end`] has found the end.
/// `head` tells that the request was HEAD.
///
/// # Errors
/// If it is malformed, or tells its length in two ways.
pub fn parse_response<'h, 'b>(
    bytes: &'b [u8],
    head: bool,
    room: &'h mut [MaybeUninit<Header<'b>>],
) -> Result<Response<'h, 'b>, ResponseError> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, room) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(ResponseError("the response has too many header fields"));
        }
        _ => return Err(ResponseError("the response's head is malformed")),
    }
    let status = parsed.code.unwrap_or(0);
    if !(100..=999).contains(&status) {
        return Err(ResponseError("the response's status is no status"));
    }
    let version = match parsed.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let headers: &'h [Header<'b>] = parsed.headers;
    let mut length = None;
    let mut chunked = None;
    let mut connection = Connection::default();
    let mut idle_timeout = None;
    for header in headers {
        match field::kind(header.name) {
            Kind::ContentLength => {
                let new = field::length(header.value)
                    .map_err(|_| ResponseError("the response's Content-Length is no number"))?;
                if length.replace(new).is_some_and(|old| old != new) {
                    return Err(ResponseError("the response has two lengths"));
                }
            }
            Kind::TransferEncoding => {
                let known = header.value.eq_ignore_ascii_case(b"chunked");
                if chunked.replace(header.value).is_some() || !known {
                    return Err(ResponseError("the response's transfer coding is not known"));
                }
            }
            Kind::Connection if !connection.add(header.value) => {
                return Err(ResponseError("the response's Connection is too long"));
            }
            Kind::KeepAlive => idle_timeout = timeout(header.value),
            _ => {}
        }
    }
    if chunked.is_some() && (length.is_some() || version == Version::Http10) {
        return Err(ResponseError("the response tells its length in two ways"));
    }
    let framing = if head || status < 200 || status == 204 || status == 304 {
        Framing::Empty
    } else if chunked.is_some() {
        Framing::Chunked
    } else {
        length.map_or(Framing::Close, Framing::Length)
    };
    Ok(Response {
        version,
        status,
        reason: parsed.reason.unwrap_or(""),
        framing,
        length,
        keep_alive: framing != Framing::Close
            && match version {
                Version::Http10 => connection.keep_alive && !connection.close,
                Version::Http11 => !connection.close,
            },
        idle_timeout,
        headers,
        connection,
    })
}

/// The `timeout` of a `Keep-Alive` field.
fn timeout(value: &[u8]) -> Option<u64> {
    field::list(value).find_map(|item| field::length(item.strip_prefix(b"timeout=")?).ok())
}
