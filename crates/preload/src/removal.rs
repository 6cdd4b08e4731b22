//! `unlink`: the path of a Unix socket that other workers share stays where it is.
//!
//! A server removes what it takes for a leftover before it binds, and its path when it ends. Under
//! maitred others may serve there. So the supervisor is asked first; but only where the path leads to
//! a socket, which few do.

use wire::{Outcome, Verb};

use crate::arch::nr;
use crate::{door, host, kernel};

const AT_FDCWD: i32 = -100;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;

/// `struct stat` of the kernel: 144 bytes on x86-64, of which these are read.
const STAT_SIZE: usize = 144;
const STAT_DEVICE: usize = 0;
const STAT_INODE: usize = 8;
const STAT_MODE: usize = 24;

const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;

/// `unlink`.
///
/// # Safety
/// `path` as `unlink` wants it.
pub(crate) unsafe fn unlink(path: *const u8) -> isize {
    // SAFETY: the caller's promise.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

/// `unlinkat`.
///
/// # Safety
/// `path` as `unlinkat` wants it.
pub(crate) unsafe fn unlinkat(directory: i32, path: *const u8, flags: i32) -> isize {
    if flags == 0 && !host::DOOR.is_empty() {
        // SAFETY: the caller's promise.
        match unsafe { found(directory, path) } {
            Found::Shared => return 0,
            // Another instance may have bound the path since then: that socket stays.
            Found::Nothing => return -(kernel::ENOENT as isize),
            Found::Other => {}
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            nr::UNLINKAT,
            [directory as usize, path as usize, flags as usize, 0, 0, 0],
        )
    }
}

/// `remove`, as libc has it: `unlink`, or `rmdir` where there is a folder.
///
/// # Safety
/// `path` as `remove` wants it.
pub(crate) unsafe fn remove(path: *const u8) -> isize {
    const AT_REMOVEDIR: i32 = 0x200;
    // SAFETY: the caller's promise.
    unsafe {
        match unlink(path) {
            result if result == -(kernel::EISDIR as isize) => {
                unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
            }
            result => result,
        }
    }
}

/// What is to be removed.
enum Found {
    Nothing,
    /// The socket of a listener that others share.
    Shared,
    Other,
}

/// What stands at a path.
///
/// # Safety
/// `path` as `fstatat` wants it.
unsafe fn found(directory: i32, path: *const u8) -> Found {
    let mut stat = [0u8; STAT_SIZE];
    // SAFETY: the kernel reads the path, and writes one `struct stat`.
    let found = unsafe {
        kernel::call(
            nr::NEWFSTATAT,
            [
                directory as usize,
                path as usize,
                stat.as_mut_ptr() as usize,
                AT_SYMLINK_NOFOLLOW,
                0,
                0,
            ],
        )
    };
    let word = |at: usize| {
        let bytes = stat.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    if found == -(kernel::ENOENT as isize) {
        return Found::Nothing;
    }
    if found != 0 || word(STAT_MODE) as u32 & S_IFMT != S_IFSOCK {
        return Found::Other;
    }
    let mut request = host::request(Verb::Remove);
    let device = word(STAT_DEVICE);
    request.channel = word(STAT_INODE);
    request.arg = device as u32 as i32;
    request.arg2 = (device >> 32) as u32 as i32;
    match door::ask(&request) {
        Some((reply, None)) if reply.outcome == Outcome::Done => Found::Shared,
        Some((_, Some(stray))) => {
            kernel::close(stray);
            Found::Other
        }
        _ => Found::Other,
    }
}
