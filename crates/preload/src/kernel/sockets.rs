//! Sockets: their beginning, their names, their options.

use super::{AF_UNIX, EINTR, SO_COOKIE, SO_RCVTIMEO, SOL_SOCKET, call, numbers};
use crate::arch::nr;

pub(crate) fn socket(domain: u16, kind: i32) -> isize {
    numbers(nr::SOCKET, usize::from(domain), kind as usize, 0)
}

/// Two Unix sockets that are connected to each other.
pub(crate) fn socket_pair(kind: i32) -> Result<[i32; 2], i32> {
    let mut sockets = [-1; 2];
    // SAFETY: the kernel writes two numbers.
    let made = unsafe {
        call(
            nr::SOCKETPAIR,
            [
                usize::from(AF_UNIX),
                kind as usize,
                0,
                sockets.as_mut_ptr() as usize,
                0,
                0,
            ],
        )
    };
    if made < 0 {
        Err(-made as i32)
    } else {
        Ok(sockets)
    }
}

pub(crate) fn listen(fd: i32, backlog: i32) -> isize {
    numbers(nr::LISTEN, fd as usize, backlog as usize, 0)
}

/// Binds a socket; `address` is a whole `sockaddr`.
pub(crate) fn bind(fd: i32, address: &[u8]) -> isize {
    // SAFETY: the kernel reads `len` bytes at the pointer.
    unsafe {
        call(
            nr::BIND,
            [
                fd as usize,
                address.as_ptr() as usize,
                address.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Connects to a Unix socket; `address` is a whole `sockaddr_un`.
pub(crate) fn connect(fd: i32, address: &[u8]) -> isize {
    loop {
        // SAFETY: the kernel reads `len` bytes at the pointer.
        let connected = unsafe {
            call(
                nr::CONNECT,
                [
                    fd as usize,
                    address.as_ptr() as usize,
                    address.len(),
                    0,
                    0,
                    0,
                ],
            )
        };
        if connected != -(EINTR as isize) {
            return connected;
        }
    }
}

/// The socket's own name, into `bytes`; its length.
pub(crate) fn getsockname(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    name(nr::GETSOCKNAME, fd, bytes)
}

/// The peer's address; how many bytes it has.
pub(crate) fn getpeername(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    name(nr::GETPEERNAME, fd, bytes)
}

fn name(number: usize, fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    let mut len = bytes.len() as u32;
    // SAFETY: the kernel writes at most `len` bytes, and the length.
    let result = unsafe {
        call(
            number,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                (&raw mut len) as usize,
                0,
                0,
                0,
            ],
        )
    };
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok((len as usize).min(bytes.len()))
    }
}

/// An option of [`SOL_SOCKET`] that is a number.
pub(crate) fn socket_option(fd: i32, option: i32) -> Option<i32> {
    let mut value = [0; 4];
    read_option(fd, option, &mut value).then(|| i32::from_ne_bytes(value))
}

/// The number by which the kernel knows this socket, and never another one.
pub(crate) fn socket_cookie(fd: i32) -> Option<u64> {
    let mut value = [0; 8];
    read_option(fd, SO_COOKIE, &mut value).then(|| u64::from_ne_bytes(value))
}

/// Whether a connection is set to be reset when it is closed (`SO_LINGER` of no seconds).
pub(crate) fn resets_at_close(fd: i32) -> bool {
    const SO_LINGER: i32 = 13;
    const ON_AND_NO_SECONDS: [u8; 8] = {
        let [a, b, c, d] = 1i32.to_ne_bytes();
        [a, b, c, d, 0, 0, 0, 0]
    };
    let mut value = [0; 8];
    read_option(fd, SO_LINGER, &mut value) && value == ON_AND_NO_SECONDS
}

/// Reads an option of [`SOL_SOCKET`]; whether there is one of this size.
fn read_option(fd: i32, option: i32, value: &mut [u8]) -> bool {
    let mut len = value.len() as u32;
    // SAFETY: the kernel writes at most `len` bytes to `value`, and the length.
    let result = unsafe {
        call(
            nr::GETSOCKOPT,
            [
                fd as usize,
                SOL_SOCKET as usize,
                option as usize,
                value.as_mut_ptr() as usize,
                (&raw mut len) as usize,
                0,
            ],
        )
    };
    result == 0 && len as usize == value.len()
}

/// How long a call on a socket may wait: the bytes of a `struct timeval`.
pub(crate) type Timeout = [u8; 16];

/// So many seconds.
pub(crate) const fn seconds(seconds: u8) -> Timeout {
    let mut timeout = [0; 16];
    timeout[if cfg!(target_endian = "big") { 7 } else { 0 }] = seconds;
    timeout
}

/// Bounds how long a call on this socket waits: `recvmsg` for [`SO_RCVTIMEO`], `connect` and
/// `sendmsg` for [`SO_SNDTIMEO`].
pub(crate) fn set_timeout(fd: i32, option: i32, timeout: &Timeout) {
    // SAFETY: the kernel reads a `struct timeval`: two 64-bit numbers, seconds and microseconds.
    unsafe {
        call(
            nr::SETSOCKOPT,
            [
                fd as usize,
                SOL_SOCKET as usize,
                option as usize,
                timeout.as_ptr() as usize,
                size_of_val(timeout),
                0,
            ],
        );
    }
}

/// How long `recvmsg` on this socket may wait; zeros mean for ever.
pub(crate) fn receive_timeout(fd: i32) -> Timeout {
    let mut timeout = seconds(0);
    if read_option(fd, SO_RCVTIMEO, &mut timeout) {
        timeout
    } else {
        seconds(0)
    }
}
