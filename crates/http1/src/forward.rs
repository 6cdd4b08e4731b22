//! Writing messages anew for the next hop.
//!
//! The head is composed from what was understood, not copied: one space here, one colon there,
//! the body's framing as it was read, and only the fields that are for everybody.

use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;

use httparse::Header;

use crate::field::{self, Kind};
use crate::network::{Networks, address};
use crate::{Framing, Request, Response, Upgrade, Version};

/// Who is before us, as far as the worker shall know of it.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The client's address; none over a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whose words about those before them are believed.
    pub trusted: &'a Networks,
    /// The name for a request that names no host.
    pub authority: &'a str,
}

/// Writes the head of a request for a worker.
pub fn write_request(request: &Request<'_, '_>, hop: Hop<'_>, to: &mut Vec<u8>) {
    // A URL may have a query and no path; for a worker it has one: RFC 9110, 4.2.3.
    let root: &[u8] = match request.target.as_bytes() {
        [b'?', ..] => b"/",
        _ => b"",
    };
    let target = request.target.as_bytes();
    put(to, &[request.method.as_bytes(), b" ", root, target]);
    to.extend_from_slice(b" HTTP/1.1\r\n");
    let host = request.host.unwrap_or(hop.authority.as_bytes());
    put(to, &[b"Host: ", host, b"\r\n"]);
    let believed = hop.trusted.trusts(hop.peer);
    let said = if believed {
        Said::by(request.headers)
    } else {
        Said::default()
    };
    // Ours stand in front: a server that keeps only the first fields (Node keeps 1,000) drops the
    // client's.
    let peer = write_forwarded(&said, hop, host, to);
    write_real_ip(request, &said, hop, peer, to);
    match request.framing {
        Framing::Length(length) => put_length(to, length),
        Framing::Chunked => to.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::Close => {}
    }
    if let Upgrade::To(protocol) = request.upgrade {
        put(
            to,
            &[b"Connection: Upgrade\r\nUpgrade: ", protocol, b"\r\n"],
        );
    }
    write_others(request, believed, to);
    to.extend_from_slice(b"\r\n");
}

/// Writes the client's fields that are for the worker as they are.
fn write_others(request: &Request<'_, '_>, believed: bool, to: &mut Vec<u8>) {
    let named = field::named(request.headers, request.connection);
    for header in request.headers {
        match field::kind(header.name) {
            Kind::Host
            | Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Connection
            | Kind::Upgrade
            | Kind::Hop
            | Kind::Trailer
            | Kind::KeepAlive
            | Kind::Disguised
            | Kind::ForwardedFor
            | Kind::ForwardedProto
            | Kind::ForwardedHost
            | Kind::Forwarded
            | Kind::RealIp => {}
            Kind::Identity if believed => put_field(to, header),
            Kind::Identity => {}
            Kind::Expect if request.version == Version::Http10 => {}
            Kind::Expect | Kind::Other => {
                if !is_for_us_alone(&named, header) {
                    put_field(to, header);
                }
            }
        }
    }
}

/// What the proxies before us have said.
#[derive(Default)]
struct Said<'b> {
    forwarded_for: Vec<u8>,
    proto: Option<&'b [u8]>,
    host: Option<&'b [u8]>,
    forwarded: Vec<u8>,
    real_ip: Option<&'b [u8]>,
}

impl<'b> Said<'b> {
    fn by(headers: &[Header<'b>]) -> Self {
        let mut said = Self::default();
        for header in headers {
            match field::kind(header.name) {
                Kind::ForwardedFor => said.add_for(header.value),
                Kind::ForwardedProto => said.proto = Some(header.value),
                Kind::ForwardedHost => said.host = Some(header.value),
                Kind::Forwarded => said.add_forwarded(header.value),
                Kind::RealIp => said.real_ip = Some(header.value),
                _ => {}
            }
        }
        said
    }

    fn add_for(&mut self, value: &[u8]) {
        self.forwarded_for.extend_from_slice(value);
        self.forwarded_for.extend_from_slice(b", ");
    }

    fn add_forwarded(&mut self, value: &[u8]) {
        self.forwarded.extend_from_slice(value);
        self.forwarded.extend_from_slice(b", ");
    }
}

/// Writes who has passed the request on. Returns where in `to` the peer's address stands.
fn write_forwarded(said: &Said<'_>, hop: Hop<'_>, host: &[u8], to: &mut Vec<u8>) -> Range<usize> {
    let proto: &[u8] = if hop.tls { b"https" } else { b"http" };
    // Writing to a vector does not fail.
    let mut peer = 0..0;
    if let Some(address) = hop.peer {
        put(to, &[b"X-Forwarded-For: ", &said.forwarded_for]);
        let from = to.len();
        let _ = write!(to, "{address}");
        peer = from..to.len();
        to.extend_from_slice(b"\r\n");
    } else if let Some(row) = said.forwarded_for.strip_suffix(b", ") {
        // A balancer at a Unix socket has no address to add.
        put(to, &[b"X-Forwarded-For: ", row, b"\r\n"]);
    }
    put(
        to,
        &[b"X-Forwarded-Proto: ", said.proto.unwrap_or(proto), b"\r\n"],
    );
    put(
        to,
        &[b"X-Forwarded-Host: ", said.host.unwrap_or(host), b"\r\n"],
    );
    put(to, &[b"Forwarded: ", &said.forwarded]);
    // What has been written once is copied.
    match hop.peer {
        Some(IpAddr::V4(_)) => {
            to.extend_from_slice(b"for=");
            to.extend_from_within(peer.clone());
        }
        Some(IpAddr::V6(_)) => {
            to.extend_from_slice(b"for=\"[");
            to.extend_from_within(peer.clone());
            to.extend_from_slice(b"]\"");
        }
        None => to.extend_from_slice(b"for=unknown"),
    }
    put(to, &[b";host=\"", host, b"\";proto=", proto, b"\r\n"]);
    peer
}

/// The one address that many apps ask for: the client's, as far as those are to be believed who
/// name it. Where they name a whole row of proxies, that says it better than their `X-Real-IP`,
/// which may be the client's own.
fn write_real_ip(
    request: &Request<'_, '_>,
    said: &Said<'_>,
    hop: Hop<'_>,
    peer: Range<usize>,
    to: &mut Vec<u8>,
) {
    if !said.forwarded_for.is_empty() {
        if let Some(client) = client_of(request, hop.peer, hop.trusted) {
            // Writing to a vector does not fail.
            let _ = write!(to, "X-Real-IP: {client}\r\n");
        }
    } else if let Some(theirs) = said.real_ip {
        put(to, &[b"X-Real-IP: ", theirs, b"\r\n"]);
    } else if hop.peer.is_some() {
        to.extend_from_slice(b"X-Real-IP: ");
        to.extend_from_within(peer);
        to.extend_from_slice(b"\r\n");
    }
}

/// The client that a request comes from, by what trusted proxies say: the last address in
/// `X-Forwarded-For` that is not one of theirs. `None` where the peer has no address, and none is
/// named.
pub fn client_of(
    request: &Request<'_, '_>,
    peer: Option<IpAddr>,
    trusted: &Networks,
) -> Option<IpAddr> {
    let mut client = peer;
    let fields = request.headers.iter().rev();
    let said = fields
        .filter(|header| field::kind(header.name) == Kind::ForwardedFor)
        .flat_map(|header| header.value.rsplit(|byte| *byte == b','));
    for word in said {
        if !trusted.trusts(client) {
            break;
        }
        match address(word) {
            Some(before) => client = Some(before),
            None => break,
        }
    }
    client
}

/// What is added to a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// A field, name and value.
    pub fields: [Option<(&'a str, &'a str)>; 2],
}

/// Writes the head of a response for a client. `framing` is that of the body as it will be
/// written; with `keep_alive` the connection goes on after it.
pub fn write_response(
    response: &Response<'_, '_>,
    client: Version,
    framing: Framing,
    keep_alive: bool,
    extra: Extra<'_>,
    to: &mut Vec<u8>,
) {
    to.extend_from_slice(b"HTTP/1.1 ");
    // Statuses have three digits.
    put_number(to, response.status.into());
    put(to, &[b" ", response.reason.as_bytes(), b"\r\n"]);
    let upgraded = response.status == 101;
    let named = field::named(response.headers, response.connection);
    for header in response.headers {
        match field::kind(header.name) {
            Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Connection
            | Kind::Hop
            | Kind::KeepAlive => {}
            Kind::Upgrade if !(upgraded || response.status == 426) => {}
            Kind::Trailer if framing != Framing::Chunked => {}
            _ => {
                if !is_for_us_alone(&named, header) {
                    put_field(to, header);
                }
            }
        }
    }
    for (name, value) in extra.fields.into_iter().flatten() {
        put(to, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    match (framing, response.length) {
        (Framing::Length(length), _) => put_length(to, length),
        (Framing::Empty, Some(length)) if response.status >= 200 && response.status != 204 => {
            put_length(to, length);
        }
        (Framing::Chunked, _) => to.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (Framing::Empty | Framing::Close, _) => {}
    }
    if upgraded {
        to.extend_from_slice(b"Connection: Upgrade\r\n");
    } else if response.status == 426 {
        // It says what the client must speak, and that is for this connection alone.
        let close: &[u8] = if keep_alive { b"" } else { b", close" };
        put(to, &[b"Connection: Upgrade", close, b"\r\n"]);
    } else if response.is_interim() {
    } else if !keep_alive {
        to.extend_from_slice(b"Connection: close\r\n");
    } else if client == Version::Http10 {
        to.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    to.extend_from_slice(b"\r\n");
}

/// Whether the message's own `Connection` names this field, and may.
fn is_for_us_alone(named: &[&[u8]], header: &Header<'_>) -> bool {
    let name = header.name.as_bytes();
    named.iter().any(|option| option.eq_ignore_ascii_case(name))
        && !field::is_end_to_end(header.name)
}

fn put(to: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        to.extend_from_slice(part);
    }
}

fn put_field(to: &mut Vec<u8>, header: &Header<'_>) {
    put(to, &[header.name.as_bytes(), b": ", header.value, b"\r\n"]);
}

fn put_length(to: &mut Vec<u8>, length: u64) {
    to.extend_from_slice(b"Content-Length: ");
    put_number(to, length);
    to.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal, for which formatting takes its time in each message.
fn put_number(to: &mut Vec<u8>, mut number: u64) {
    let from = to.len();
    loop {
        to.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = to.get_mut(from..) {
        digits.reverse();
    }
}
