//! TLS over a socket.

use std::io::{self, Read as _};

use rustls::ServerConnection;

use super::Read;
use super::socket::Socket;

/// So much of a TLS connection is read at once: a record and its head.
const RECORDS: usize = 18 * 1024;

/// Reads what is within TLS into `room`, and puts what TLS itself has to say into `said`.
pub(super) fn read(
    socket: &mut Socket,
    tls: &mut ServerConnection,
    room: &mut [u8],
    said: &mut Vec<u8>,
) -> Read {
    loop {
        match tls.reader().read(room) {
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
        let taken = decipher(tls, bytes, room);
        drain(tls, said);
        match taken {
            Ok(0) => {}
            Ok(len) => return Read::Some(len),
            Err(_) => return Read::Broken,
        }
    }
}

/// Takes in what has come of a TLS connection, and puts what was within it into `room`; how much
/// that is. `room` has to hold what can be within [`RECORDS`] and one record before them.
fn decipher(tls: &mut ServerConnection, mut bytes: &[u8], room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        // Of what nobody has fetched it holds no more than a record.
        loop {
            match tls.reader().read(room.get_mut(len..).unwrap_or(&mut [])) {
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
pub(super) fn drain(tls: &mut ServerConnection, to: &mut Vec<u8>) {
    while tls.wants_write() {
        // Writing to a vector does not fail.
        if tls.write_tls(to).is_err() {
            return;
        }
    }
}
