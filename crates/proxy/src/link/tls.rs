//! TLS over a socket.

use std::io::{self, Read as _};

use rustls::ServerConnection;

use super::frames::{Frames, tls_length};
use super::socket::Socket;
use super::stream::Read;

/// So much of a TLS connection is read at once: a record and its head.
const RECORDS: usize = 18 * 1024;

/// The records that cost a unit of [`crate::limits::shares`], whatever is in them.
const OF_UNIT: u32 = 8;

/// What a handshake costs: some hundred microseconds, most of them for its signature.
const HANDSHAKE: u32 = 48;

/// A TLS connection.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) connection: ServerConnection,
    records: Frames<5>,
    /// Records that have come and have not been counted as work yet.
    count: u32,
    /// The client has said something; its handshake has been counted as work.
    has_begun: bool,
    is_paid_for: bool,
}

impl Tls {
    pub(crate) fn new(connection: ServerConnection) -> Self {
        Self {
            connection,
            records: Frames::new(0, tls_length),
            count: 0,
            has_begun: false,
            is_paid_for: false,
        }
    }

    /// Reads what is within TLS into `buffer`, and puts what TLS itself has to say into `said`. A lot
    /// of records may bring nothing; then others have their turn before the next.
    pub(crate) fn read(
        &mut self,
        socket: &mut Socket,
        buffer: &mut [u8],
        said: &mut Vec<u8>,
    ) -> Read {
        match self.connection.reader().read(buffer) {
            Ok(0) => return Read::End,
            Ok(len) => return Read::Some(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It ended without saying so: what came may have been cut off.
            Err(_) => return Read::Broken,
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
        let taken = self.decipher(bytes, buffer);
        self.drain(said);
        match taken {
            Ok(0) if self.has_ended() => Read::End,
            Ok(0) => Read::Nothing,
            Ok(len) => Read::Some(len),
            Err(_) => Read::Broken,
        }
    }

    /// Whether the client has said that it says no more, and all that it said has been read.
    fn has_ended(&mut self) -> bool {
        matches!(self.connection.reader().read(&mut [0]), Ok(0))
    }

    /// Takes in what has come, and puts what was within it into `buffer`; how much that is. `buffer`
    /// has to hold what can be within [`RECORDS`] and one record before them.
    fn decipher(&mut self, mut bytes: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes)?;
            self.connection
                .process_new_packets()
                .map_err(io::Error::other)?;
            // Of what was not fetched it holds no more than a record.
            loop {
                let to = buffer.get_mut(len..).unwrap_or(&mut []);
                match self.connection.reader().read(to) {
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
    pub(crate) fn drain(&mut self, to: &mut Vec<u8>) {
        while self.connection.wants_write() {
            // Writing to a vector does not fail.
            if self.connection.write_tls(to).is_err() {
                return;
            }
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
