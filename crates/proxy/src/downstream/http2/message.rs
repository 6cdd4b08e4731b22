//! Heads of HTTP/2 in the words of HTTP/1.1, and back. (RFC 9113, 8.)

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};

/// What an HTTP/2 connection begins with, as far as it looks like a head.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Whether the request has a body whose length is not known.
pub(crate) fn is_chunked(request: &Request<h2::RecvStream>) -> bool {
    !request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_LENGTH)
}

/// The head of a request. Whether all in it is as it should be is for its reader to judge.
pub(crate) fn request_head(request: &Request<h2::RecvStream>) -> Vec<u8> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = uri.authority().map(|authority| authority.as_str());
    let mut head = Vec::with_capacity(512);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    let target = match authority {
        Some(authority) if request.method() == Method::CONNECT => authority,
        _ => target,
    };
    put(&[
        request.method().as_str().as_bytes(),
        b" ",
        target.as_bytes(),
        b" HTTP/1.1\r\n",
    ]);
    if let Some(authority) = authority {
        put(&[b"Host: ", authority.as_bytes(), b"\r\n"]);
    }
    let mut cookies = Vec::new();
    for (name, value) in request.headers() {
        if *name == header::COOKIE {
            cookies.push(value.as_bytes());
        } else if *name == header::TE || repeats_authority(name, value, authority) {
            // What it allows concerns this connection only.
        } else {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    if !cookies.is_empty() {
        // They come in crumbs. (8.2.3.)
        put(&[b"cookie: ", &cookies.join(&b"; "[..]), b"\r\n"]);
    }
    if is_chunked(request) {
        put(&[b"Transfer-Encoding: chunked\r\n"]);
    }
    put(&[b"\r\n"]);
    head
}

/// Whether this is a Host that repeats the authority. Another one is passed on: two of them are
/// refused.
fn repeats_authority(name: &HeaderName, value: &HeaderValue, authority: Option<&str>) -> bool {
    *name == header::HOST && authority.is_some_and(|it| it.as_bytes() == value.as_bytes())
}

/// The head of a response, without what concerns a connection of HTTP/1.1 only.
pub(crate) fn response(head: &http1::Response<'_, '_>) -> Option<http::Response<()>> {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let is_of_connection = name == header::CONNECTION
            || name == header::TRANSFER_ENCODING
            || name == header::UPGRADE
            || name == "keep-alive"
            || name == "proxy-connection";
        if !is_of_connection {
            let value = HeaderValue::from_bytes(field.value).ok()?;
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}

/// The fields of trailers, each of which has its line end. They have been checked.
pub(crate) fn trailers(lines: &[u8]) -> HeaderMap {
    let lines = lines.split(|byte| *byte == b'\n');
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.get(1..).unwrap_or(&[]).trim_ascii();
        let name = HeaderName::from_bytes(name).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    });
    let mut all = HeaderMap::new();
    for (name, value) in fields {
        all.append(name, value);
    }
    all
}
