//! HTTP/1.1 as a proxy speaks it.
//!
//! Bytes in, decisions out: nothing here does I/O or reads a clock. A message is taken apart
//! strictly ([`Request`], [`Response`], [`BodyDecoder`]), and written anew ([`write_request`],
//! [`write_response`], [`BodyEncoder`]), so that what the next reader sees cannot be read in two
//! ways. Whatever RFC 9112 lets a recipient repair is refused instead: what two programs repair
//! differently is what request smuggling is made of.

#![forbid(unsafe_code)]

mod body;
mod chunked;
mod field;
mod forward;
mod head;
mod network;
mod proxy_protocol;
mod refusal;
mod request;
mod response;

pub use body::{BodyDecoder, BodyEncoder, Framing, Piece};
pub use field::{Connection, claims, cookie};
pub use forward::{Extra, Hop, client_of, write_request, write_response};
pub use head::{End, HEADERS, check_fields, find_end, room};
pub use network::{Network, Networks};
pub use proxy_protocol::{ProxyHeader, read_proxy_header};
pub use refusal::Refusal;
pub use request::{Request, Upgrade, parse_request};
pub use response::{Response, ResponseError, parse_response};

/// The version of a message; others are not spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}
