//! Header fields: which ones concern a proxy, and what some of them say.

use httparse::Header;

use crate::Refusal;
use crate::head::is_token;

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Passed on as it is.
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    /// For the next hop alone: RFC 9110, 7.6.1. Dropped.
    Hop,
    /// What trailers will come.
    Trailer,
    KeepAlive,
    /// Written by proxies for who stands behind them.
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
    Forwarded,
    RealIp,
    /// Another field by which a proxy tells an app who its client is, or what it has asked for.
    Identity,
    /// Spelled so that a program which maps names to variables takes it for one of the above.
    Disguised,
}

/// What the field of this name is.
pub(crate) fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Kind::Hop,
        4 if is("host") => Kind::Host,
        6 if is("expect") => Kind::Expect,
        7 if is("upgrade") => Kind::Upgrade,
        7 if is("trailer") => Kind::Trailer,
        9 if is("x-real-ip") => Kind::RealIp,
        9 if is("forwarded") => Kind::Forwarded,
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::KeepAlive,
        14 if is("content-length") => Kind::ContentLength,
        14 if is("http2-settings") => Kind::Hop,
        15 if is("x-forwarded-for") => Kind::ForwardedFor,
        16 if is("x-forwarded-host") => Kind::ForwardedHost,
        16 if is("proxy-connection") => Kind::Hop,
        17 if is("x-forwarded-proto") => Kind::ForwardedProto,
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        _ if name.contains('_') && is_disguised(name) => Kind::Disguised,
        _ if is_identity(name) => Kind::Identity,
        _ => Kind::Other,
    }
}

fn is_disguised(name: &str) -> bool {
    matches!(
        kind(&name.replace('_', "-")),
        Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::ForwardedFor
            | Kind::ForwardedHost
            | Kind::ForwardedProto
            | Kind::RealIp
            | Kind::Identity
    )
}

/// Whether apps and frameworks take such a field for the word of a proxy before them: about the
/// client's address, its TLS and certificate, its user, or the host, port and path that it meant.
fn is_identity(name: &str) -> bool {
    /// Whatever begins so.
    const FAMILIES: [&str; 4] = [
        "x-forwarded-",
        "x-auth-request-",
        "x-ssl-client-",
        "ssl-client-",
    ];
    const NAMES: [&str; 40] = [
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-pseudo-ipv4",
        "client-ip",
        "cloudfront-forwarded-proto",
        "cloudfront-viewer-address",
        "do-connecting-ip",
        "fastly-client-ip",
        "fastly-ssl",
        "fly-client-ip",
        "forwarded-for",
        "front-end-https",
        "remote-user",
        "true-client-ip",
        "x-appengine-user-ip",
        "x-arr-clientcert",
        "x-arr-ssl",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-cert",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-forwarded",
        "x-host",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-url",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-real-port",
        "x-remote-addr",
        "x-remote-ip",
        "x-remote-user",
        "x-rewrite-url",
        "x-scheme",
        "x-ssl",
        "x-url-scheme",
        "x-webauth-user",
        "x-https",
    ];
    // Most fields need no further look.
    let first = name.as_bytes().first().map(u8::to_ascii_lowercase);
    if !matches!(first, Some(b'x' | b'c' | b'd' | b'f' | b'r' | b's' | b't')) {
        return false;
    }
    let begins = |family: &&str| {
        let beginning = name.as_bytes().get(..family.len());
        beginning.is_some_and(|it| it.eq_ignore_ascii_case(family.as_bytes()))
    };
    FAMILIES.iter().any(begins) || NAMES.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// The fields that say who stands behind this client. Nothing of it need be true.
pub fn claims<'h, 'b>(headers: &'h [Header<'b>]) -> impl Iterator<Item = &'h Header<'b>> {
    headers.iter().filter(|header| {
        matches!(
            kind(header.name),
            Kind::ForwardedFor | Kind::Forwarded | Kind::RealIp | Kind::Identity
        )
    })
}

/// What `Connection` may say, in bytes over all lines of it: each other field is looked up in it.
const CONNECTION: usize = 1024;

/// What a `Connection` field says, over all lines of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The connection ends after this message.
    pub close: bool,
    /// An HTTP/1.0 connection goes on.
    pub keep_alive: bool,
    /// `Upgrade` is meant.
    pub upgrade: bool,
    /// It names fields that are for this hop alone.
    pub(crate) names_fields: bool,
    len: usize,
}

impl Connection {
    /// Reads one line of it; `false` if it says too much.
    pub(crate) fn add(&mut self, value: &[u8]) -> bool {
        self.len += value.len();
        if self.len > CONNECTION {
            return false;
        }
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.eq_ignore_ascii_case(b"te") {
                self.names_fields = true;
            }
        }
        true
    }
}

/// What a message's `Connection` fields name as being for one hop alone. Gathered once for all its
/// fields, which may be many.
pub(crate) fn named<'b>(headers: &[Header<'b>], connection: Connection) -> Vec<&'b [u8]> {
    if !connection.names_fields {
        return Vec::new();
    }
    let fields = headers.iter();
    fields
        .filter(|header| kind(header.name) == Kind::Connection)
        .flat_map(|header| list(header.value))
        .collect()
}

/// Fields that everybody on the way needs: a client that names them as being for one hop alone
/// wants somebody behind us not to see them.
pub(crate) fn is_end_to_end(name: &str) -> bool {
    const ALWAYS: [&str; 9] = [
        "authorization",
        "cookie",
        "content-type",
        "content-encoding",
        "content-range",
        "cache-control",
        "origin",
        "range",
        "set-cookie",
    ];
    ALWAYS
        .iter()
        .any(|always| name.eq_ignore_ascii_case(always))
}

/// Whether a field may stand in trailers: RFC 9110, 6.5.1. One that frames the message, routes it,
/// or says what is to be done with it comes too late there, and whoever merges trailers into the
/// head would believe it.
pub(crate) fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 12] = [
        "age",
        "allow",
        "date",
        "expires",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "retry-after",
        "vary",
        "www-authenticate",
    ];
    kind(name) == Kind::Other
        && !is_end_to_end(name)
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

/// The items of a list: RFC 9110, 5.6.1.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// A length: digits, and nothing else.
pub(crate) fn length(value: &[u8]) -> Result<u64, Refusal> {
    let bad = Refusal::Malformed("Content-Length is not a number");
    if value.is_empty() {
        return Err(bad);
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10);
        digit
            .and_then(|digit| length.checked_mul(10)?.checked_add(u64::from(digit)))
            .ok_or(bad)
    })
}

/// Whether this may stand in `Host`: a name or an address, and perhaps a port.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => {
                let (address, rest) = rest.split_at(end);
                let is_v6 = |byte: &u8| byte.is_ascii_hexdigit() || b":.%".contains(byte);
                if address.is_empty() || !address.iter().all(is_v6) {
                    return false;
                }
                (&[][..], rest.get(1..).unwrap_or(&[]))
            }
            None => return false,
        },
        _ => value.split_at(memchr::memchr(b':', value).unwrap_or(value.len())),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
    let is_port = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name.iter().all(is_name) && is_port
}

/// The value of a cookie in the `Cookie` fields.
pub fn cookie<'b>(headers: &[Header<'b>], name: &[u8]) -> Option<&'b [u8]> {
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("cookie"))
        .flat_map(|header| header.value.split(|byte| *byte == b';'))
        .find_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
            Some(value)
        })
}

/// Whether all of it is a token.
pub(crate) fn is_token_list(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| is_token(*byte))
}
