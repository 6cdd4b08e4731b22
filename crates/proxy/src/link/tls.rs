//! TLS over a socket.

use std::io::{self, Read as _, Write as _};

use rustls::ServerConnection;

use super::frames::{Frames, tls_length};
use super::handshake::{Handshake, Outcome};
use super::socket::Socket;
use super::stream::{Gone, Read};

/// So much of a TLS connection is read at once: a record and its head.
const RECORDS: usize = 18 * 1024;

/// The records that cost a unit of [`crate::limits::shares`], whatever is in them.
const OF_UNIT: u32 = 8;

/// What a handshake costs here: its greater part is another thread's.
const HANDSHAKE: u32 = 8;

/// A TLS connection.
#[derive(Debug)]
pub(crate) struct Tls {
    session: Session,
    records: Frames<5>,
    /// Records that have come and have not been counted as work yet.
    count: u32,
    /// The client has said something; its handshake has been counted as work.
    has_begun: bool,
    is_paid_for: bool,
    is_broken: bool,
}

/// Where the connection's state is.
#[derive(Debug)]
enum Session {
    /// The server has signed nothing yet.
    New(Box<ServerConnection>),
    /// It may now, which is for another thread.
    Due(Box<Handshake>),
    /// That thread has it.
    InHandshake,
    Here(Box<ServerConnection>),
}

impl Tls {
    pub(crate) fn new(connection: ServerConnection) -> Self {
        Self {
            session: Session::New(Box::new(connection)),
            records: Frames::new(0, tls_length),
            count: 0,
            has_begun: false,
            is_paid_for: false,
            is_broken: false,
        }
    }

    /// Whether both sides have agreed on this protocol (ALPN).
    pub(crate) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        match &self.session {
            Session::Here(connection) => connection.alpn_protocol() == Some(protocol),
            Session::New(_) | Session::Due(_) | Session::InHandshake => false,
        }
    }

    /// The beginning of the connection, if it is due.
    pub(crate) fn take_handshake(&mut self) -> Option<Handshake> {
        if !matches!(self.session, Session::Due(_)) {
            return None;
        }
        match std::mem::replace(&mut self.session, Session::InHandshake) {
            Session::Due(handshake) => Some(*handshake),
            _ => None,
        }
    }

    /// Whether the beginning is not done yet.
    pub(crate) fn is_in_handshake(&self) -> bool {
        matches!(self.session, Session::Due(_) | Session::InHandshake)
    }

    /// The beginning is done. Puts into `said` what the server says.
    pub(crate) fn go_on_after(&mut self, handshake: Handshake, said: &mut Vec<u8>) {
        let (mut connection, outcome) = handshake.into_parts();
        drain(&mut connection, said);
        self.is_broken = outcome.is_err();
        self.session = match outcome {
            Ok(Outcome::Unsigned) => Session::New(Box::new(connection)),
            Ok(Outcome::Signed) | Err(_) => Session::Here(Box::new(connection)),
        };
    }

    /// Reads what is within TLS into `buffer`, and puts what TLS itself has to say into `said`. A lot
    /// of records may bring nothing; then others have their turn before the next.
    pub(crate) fn read(
        &mut self,
        socket: &mut Socket,
        buffer: &mut [u8],
        said: &mut Vec<u8>,
    ) -> Read {
        if self.is_broken {
            return Read::Broken;
        }
        match &mut self.session {
            Session::New(_) => {}
            Session::Due(_) | Session::InHandshake => return Read::Nothing,
            Session::Here(connection) => match connection.reader().read(buffer) {
                Ok(0) => return Read::End,
                Ok(len) => return Read::Some(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It ended without saying so: what came may have been cut off.
                Err(_) => return Read::Broken,
            },
        }
        let mut records = [0; RECORDS];
        let bytes = match socket.read(&mut records) {
            Read::Some(len) => records.get(..len).unwrap_or(&[]),
            Read::End => return Read::Broken,
            other => return other,
        };
        self.has_begun = true;
        let mut rest = bytes;
        while self.records.next(&mut rest).is_some() {
            self.count += 1;
        }
        match std::mem::replace(&mut self.session, Session::InHandshake) {
            Session::New(connection) => {
                let handshake = Handshake::new(*connection, bytes.to_vec());
                self.session = Session::Due(Box::new(handshake));
                Read::Nothing
            }
            Session::Here(mut connection) => {
                let taken = decipher(&mut connection, bytes, buffer);
                drain(&mut connection, said);
                let read = match taken {
                    Ok(0) if has_ended(&mut connection) => Read::End,
                    Ok(0) => Read::Nothing,
                    Ok(len) => Read::Some(len),
                    Err(_) => Read::Broken,
                };
                self.session = Session::Here(connection);
                read
            }
            other => {
                self.session = other;
                Read::Nothing
            }
        }
    }

    /// Puts into `said` what the other side gets for these bytes.
    ///
    /// # Errors
    /// If there is no connection yet over which something could be said.
    pub(crate) fn write(&mut self, parts: &[&[u8]], said: &mut Vec<u8>) -> Result<(), Gone> {
        let Session::Here(connection) = &mut self.session else {
            return Err(Gone);
        };
        for part in parts {
            connection.writer().write_all(part).map_err(|_| Gone)?;
        }
        drain(connection, said);
        Ok(())
    }

    /// Puts into `said` that no more will come.
    pub(crate) fn finish(&mut self, said: &mut Vec<u8>) {
        if let Session::Here(connection) | Session::New(connection) = &mut self.session {
            connection.send_close_notify();
            drain(connection, said);
        }
    }

    /// What reading has cost since this was last asked.
    pub(crate) fn take_work(&mut self) -> u32 {
        let units = self.count / OF_UNIT;
        self.count %= OF_UNIT;
        let begins = self.has_begun && !std::mem::replace(&mut self.is_paid_for, true);
        units + if begins { HANDSHAKE } else { 0 }
    }
}

/// Whether the client has said that it says no more, and all that it said has been read.
fn has_ended(connection: &mut ServerConnection) -> bool {
    matches!(connection.reader().read(&mut [0]), Ok(0))
}

/// Takes in what has come, and puts what was within it into `buffer`; how much that is. `buffer`
/// has to hold what can be within [`RECORDS`] and one record before them.
fn decipher(
    connection: &mut ServerConnection,
    mut bytes: &[u8],
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut len = 0;
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes)?;
        connection.process_new_packets().map_err(io::Error::other)?;
        // Of what was not fetched it holds no more than a record.
        loop {
            let to = buffer.get_mut(len..).unwrap_or(&mut []);
            match connection.reader().read(to) {
                Ok(0) => return Ok(len),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(len)
}

/// Takes all that TLS has to say to the other side.
fn drain(connection: &mut ServerConnection, to: &mut Vec<u8>) {
    while connection.wants_write() {
        // Writing to a vector does not fail.
        if connection.write_tls(to).is_err() {
            return;
        }
    }
}
