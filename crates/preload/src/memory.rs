//! The host program's memory, behind pointers that it passes to the functions taken over. The
//! kernel reads and writes there, as it does in the calls themselves: a wild pointer is answered
//! with EFAULT and does not end the program.

use crate::arch::nr;
use crate::kernel::{self, EFAULT, EINVAL, IoVec};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// Copies what `at` points to into `bytes`.
///
/// # Errors
/// `EFAULT` where there is nothing to be read; others if neither way of asking the kernel is open.
pub(crate) fn read(at: *const u8, bytes: &mut [u8]) -> Result<(), i32> {
    match between(
        nr::PROCESS_VM_READV,
        bytes.as_mut_ptr(),
        at.cast_mut(),
        bytes.len(),
    ) {
        copied if copied == bytes.len() as isize => Ok(()),
        failed if is_forbidden(failed) => through_sockets(|sockets| {
            let sent = transfer(nr::WRITE, sockets[0], at.cast_mut(), bytes.len());
            if sent < 0 {
                sent
            } else {
                kernel::read(sockets[1], bytes)
            }
        }),
        _ => Err(EFAULT),
    }
}

/// Copies `bytes` to where `at` points.
///
/// # Errors
/// As [`read`].
pub(crate) fn write(at: *mut u8, bytes: &[u8]) -> Result<(), i32> {
    match between(
        nr::PROCESS_VM_WRITEV,
        bytes.as_ptr().cast_mut(),
        at,
        bytes.len(),
    ) {
        copied if copied == bytes.len() as isize => Ok(()),
        failed if is_forbidden(failed) => through_sockets(|sockets| {
            let sent = transfer(
                nr::WRITE,
                sockets[0],
                bytes.as_ptr().cast_mut(),
                bytes.len(),
            );
            if sent < 0 {
                sent
            } else {
                transfer(nr::READ, sockets[1], at, bytes.len())
            }
        }),
        _ => Err(EFAULT),
    }
}

/// Gives a value to a caller who has a buffer and a length, as the kernel does: no more than there
/// is room for. What the length becomes is up to the call: the whole length of a name, what was
/// written of an option.
pub(crate) fn give(
    value: &[u8],
    at: *mut u8,
    len: *mut u32,
    length: impl FnOnce(usize) -> usize,
) -> isize {
    let given = || {
        let mut room = [0; 4];
        read(len.cast(), &mut room)?;
        let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| EINVAL)?;
        let written = value.get(..room).unwrap_or(value);
        write(at, written)?;
        write(len.cast(), &(length(written.len()) as u32).to_ne_bytes())
    };
    match given() {
        Ok(()) => 0,
        Err(errno) => -(errno as isize),
    }
}

/// A sandbox may forbid the call that reads and writes memory.
fn is_forbidden(result: isize) -> bool {
    result == -(EPERM as isize) || result == -(ENOSYS as isize)
}

/// Lets a socket pair carry the bytes: it reads and writes memory like any other.
fn through_sockets(copy: impl FnOnce([i32; 2]) -> isize) -> Result<(), i32> {
    let sockets = kernel::socket_pair(kernel::SOCK_SEQPACKET | kernel::SOCK_CLOEXEC)?;
    let copied = copy(sockets);
    for socket in sockets {
        kernel::close(socket);
    }
    if copied < 0 {
        Err(-copied as i32)
    } else {
        Ok(())
    }
}

/// Copies between our memory and what may not be there. The result is how many bytes were copied.
fn between(number: usize, ours: *mut u8, theirs: *mut u8, len: usize) -> isize {
    let ours = IoVec { base: ours, len };
    let theirs = IoVec { base: theirs, len };
    let process = kernel::getpid() as usize;
    // SAFETY: `ours` has `len` bytes, which the callers see to. The kernel touches `theirs` with the
    // care that it has for another process's memory: what is not there is EFAULT. What is there
    // is the buffer that the program has named for this very purpose.
    unsafe {
        kernel::call(
            number,
            [
                process,
                (&raw const ours) as usize,
                1,
                (&raw const theirs) as usize,
                1,
                0,
            ],
        )
    }
}

/// `read` or `write`, at a pointer that may be wild.
fn transfer(number: usize, fd: i32, at: *mut u8, len: usize) -> isize {
    // SAFETY: the kernel checks the pointer; what is there belongs to the caller.
    unsafe { kernel::call(number, [fd as usize, at as usize, len, 0, 0, 0]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: *mut u8 = core::ptr::without_provenance_mut(1);

    #[test]
    fn what_can_be_read_and_written_is_and_nothing_else() {
        let mut bytes = [0; 4];
        assert_eq!(read([1u8, 2, 3, 4].as_ptr(), &mut bytes), Ok(()));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(read(WILD, &mut bytes), Err(EFAULT));
        let mut to = [0u8; 4];
        assert_eq!(write(to.as_mut_ptr(), &bytes), Ok(()));
        assert_eq!(to, bytes);
        assert_eq!(write(WILD, &bytes), Err(EFAULT));
        assert_eq!(read(WILD, &mut []), Ok(()));
    }

    #[test]
    fn a_socket_pair_copies_as_well() {
        let from = [5u8, 6, 7];
        let mut to = [0u8; 3];
        let copied = through_sockets(|sockets| {
            assert_eq!(transfer(nr::WRITE, sockets[0], WILD, 3), -(EFAULT as isize));
            assert_eq!(
                transfer(nr::WRITE, sockets[0], from.as_ptr().cast_mut(), 3),
                3
            );
            transfer(nr::READ, sockets[1], to.as_mut_ptr(), 3)
        });
        assert_eq!(copied, Ok(()));
        assert_eq!(to, from);
    }

    #[test]
    fn a_caller_gets_what_it_has_room_for() {
        let mut to = [9u8; 4];
        let (at, mut len) = (to.as_mut_ptr(), 2u32);
        assert_eq!(give(b"abc", at, &raw mut len, |_| 3), 0);
        assert_eq!((&to, len), (b"ab\x09\x09", 3));
        len = 100;
        assert_eq!(give(b"abc", at, &raw mut len, |written| written), 0);
        assert_eq!((&to, len), (b"abc\x09", 3));
        len = u32::MAX;
        assert_eq!(give(b"abc", at, &raw mut len, |_| 3), -(EINVAL as isize));
        len = 1;
        assert_eq!(give(b"a", WILD, &raw mut len, |_| 3), -(EFAULT as isize));
        assert_eq!(give(b"a", at, WILD.cast(), |_| 3), -(EFAULT as isize));
    }
}
