//! Requests: their heads, taken apart strictly.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::field::{self, Connection, Kind};
use crate::head::TOO_MANY_FIELDS;
use crate::{Framing, Refusal, Version};

/// What a request wants its connection to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade<'b> {
    /// Nothing else.
    No,
    /// What these tokens name.
    To(&'b [u8]),
}

/// The head of a request. It borrows from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'h, 'b> {
    /// The method, as it was sent.
    pub method: &'b str,
    /// What is asked for: a path with its query, a query alone for that of `/`, or `*`.
    pub target: &'b str,
    /// The version that the client speaks.
    pub version: Version,
    /// The host that it means; only an HTTP/1.0 request may have none.
    pub host: Option<&'b [u8]>,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client lets the connection go on after this.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// What the connection shall become.
    pub upgrade: Upgrade<'b>,
    /// All fields.
    pub headers: &'h [Header<'b>],
    pub(crate) connection: Connection,
}

impl<'b> Request<'_, 'b> {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        let mut fields = self.headers.iter();
        let field = fields.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(field.value)
    }

    /// Whether the response has no body, whatever its fields say.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether it may be sent twice: RFC 9110, 9.2.2.
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }
}

/// Reads the head of a request: all of `bytes`, of which [`crate::find_end`] has found the end.
///
/// # Errors
/// Whatever RFC 9112 calls malformed, and what it lets a recipient repair.
pub fn parse_request<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut [MaybeUninit<Header<'b>>],
) -> Result<Request<'h, 'b>, Refusal> {
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(Refusal::Malformed("the request's head is malformed")),
        Err(error) => return Err(refusal_of(error, bytes)),
    }
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(Refusal::Malformed("the request line is malformed"));
    };
    let version = match parsed.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let headers: &'h [Header<'b>] = parsed.headers;
    let fields = Fields::read(headers, version)?;
    let (target, host) = resolve_target(method, target, fields.host)?;
    if fields.host.is_none() && version == Version::Http11 {
        return Err(Refusal::Malformed("Host is missing"));
    }
    let connection = fields.connection;
    let keep_alive = match version {
        Version::Http10 => connection.keep_alive && !connection.close,
        Version::Http11 => !connection.close,
    };
    let has_body = !matches!(fields.framing, Framing::Empty | Framing::Length(0));
    let upgrade = match fields.upgrade {
        // What is sent behind the head would be read in two ways: as a body, and as what comes
        // after the upgrade. And an upgrade to HTTP/2 would hide further requests from us.
        Some(to) if connection.upgrade && !has_body && version == Version::Http11 && !is_h2(to) => {
            Upgrade::To(to)
        }
        _ => Upgrade::No,
    };
    Ok(Request {
        method,
        target,
        version,
        host,
        framing: fields.framing,
        keep_alive,
        expects_continue: fields.expects_continue && version == Version::Http11,
        upgrade,
        headers,
        connection,
    })
}

fn refusal_of(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge(TOO_MANY_FIELDS),
        httparse::Error::Version if names_other_version(bytes) => Refusal::Version,
        httparse::Error::Version => Refusal::Malformed("the request line is malformed"),
        httparse::Error::HeaderName => Refusal::Malformed("a header field's name is malformed"),
        httparse::Error::HeaderValue => Refusal::Malformed("a header field's value is malformed"),
        httparse::Error::NewLine => Refusal::Malformed("a line ends without a line feed"),
        httparse::Error::Status | httparse::Error::Token => {
            Refusal::Malformed("the request line is malformed")
        }
    }
}

/// Whether the first line is one of another version.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = memchr::memchr(b'\r', bytes).and_then(|end| bytes.get(..end));
    let mut words = line.unwrap_or(&[]).split(|byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', a, b'.', b]), None) => {
            a.is_ascii_digit() && b.is_ascii_digit() && !matches!((a, b), (b'1', b'0' | b'1'))
        }
        _ => false,
    }
}

/// What the fields say about the message as a whole.
struct Fields<'b> {
    host: Option<&'b [u8]>,
    framing: Framing,
    connection: Connection,
    upgrade: Option<&'b [u8]>,
    expects_continue: bool,
}

impl<'b> Fields<'b> {
    fn read(headers: &[Header<'b>], version: Version) -> Result<Self, Refusal> {
        let mut host = None;
        let mut length = None;
        let mut coding = None;
        let mut upgrade = None;
        let mut connection = Connection::default();
        let mut expects_continue = false;
        for header in headers {
            match field::kind(header.name) {
                Kind::Host => once(&mut host, header.value, "Host is there twice")?,
                Kind::ContentLength => {
                    once(&mut length, header.value, "Content-Length is there twice")?;
                }
                Kind::TransferEncoding => {
                    once(
                        &mut coding,
                        header.value,
                        "Transfer-Encoding is there twice",
                    )?;
                }
                Kind::Upgrade => once(&mut upgrade, header.value, "Upgrade is there twice")?,
                Kind::Connection if !connection.add(header.value) => {
                    return Err(Refusal::HeadTooLarge(
                        "the request's Connection is too long",
                    ));
                }
                Kind::Expect => {
                    expects_continue |= header.value.eq_ignore_ascii_case(b"100-continue")
                }
                _ => {}
            }
        }
        if host.is_some_and(|host| !field::is_host(host)) {
            return Err(Refusal::Malformed("Host is not a host"));
        }
        Ok(Self {
            host,
            framing: framing(length, coding, version)?,
            connection,
            upgrade,
            expects_continue,
        })
    }
}

fn once<'b>(
    place: &mut Option<&'b [u8]>,
    value: &'b [u8],
    twice: &'static str,
) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Malformed(twice)),
    }
}

fn framing(
    length: Option<&[u8]>,
    coding: Option<&[u8]>,
    version: Version,
) -> Result<Framing, Refusal> {
    match (length, coding) {
        (None, None) => Ok(Framing::Empty),
        (Some(length), None) => Ok(Framing::Length(field::length(length)?)),
        (Some(_), Some(_)) => Err(Refusal::Malformed(
            "Content-Length and Transfer-Encoding are both there",
        )),
        (None, Some(_)) if version == Version::Http10 => Err(Refusal::Malformed(
            "Transfer-Encoding is not possible in HTTP/1.0",
        )),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(coding)) => {
            let mut items = coding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            let last = items.next_back().unwrap_or(&[]);
            let known = |item: &[u8]| field::is_token_list(item);
            let repeated = items
                .clone()
                .any(|item| item.eq_ignore_ascii_case(b"chunked"));
            if last.eq_ignore_ascii_case(b"chunked") && !repeated && items.all(known) {
                Err(Refusal::UnknownCoding)
            } else {
                Err(Refusal::Malformed("Transfer-Encoding is malformed"))
            }
        }
    }
}

/// What is asked for, and of which host: RFC 9112, 3.2.
fn resolve_target<'b>(
    method: &str,
    target: &'b str,
    host: Option<&'b [u8]>,
) -> Result<(&'b str, Option<&'b [u8]>), Refusal> {
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    // Beyond ASCII it is UTF-8, since it is text: the worker gets the same bytes.
    let visible = |byte: u8| byte >= b'!' && byte != b'\x7f' && byte != b'#';
    if !target.bytes().all(visible) {
        return Err(Refusal::Malformed("the request's target is malformed"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target, host));
    }
    let schemes = [("http://", ":80"), ("https://", ":443")];
    let rest = schemes.iter().find_map(|(scheme, port)| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some((rest, port))
    });
    let Some((rest, default_port)) = rest else {
        return Err(Refusal::Malformed("the request's target is malformed"));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.starts_with(':') || !field::is_host(authority.as_bytes()) {
        return Err(Refusal::Malformed("the request's target names no host"));
    }
    // A scheme's default port may be left out: RFC 9110, 4.2.3.
    let bare = |host| <[u8]>::strip_suffix(host, default_port.as_bytes()).unwrap_or(host);
    if host.is_some_and(|host| !bare(host).eq_ignore_ascii_case(bare(authority.as_bytes()))) {
        return Err(Refusal::Malformed("the request's target and Host differ"));
    }
    let path = match path {
        "" if method == "OPTIONS" => "*",
        "" => "/",
        path => path,
    };
    Ok((path, Some(authority.as_bytes())))
}

fn is_h2(upgrade: &[u8]) -> bool {
    field::list(upgrade).any(|protocol| {
        let is = |other: &[u8]| protocol.eq_ignore_ascii_case(other);
        is(b"h2c") || is(b"h2") || is(b"HTTP/2.0") || is(b"HTTP/2")
    })
}
