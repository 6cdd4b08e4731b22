//! A WebSocket's client side, as far as tests need it: short texts, one frame each.

use std::io;

use crate::client::Client;

/// The example of RFC 6455, with the answer that belongs to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Turns a connection into a WebSocket.
pub(super) fn open(client: &mut Client, path: &str) -> io::Result<()> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    client.write(head.as_bytes())?;
    let mut head = vec![client.line()?];
    while !head.last().is_some_and(String::is_empty) {
        head.push(client.line()?);
    }
    let accept = format!("sec-websocket-accept: {}", ACCEPT.to_ascii_lowercase());
    if head[0].starts_with("http/1.1 101") && head.contains(&accept) {
        return Ok(());
    }
    Err(io::Error::other(format!("{head:?}")))
}

/// Sends a text, which must come back.
pub(super) fn echoes(client: &mut Client, text: &str) -> io::Result<()> {
    send(client, TEXT, text.as_bytes())?;
    let (kind, got) = receive(client)?;
    if kind == TEXT && got == text.as_bytes() {
        return Ok(());
    }
    Err(io::Error::other(format!("{kind:x}: {got:?} for {text}")))
}

/// Says goodbye, and waits for the same and the end of the connection.
pub(super) fn close(client: &mut Client) -> io::Result<()> {
    let code = 1000_u16.to_be_bytes();
    send(client, CLOSE, &code)?;
    let (kind, got) = receive(client)?;
    if kind != CLOSE || got != code {
        return Err(io::Error::other(format!("{kind:x}: {got:?} for a close")));
    }
    match client.line() {
        Ok(line) => Err(io::Error::other(format!("{line:?} after a close"))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error),
    }
}

/// A client's frame: its mask changes nothing.
fn send(client: &mut Client, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    client.write(&[&[kind, 0x80 | length, 0, 0, 0, 0], payload].concat())
}

/// The next frame that is no ping: those are answered.
fn receive(client: &mut Client) -> io::Result<(u8, Vec<u8>)> {
    loop {
        let head = client.bytes(2)?;
        let payload = client.bytes(usize::from(head[1]))?;
        if head[0] != PING {
            return Ok((head[0], payload));
        }
        send(client, PONG, &payload)?;
    }
}
