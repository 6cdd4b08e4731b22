//! Descriptors that this program was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first that is passed, behind those for input, output and errors.
const FIRST: i32 = 3;

/// As many as systemd passes at the most (`FileDescriptorStoreMax` and sockets together stay below it).
const MOST: i32 = 1024;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes over so many descriptors that whoever started this program has passed, from 3 on
/// (`sd_listen_fds(3)`). Programs that this one starts do not get them.
///
/// # Errors
/// If one of them is not open, they were taken before, or there are too many.
pub fn take_passed(count: u32) -> io::Result<Vec<OwnedFd>> {
    let count = i32::try_from(count).ok().filter(|count| *count <= MOST);
    let count = count.ok_or(io::ErrorKind::InvalidInput)?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    for fd in FIRST..FIRST + count {
        // SAFETY: the call changes a flag of the descriptor, if there is one.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: they were open when this program began, as whoever started it says, so what it has opened
    // since has other numbers; and nobody has taken them over before.
    let owned = (FIRST..FIRST + count).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(owned.collect())
}
