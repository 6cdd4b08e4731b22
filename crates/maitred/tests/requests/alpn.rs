//! What TLS has agreed on (ALPN) is what is spoken: RFC 9113, 3.2 and 3.3.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::apps::{node, started};
use crate::harness::{PATIENCE, Run, beside_others};
use crate::http2::port;
use crate::tls::secured;
use crate::tls_client::{Tls, tls};

const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// The preface, SETTINGS, and GET in stream 1.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
                       \0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";

fn connect(run: &Run, protocols: &[&str]) -> std::io::Result<Tls> {
    let stream = TcpStream::connect(("127.0.0.1", port(run)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    tls(stream, protocols)
}

/// What is said to it until the connection ends, or until `enough`.
fn said(stream: &mut Tls, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut said = Vec::new();
    let mut room = [0; 4096];
    while !enough(&said) {
        match stream.read(&mut room) {
            Ok(0) => break,
            Ok(len) => said.extend(&room[..len]),
            Err(error) => {
                let waits = error.kind() == std::io::ErrorKind::WouldBlock;
                assert!(!waits, "it neither answers nor ends: {said:?}");
                break;
            }
        }
    }
    said
}

/// Whether a frame of this kind is among what was said.
fn has_frame(mut said: &[u8], wanted: u8) -> bool {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = said {
        if *kind == wanted {
            return true;
        }
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        said = rest.get(length..).unwrap_or(&[]);
    }
    false
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

#[test]
fn what_was_agreed_on_is_what_is_spoken() {
    let _turn = beside_others();
    let app = "let count = 0;
      http.createServer((request, response) => response.end(`${++count}`)).listen(port);";
    let run = started(secured(node(app), &["one.test"]), 1);
    let mut served = 0;
    for protocols in [&["h2"][..], &["http/1.1"], &["h2", "http/1.1"], &[]] {
        let speaks_http2 = protocols.contains(&"h2");
        for words in [HTTP1, HTTP2] {
            let what = format!("{protocols:?} {:?}", String::from_utf8_lossy(&words[..8]));
            let mut stream = connect(&run, protocols).unwrap();
            stream.write_all(words).unwrap();
            let fits = (words == HTTP2) == speaks_http2;
            served += usize::from(fits);
            if speaks_http2 {
                let end = if fits { HEADERS } else { GOAWAY };
                let said = said(&mut stream, |said| has_frame(said, end));
                // The settings come first; what is not HTTP/2 may be ended without a word.
                assert!(!said.starts_with(b"HTTP/1.1"), "{what}: {said:?}");
                assert_eq!(has_frame(&said, HEADERS), fits, "{what}: {said:?}");
            } else {
                let said = said(&mut stream, |_| false);
                let text = String::from_utf8_lossy(&said);
                let wanted = if fits { "HTTP/1.1 200 " } else { "HTTP/1.1 4" };
                let late = "HTTP/1.1 505 ";
                assert!(
                    text.starts_with(wanted) || !fits && text.starts_with(late),
                    "{what}: {text}"
                );
            }
        }
    }
    // Nothing in common is no reason to guess.
    assert!(connect(&run, &["smtp"]).is_err());
    let mut last = connect(&run, &[]).unwrap();
    last.write_all(HTTP1).unwrap();
    let said = said(&mut last, |_| false);
    let text = String::from_utf8_lossy(&said);
    assert!(text.ends_with(&format!("\r\n\r\n{}", served + 1)), "{text}");
}
