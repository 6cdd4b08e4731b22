//! What must hold of any bytes at all. Each function takes some, and panics where something does
//! not hold; the seeded tests call them, and so do the fuzz targets in `fuzz/`.

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};

use http1::{
    BodyDecoder, BodyEncoder, End, Extra, Framing, HEADERS, Hop, Networks, ProxyHeader, Request,
    Response, Upgrade, Version, find_end, parse_request, parse_response, read_proxy_header,
    write_request, write_response,
};

pub(crate) type Property = fn(&[u8]);

/// All of them, by name.
pub(crate) const ALL: [(&str, Property); 5] = [
    ("heads", heads),
    ("requests", requests),
    ("responses", responses),
    ("bodies", bodies),
    ("proxy_protocol", proxy_protocol),
];

/// A head's end is the same however the head is cut on its way: what comes first decides.
pub(crate) fn heads(bytes: &[u8]) {
    let whole = find_end(bytes, 0);
    let mut from = 0;
    let mut cut = Ok(End::Beyond(0));
    for len in 1..=bytes.len() {
        cut = find_end(&bytes[..len], from);
        match cut {
            Ok(End::Beyond(next)) => from = next,
            _ => break,
        }
    }
    match (whole, cut) {
        (Ok(End::At(a)), Ok(End::At(b))) => assert_eq!(a, b),
        (Ok(End::Beyond(_)), Ok(End::Beyond(_))) | (Err(_), Err(_)) => {}
        (whole, cut) => panic!("{whole:?} at once, and {cut:?} in pieces"),
    }
}

/// A request that is understood is written anew so that it is understood in the same way, and
/// writing it once more changes nothing.
pub(crate) fn requests(bytes: &[u8]) {
    let Some(head) = complete(bytes) else { return };
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let Ok(request) = parse_request(head, &mut room) else {
        return;
    };
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let everybody = Networks(vec!["0.0.0.0/0".parse().unwrap()]);
    http1::client_of(&request, Some(peer), &everybody);
    http1::cookie(request.headers, b"a");
    let hop = |trusted| Hop {
        peer: Some(peer),
        tls: false,
        trusted,
        authority: "app:80",
    };
    // What is believed of others is passed on in their words; it must not break out of its field.
    read_back(&request, hop(&everybody));
    let nobody = Networks(Vec::new());
    let first = read_back(&request, hop(&nobody));
    let mut room = [MaybeUninit::uninit(); HEADERS];
    // Three fields have been added: so there may be too many now.
    if let Ok(again) = parse_request(&first, &mut room) {
        assert_eq!(first, read_back(&again, hop(&nobody)), "written twice");
    }
}

/// Writes a request, reads it, and returns what was written.
fn read_back(request: &Request<'_, '_>, hop: Hop<'_>) -> Vec<u8> {
    let mut written = Vec::new();
    write_request(request, hop, &mut written);
    assert_eq!(find_end(&written, 0), Ok(End::At(written.len())));
    let mut room = [MaybeUninit::uninit(); HEADERS];
    let read = match parse_request(&written, &mut room) {
        Ok(read) => read,
        Err(http1::Refusal::HeadTooLarge(_)) if request.headers.len() + 6 > HEADERS => {
            return written;
        }
        Err(refusal) => panic!("{refusal:?}: {}", written.escape_ascii()),
    };
    assert_eq!(read.method, request.method);
    assert_eq!(read.framing, request.framing);
    assert_eq!(read.upgrade, request.upgrade);
    assert_eq!(read.version, Version::Http11);
    assert_eq!(read.host, request.host.or(Some(hop.authority.as_bytes())));
    assert_eq!(
        read.target.trim_start_matches('/'),
        request.target.trim_start_matches('/')
    );
    assert!(read.keep_alive || request.upgrade != Upgrade::No);
    assert!(request.expects_continue || !read.expects_continue);
    written
}

/// The same of a response, to whatever request.
pub(crate) fn responses(bytes: &[u8]) {
    let Some(head) = complete(bytes) else { return };
    for is_head in [false, true] {
        let mut room = [MaybeUninit::uninit(); HEADERS];
        let Ok(response) = parse_response(head, is_head, &mut room) else {
            continue;
        };
        response.is_event_stream();
        for (version, keep_alive) in [
            (Version::Http11, true),
            (Version::Http11, false),
            (Version::Http10, true),
        ] {
            let framing = match (response.framing, version) {
                (Framing::Close, Version::Http11) => Framing::Chunked,
                (Framing::Chunked, Version::Http10) => Framing::Close,
                (framing, _) => framing,
            };
            // Who cannot tell where it ends is told by the connection's end.
            let keep_alive = keep_alive && framing != Framing::Close;
            let write = |response: &Response<'_, '_>| {
                let mut written = Vec::new();
                let extra = Extra::default();
                write_response(response, version, framing, keep_alive, extra, &mut written);
                written
            };
            let written = write(&response);
            assert_eq!(find_end(&written, 0), Ok(End::At(written.len())));
            let mut room = [MaybeUninit::uninit(); HEADERS];
            let read = match parse_response(&written, is_head, &mut room) {
                Ok(read) => read,
                Err(_) if response.headers.len() + 2 > HEADERS => continue,
                Err(error) => panic!("{error:?}: {}", written.escape_ascii()),
            };
            assert_eq!(read.status, response.status);
            assert_eq!(read.framing, framing, "{}", written.escape_ascii());
            assert_eq!(written, write(&read), "written twice");
        }
    }
}

/// A body is the same however it is cut on its way, and so is what is made of it for the next hop.
/// The first byte says how it is framed, and where it is cut.
pub(crate) fn bodies(bytes: &[u8]) {
    let Some((&choice, body)) = bytes.split_first() else {
        return;
    };
    let framing = match choice % 4 {
        0 => Framing::Length(body.len() as u64 / 2),
        1 => Framing::Close,
        _ => Framing::Chunked,
    };
    let whole = decode(framing, body, usize::MAX / 2);
    for cut in [1, 2, usize::from(choice).max(1)] {
        assert_eq!(whole, decode(framing, body, cut), "in pieces of {cut}");
    }
    let Some(decoded) = whole else { return };
    let mut again = Vec::new();
    for data in decoded.data.chunks(usize::from(choice).max(1)) {
        BodyEncoder::Chunked.before(data.len(), &mut again);
        again.extend_from_slice(data);
        again.extend_from_slice(BodyEncoder::Chunked.after(data.len()));
    }
    BodyEncoder::Chunked.end(&decoded.trailers, &mut again);
    let read = decode(Framing::Chunked, &again, usize::MAX / 2);
    let read = read.unwrap_or_else(|| panic!("refused: {}", again.escape_ascii()));
    assert_eq!(read.data, decoded.data);
    assert_eq!(read.trailers, decoded.trailers);
    assert!(read.done && read.read == again.len());
}

#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    trailers: Vec<u8>,
    read: usize,
    done: bool,
}

/// Decodes a body piece by piece; `None` if it is refused.
fn decode(framing: Framing, bytes: &[u8], cut: usize) -> Option<Decoded> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut data, mut at) = (Vec::new(), 0);
    while at < bytes.len() && !decoder.is_done() {
        let end = at.saturating_add(cut).min(bytes.len());
        let input = &bytes[at..end];
        let piece = decoder.read(input).ok()?;
        assert!(piece.read <= input.len() && piece.data.end <= piece.read);
        assert!(piece.read > 0 || decoder.is_done());
        data.extend_from_slice(&input[piece.data]);
        at += piece.read;
    }
    Some(Decoded {
        data,
        trailers: if decoder.is_done() {
            decoder.trailers().to_vec()
        } else {
            Vec::new()
        },
        read: at,
        done: decoder.is_done(),
    })
}

/// A PROXY header means the same however it is cut, and whatever follows it.
pub(crate) fn proxy_protocol(bytes: &[u8]) {
    let whole = read_proxy_header(bytes);
    let first = (1..=bytes.len())
        .map(|len| read_proxy_header(&bytes[..len]))
        .find(|read| *read != Ok(ProxyHeader::Incomplete));
    match (whole, first) {
        (Ok(ProxyHeader::Incomplete), None) => {}
        (Ok(ProxyHeader::Complete(len, _)), Some(first)) => {
            assert!(len <= bytes.len());
            assert_eq!(whole, first);
        }
        (Err(_), Some(Err(_)) | None) => {}
        (whole, first) => panic!("{whole:?} at once, and {first:?} in pieces"),
    }
}

/// The head that these bytes begin with.
fn complete(bytes: &[u8]) -> Option<&[u8]> {
    match find_end(bytes, 0) {
        Ok(End::At(end)) => Some(&bytes[..end]),
        _ => None,
    }
}
