//! The beginning of a TLS connection, up to the server's signature, apart from its socket: so another
//! thread can do it.

use std::io;

use rustls::{HandshakeKind, ServerConnection};

/// A TLS connection in which the server has signed nothing yet, and what its client has said.
#[derive(Debug)]
pub(crate) struct Handshake {
    connection: ServerConnection,
    records: Vec<u8>,
    outcome: io::Result<Outcome>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has not signed anything yet: the client has to say more, or something else (HelloRetryRequest).
    Unsigned,
    /// The rest costs little.
    Signed,
}

impl Handshake {
    pub(super) fn new(connection: ServerConnection, records: Vec<u8>) -> Self {
        Self {
            connection,
            records,
            outcome: Ok(Outcome::Unsigned),
        }
    }

    /// Takes in what the client has said. Most of what that costs is a signature.
    pub(crate) fn work(&mut self) {
        let records = std::mem::take(&mut self.records);
        self.outcome = take_in(&mut self.connection, &records);
    }

    /// The connection, and what became of it.
    pub(super) fn into_parts(self) -> (ServerConnection, io::Result<Outcome>) {
        (self.connection, self.outcome)
    }
}

fn take_in(connection: &mut ServerConnection, mut records: &[u8]) -> io::Result<Outcome> {
    let before = connection.handshake_kind();
    while !records.is_empty() {
        connection.read_tls(&mut records)?;
        connection.process_new_packets().map_err(io::Error::other)?;
    }
    let kind = connection.handshake_kind();
    let asks_again = kind != before && kind == Some(HandshakeKind::FullWithHelloRetryRequest);
    Ok(match connection.wants_write() && !asks_again {
        true => Outcome::Signed,
        false => Outcome::Unsigned,
    })
}
