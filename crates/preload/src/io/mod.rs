//! Reading and writing: what passes over connections that are followed is looked at on its way.
//!
//! The kernel alone does what is asked for. A call that may move bytes which are not seen, or that
//! shares the connection with somebody, ends the following. What is no such connection costs a look into
//! a table; then libc's own function is called where it can be, for it knows what to do when its
//! thread is cancelled.
//!
//! `recvmsg` is not taken over, for no server reads requests by it. What passes by it the kernel's counts
//! betray.

pub(crate) mod hooks;
mod message;

use crate::arch::{self, nr};
use crate::host::libc_result;
use crate::kernel::{
    self, IoVec, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL,
    MsgHdr,
};
use crate::traffic::{self, Entry};
use crate::{listener, park};

use message::Message;

/// Flags with which all that is received stands in the buffer, and all that is sent is what stands
/// there.
const PLAIN: i32 = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_MORE | MSG_CMSG_CLOEXEC;

type Arguments = [usize; 6];

/// A buffer of the program's, or several.
#[derive(Clone, Copy)]
enum Buffers {
    One(*const u8),
    Several(*const IoVec, usize),
}

impl Buffers {
    /// Calls `each` with the first `count` bytes, piece by piece.
    ///
    /// # Safety
    /// The kernel must have read or written so many bytes there just now.
    unsafe fn each(self, count: usize, each: &mut dyn FnMut(&[u8])) {
        match self {
            // SAFETY: the kernel has just touched these bytes, in a call that the program made for
            // this; that it does something else with them meanwhile is up to it, and could at worst
            // change what is seen here.
            Self::One(at) => each(unsafe { core::slice::from_raw_parts(at, count) }),
            Self::Several(at, len) => {
                let mut left = count;
                for index in 0..len {
                    if left == 0 {
                        return;
                    }
                    // SAFETY: the kernel has read `len` of these, and `left` more bytes lie in
                    // this one and those behind it.
                    let vector = unsafe { &*at.add(index) };
                    let here = vector.len.min(left);
                    if here > 0 {
                        // SAFETY: as above.
                        each(unsafe { core::slice::from_raw_parts(vector.base, here) });
                    }
                    left -= here;
                }
            }
        }
    }
}

/// What has come of a call that reads.
///
/// # Safety
/// If the result is positive, so many bytes must stand in `buffers`.
#[inline(never)]
unsafe fn received(entry: &Entry, fd: i32, result: isize, buffers: Buffers, flags: i32) {
    match usize::try_from(result) {
        Ok(_) if flags & MSG_PEEK != 0 => {}
        Ok(count) if count > 0 && flags & !PLAIN == 0 => {
            // SAFETY: the caller's promise.
            entry.received(fd, |each| unsafe { buffers.each(count, each) });
        }
        // The end, or what is not understood.
        Ok(_) => traffic::spoil(fd),
        Err(_) => failed(fd, result),
    }
}

/// What has come of a call that writes.
///
/// # Safety
/// As [`received`].
#[inline(never)]
unsafe fn sent(entry: &Entry, fd: i32, result: isize, buffers: Buffers, flags: i32) {
    match usize::try_from(result) {
        Ok(0) => {}
        Ok(count) if flags & !PLAIN == 0 => {
            // SAFETY: the caller's promise.
            entry.sent(fd, |each| unsafe { buffers.each(count, each) });
        }
        Ok(_) => traffic::spoil(fd),
        Err(_) => failed(fd, result),
    }
}

fn failed(fd: i32, result: isize) {
    if result != -(kernel::EAGAIN as isize) && result != -(kernel::EINTR as isize) {
        traffic::spoil(fd);
    }
}

/// `read` or `recv` over a connection that is followed. A request that is the same as the one before is told first, in few
/// instructions. The arguments are in the order of the program's call, so that they stay in their registers.
///
/// # Safety
/// The arguments must be what the call expects.
#[inline(never)]
unsafe fn read_one(
    fd: i32,
    buffer: *mut u8,
    len: usize,
    flags: i32,
    entry: &Entry,
    n: usize,
) -> isize {
    let arguments = [fd as usize, buffer as usize, len, flags as usize, 0, 0];
    // SAFETY: the caller's promise; `call_followed` gives out how many bytes the kernel has written.
    unsafe {
        let again = |count| entry.received_again(buffer, count);
        let other = |result| received(entry, fd, result, Buffers::One(buffer), flags);
        call_followed(n, arguments, entry, again, other)
    }
}

/// The same for `write` or `send`.
///
/// # Safety
/// As [`read_one`].
#[inline(never)]
unsafe fn write_one(
    fd: i32,
    buffer: *const u8,
    len: usize,
    flags: i32,
    entry: &Entry,
    n: usize,
) -> isize {
    let arguments = [fd as usize, buffer as usize, len, flags as usize, 0, 0];
    // SAFETY: the caller's promise; `call_followed` gives out how many bytes the kernel has read.
    unsafe {
        let again = |count| entry.sent_again(fd, buffer, count);
        let other = |result| sent(entry, fd, result, Buffers::One(buffer), flags);
        call_followed(n, arguments, entry, again, other)
    }
}

/// Makes a call. If this thread follows the connection, `again` gets how many bytes have passed, and `other` the result
/// where `again` does not know them.
///
/// # Safety
/// The arguments must be what the call expects, the fourth the flags.
#[inline(always)]
unsafe fn call_followed(
    n: usize,
    arguments: Arguments,
    entry: &Entry,
    again: impl FnOnce(usize) -> bool,
    other: impl FnOnce(isize),
) -> isize {
    let is_followed = entry.is_mine_alone();
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::call(n, arguments) };
    let is_plain = result > 0 && arguments[3] as i32 & !PLAIN == 0;
    if is_followed && !(is_plain && again(result as usize)) {
        other(result);
    }
    libc_result(result)
}

/// `recv` from what is not followed.
///
/// # Safety
/// As [`read_one`].
#[inline]
unsafe fn receive_unfollowed(fd: i32, buffer: *mut u8, len: usize, flags: i32) -> isize {
    if listener::is_known(fd) {
        // SAFETY: the caller's promise.
        return unsafe { receive_known(fd, buffer, len, flags) };
    }
    let arguments = [fd as usize, buffer as usize, len, flags as usize, 0, 0];
    // SAFETY: the caller's promise.
    libc_result(unsafe { kernel::call(nr::RECVFROM, arguments) })
}

/// `recv` from what may be a listener.
///
/// # Safety
/// As [`read_one`].
#[cold]
unsafe fn receive_known(fd: i32, buffer: *mut u8, len: usize, flags: i32) -> isize {
    let arguments = [fd as usize, buffer as usize, len, flags as usize, 0, 0];
    // SAFETY: the caller's promise.
    unsafe { read_into(nr::RECVFROM, arguments, Buffers::One(buffer), flags) }
}

/// Makes a call that reads from `fd`.
///
/// # Safety
/// The arguments must be what the call expects, and `buffers` what it reads into.
#[inline(never)]
unsafe fn read_into(n: usize, arguments: Arguments, buffers: Buffers, flags: i32) -> isize {
    let fd = arguments[0] as i32;
    let entry = traffic::mine(fd);
    if entry.is_none() && listener::is_own_channel(fd) {
        // From a listener nothing can be read, and what lies in the channel is not for the program.
        return libc_result(-(kernel::ENOTCONN as isize));
    }
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::call(n, arguments) };
    if let Some(entry) = entry {
        // SAFETY: the kernel has written as many bytes as it says.
        unsafe { received(entry, fd, result, buffers, flags) };
    }
    libc_result(result)
}

/// Makes a call that writes to `fd`.
///
/// # Safety
/// The arguments must be what the call expects, and `buffers` what it writes.
unsafe fn write_from(n: usize, arguments: Arguments, buffers: Buffers, flags: i32) -> isize {
    let fd = arguments[0] as i32;
    let entry = traffic::mine(fd);
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::call(n, arguments) };
    if let Some(entry) = entry {
        // SAFETY: the kernel has read as many bytes as it says.
        unsafe { sent(entry, fd, result, buffers, flags) };
    }
    libc_result(result)
}

/// Makes a call that writes out of a file to `to`.
///
/// # Safety
/// The arguments must be what the call expects.
unsafe fn write_unseen(n: usize, arguments: Arguments, to: i32) -> isize {
    let entry = traffic::mine(to);
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::call(n, arguments) };
    match (entry, u64::try_from(result)) {
        (Some(entry), Ok(count)) => entry.sent_unseen(to, count),
        (Some(_), Err(_)) => failed(to, result),
        (None, _) => {}
    }
    libc_result(result)
}

/// `sendmsg`.
///
/// # Safety
/// As the function of the program's libc.
unsafe fn send_message(fd: i32, mut message: *const MsgHdr, flags: i32) -> isize {
    let entry = traffic::mine(fd);
    let mut copy;
    // glibc has its own `read` under another name, too; musl has not.
    if arch::libc_read() == 0 && !message.is_null() {
        // SAFETY: the caller's promise.
        match unsafe { Message::of(message) } {
            Ok(made) => {
                copy = made;
                message = copy.header();
            }
            Err(error) => return libc_result(-(error as isize)),
        }
    }
    let arguments = [fd as usize, message as usize, flags as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::call(nr::SENDMSG, arguments) };
    if let Some(entry) = entry {
        let buffers = if result > 0 {
            // SAFETY: the call has succeeded, so the kernel has read the message there.
            let message = unsafe { &*message };
            Buffers::Several(message.iov, message.iov_len)
        } else {
            Buffers::Several(core::ptr::null(), 0)
        };
        // SAFETY: the kernel has read as many bytes as it says.
        unsafe { sent(entry, fd, result, buffers, flags) };
    }
    libc_result(result)
}

/// Calls libc's own function at this address, or the kernel where libc has none.
///
/// # Safety
/// The arguments must be what the call expects, and the function what libc has for it.
#[inline]
unsafe fn natively(function: usize, n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    if function == 0 {
        // SAFETY: the caller's promise.
        return libc_result(unsafe { kernel::call(n, [a, b, c, d, 0, 0]) });
    }
    // SAFETY: the caller's promise. Arguments that the function does not have do no harm: they are
    // passed in registers that a callee may overwrite.
    unsafe {
        let function: unsafe extern "C" fn(usize, usize, usize, usize) -> isize =
            core::mem::transmute(function);
        function(a, b, c, d)
    }
}
