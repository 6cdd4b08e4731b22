//! SO_LINGER, as the bytes that a worker has set. A listener of ours never has it, for it would pass to
//! connections that are still ours, and their `close` would wait for the client.

use std::os::fd::AsFd;

const SOL_SOCKET: i32 = 1;
const SO_LINGER: i32 = 13;

/// How a socket lingers, if it does.
pub(super) fn of(socket: impl AsFd) -> Option<[u8; 8]> {
    let mut value = [0; 8];
    let read = sys::read_option(socket.as_fd(), SOL_SOCKET, SO_LINGER, &mut value);
    let lingers = value.first_chunk() != Some(&[0; 4]);
    (matches!(read, Ok(8)) && lingers).then_some(value)
}

/// Lets it linger so, or not at all.
pub(super) fn set(socket: impl AsFd, value: Option<[u8; 8]>) {
    let value = value.unwrap_or_default();
    // Of a socket of ours this cannot fail.
    let _ = sys::write_option(socket.as_fd(), SOL_SOCKET, SO_LINGER, &value);
}

/// Whether this is the option.
pub(super) fn is(level: i32, option: i32) -> bool {
    (level, option) == (SOL_SOCKET, SO_LINGER)
}
