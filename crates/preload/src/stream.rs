//! A TCP connection, as the kernel knows it.

use wire::{FIRST_REQUEST, Passed};

use crate::arch::nr;
use crate::kernel;

const IPPROTO_TCP: usize = 6;
const TCP_INFO: usize = 11;
const ESTABLISHED: u8 = 1;
/// `SIOCINQ` and `SIOCOUTQ`.
const UNREAD: usize = 0x541b;
const UNACKNOWLEDGED: usize = 0x5411;

/// `struct tcp_info` up to and with `tcpi_bytes_received`.
const INFO_LEN: usize = 136;
/// Milliseconds since the other side has acknowledged something; of a new connection, since it was made.
const QUIET_AT: usize = 56;
const ACKNOWLEDGED_AT: usize = 120;
const RECEIVED_AT: usize = 128;

/// The kernel's counts are asked for one after the other, and bytes may arrive in between: then they
/// do not fit together, and are asked for again.
const TRIES: usize = 8;

/// Whether this is a connection with `peer`.
pub(crate) fn is_with(fd: i32, peer: &[u8]) -> bool {
    let mut name = [0; 112];
    let known = kernel::getpeername(fd, &mut name);
    known.ok().and_then(|len| name.get(..len)) == Some(peer)
}

/// Whether this is an established connection with `peer`, and exactly so much has passed over it: if a
/// byte has gone past the library, it is not.
pub(crate) fn is_exactly(fd: i32, peer: &[u8], passed: Passed) -> bool {
    if !is_with(fd, peer) {
        return false;
    }
    for _ in 0..TRIES {
        let Some(now) = count(fd) else {
            return false;
        };
        if now == passed {
            return true;
        }
    }
    false
}

/// Whether a request lies there that has not been read, or the first one is about to come; so much has passed over
/// the connection.
pub(crate) fn expects_request(fd: i32, passed: Passed) -> bool {
    if queued(fd, UNREAD).is_some_and(|bytes| bytes > 0) {
        return true;
    }
    let quiet = info(fd).and_then(|info| {
        let bytes = info.get(QUIET_AT..).and_then(<[u8]>::first_chunk)?;
        Some(u32::from_ne_bytes(*bytes))
    });
    passed == Passed::default()
        && quiet.is_some_and(|quiet| u128::from(quiet) < FIRST_REQUEST.as_millis())
}

/// What has passed over an established connection; `None` if this is none.
fn count(fd: i32) -> Option<Passed> {
    let info = info(fd)?;
    let number = |at: usize| {
        let bytes = info.get(at..).and_then(<[u8]>::first_chunk)?;
        // Of large numbers the lower half tells as much.
        Some(u64::from_ne_bytes(*bytes) as u32)
    };
    Some(Passed {
        read: number(RECEIVED_AT)?.wrapping_sub(queued(fd, UNREAD)?),
        written: number(ACKNOWLEDGED_AT)?.wrapping_add(queued(fd, UNACKNOWLEDGED)?),
    })
}

/// What the kernel tells of an established connection; `None` if this is none.
fn info(fd: i32) -> Option<[u8; INFO_LEN]> {
    let mut info = [0u8; INFO_LEN];
    let mut len = INFO_LEN as u32;
    // SAFETY: the kernel writes at most `len` bytes to `info`, and the length.
    let asked = unsafe {
        kernel::call(
            nr::GETSOCKOPT,
            [
                fd as usize,
                IPPROTO_TCP,
                TCP_INFO,
                info.as_mut_ptr() as usize,
                (&raw mut len) as usize,
                0,
            ],
        )
    };
    if asked != 0 || len as usize != INFO_LEN || info[0] != ESTABLISHED {
        return None;
    }
    Some(info)
}

fn queued(fd: i32, which: usize) -> Option<u32> {
    let mut bytes = 0u32;
    // SAFETY: the kernel writes one `int`.
    let asked = unsafe {
        kernel::call(
            nr::IOCTL,
            [fd as usize, which, (&raw mut bytes) as usize, 0, 0, 0],
        )
    };
    (asked == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_kernel_counts_what_was_read_and_written() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let fd = server.as_raw_fd();
        let mut name = [0; 112];
        let len = kernel::getpeername(fd, &mut name).unwrap();
        let peer = name[..len].to_vec();
        let passed = |read, written| Passed { read, written };
        assert!(is_exactly(fd, &peer, passed(0, 0)));
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        assert!(
            is_exactly(fd, &peer, passed(3, 0)),
            "what lies unread is not read"
        );
        server.write_all(b"world!").unwrap();
        assert!(is_exactly(fd, &peer, passed(3, 6)));
        client.read_exact(&mut [0; 6]).unwrap();
        assert!(is_exactly(fd, &peer, passed(3, 6)));
        assert!(!is_exactly(fd, &peer, passed(2, 6)));
        assert!(!is_exactly(fd, &peer, passed(3, 5)));
        assert!(!is_exactly(fd, &peer[..8], passed(3, 6)));
        drop(client);
        server.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        assert!(!is_exactly(fd, &peer, passed(5, 6)));
    }
}
