//! Files and directories, for reading.

use super::{EINVAL, O_CLOEXEC, call};
use crate::arch::nr;

/// Opens a file for reading; `path` ends with a zero byte. A relative path starts at `directory`.
pub(crate) fn open(directory: i32, path: &[u8], flags: i32) -> isize {
    if path.last() != Some(&0) {
        return -(EINVAL as isize);
    }
    // SAFETY: the path ends with a zero byte, checked above.
    unsafe {
        call(
            nr::OPENAT,
            [
                directory as usize,
                path.as_ptr() as usize,
                (flags | O_CLOEXEC) as usize,
                0,
                0,
                0,
            ],
        )
    }
}

pub(crate) fn read(fd: i32, bytes: &mut [u8]) -> isize {
    // SAFETY: the kernel writes at most `len` bytes at the pointer.
    unsafe {
        call(
            nr::READ,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Reads entries of a directory (`struct linux_dirent64`).
pub(crate) fn getdents(fd: i32, bytes: &mut [u8]) -> isize {
    // SAFETY: the kernel writes at most `len` bytes at the pointer.
    unsafe {
        call(
            nr::GETDENTS64,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Reads a symbolic link; `name` ends with a zero byte.
pub(crate) fn readlink(directory: i32, name: &[u8], bytes: &mut [u8]) -> isize {
    if name.last() != Some(&0) {
        return -(EINVAL as isize);
    }
    // SAFETY: the name ends with a zero byte, checked above; the kernel writes at most `len`
    // bytes.
    unsafe {
        call(
            nr::READLINKAT,
            [
                directory as usize,
                name.as_ptr() as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
            ],
        )
    }
}
