//! The process that the library is loaded into: its environment, its errno.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

use wire::{Address, DOOR_VAR, INSTANCE_VAR, Request, SUPERVISOR_VAR, Verb};

use crate::table::Words;
use crate::{arch, door, kernel};

/// The path of the door as `sockaddr_un`; empty until the library has found one.
pub(crate) static DOOR: Words = Words::new();
/// The instance this process belongs to.
pub(crate) static INSTANCE: AtomicU32 = AtomicU32::new(0);
/// Whether a `node:cluster` primary forked this process.
pub(crate) static CLUSTER_WORKER: AtomicBool = AtomicBool::new(false);

/// Runs when the library is loaded, before the program: reads the environment while it is as
/// `execve` gave it, and reports in.
#[cfg_attr(
    not(feature = "library"),
    expect(dead_code, reason = "called by the loader")
)]
pub(crate) extern "C" fn at_load() {
    let mut supervisor = -1;
    each_variable(|name, value| {
        if name == DOOR_VAR.as_bytes() {
            remember_door(value);
        } else if name == INSTANCE_VAR.as_bytes() {
            INSTANCE.store(number(value).unwrap_or(0), Relaxed);
        } else if name == SUPERVISOR_VAR.as_bytes() {
            supervisor = number(value).map_or(-1, |n| n as i32);
        } else if name == b"NODE_UNIQUE_ID" {
            CLUSTER_WORKER.store(true, Relaxed);
        }
    });
    if !DOOR.is_empty() && kernel::getppid() == supervisor {
        door::tell(&request(Verb::Hello));
    }
}

/// A request that says who asks, and nothing else yet.
pub(crate) fn request(verb: Verb) -> Request {
    Request {
        verb,
        cluster_worker: CLUSTER_WORKER.load(Relaxed),
        instance: INSTANCE.load(Relaxed),
        tid: kernel::gettid(),
        fd: -1,
        arg: 0,
        arg2: 0,
        channel: 0,
        address: Address::NONE,
    }
}

/// Turns the result of a system call into what libc returns: -1, with errno set, on failure.
#[inline]
pub(crate) fn libc_result(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        fail(result)
    } else {
        result
    }
}

#[cold]
#[inline(never)]
fn fail(result: isize) -> isize {
    let location = arch::errno_location();
    if location != 0 {
        // SAFETY: the program's `__errno_location` takes no arguments and returns the address of
        // the calling thread's errno, in every libc that has it.
        unsafe {
            let location: extern "C" fn() -> *const AtomicI32 = core::mem::transmute(location);
            (*location()).store(-result as i32, Relaxed);
        }
    }
    -1
}

fn remember_door(path: &[u8]) {
    let mut address = [0; 110];
    address[0] = kernel::AF_UNIX as u8;
    // One byte stays zero behind the path.
    if path.is_empty() || path.len() > address.len() - 3 {
        return;
    }
    for (to, from) in address.iter_mut().skip(2).zip(path) {
        *to = *from;
    }
    if let Some(address) = address.get(..path.len() + 3) {
        DOOR.store(address);
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    (!digits.is_empty()).then_some(value)
}

/// Calls `each` with the name and the value of every variable.
fn each_variable(mut each: impl FnMut(&[u8], &[u8])) {
    let environ = arch::environ();
    if environ.is_null() {
        return;
    }
    // SAFETY: while libraries are loaded no other thread runs, and `environ` is what libc keeps
    // there: an array of zero-terminated strings that ends with a null pointer, or null.
    unsafe {
        let mut at = *environ;
        while !at.is_null() && !(*at).is_null() {
            let mut len = 0;
            while *(*at).add(len) != 0 {
                len += 1;
            }
            let variable = core::slice::from_raw_parts(*at, len);
            if let Some(equals) = variable.iter().position(|byte| *byte == b'=')
                && let (Some(name), Some(value)) =
                    (variable.get(..equals), variable.get(equals + 1..))
            {
                each(name, value);
            }
            at = at.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"-1", b"4294967296", b"1 ", b"x"] {
            assert_eq!(number(bad), None);
        }
    }
}
