//! `accept` on a channel: the next connection that the supervisor sent.

use core::sync::atomic::Ordering::Relaxed;

use wire::{HANDOFF_LEN, Handoff};

use crate::arch::{self, nr};
use crate::kernel::{self, EAGAIN, EINVAL, EMFILE, ENOTCONN, ENOTSOCK, EOPNOTSUPP};
use crate::table::{self, Kind, Slot};
use crate::{door, host, listener};

/// So close to the descriptor limit it is made sure that a descriptor is left before one is
/// received: one that does not fit would be lost, and its connection with it. Descriptors are
/// given out lowest first, so a process cannot be nearer to its limit than the last one tells,
/// but for what other threads open in the meantime.
const MARGIN: u64 = 64;

/// How many threads of a process are reported to accept from one channel.
const REPORTS: u32 = 8;

/// `accept4`.
///
/// # Safety
/// `address` and `len` as `accept4` wants them.
pub(crate) unsafe fn accept4(fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> isize {
    if flags & !(kernel::SOCK_CLOEXEC | kernel::SOCK_NONBLOCK) != 0 {
        return -(EINVAL as isize);
    }
    let slot = match table::find(fd) {
        Some(slot) if matches!(slot.kind(), Kind::Channel(_)) => slot,
        _ => {
            // SAFETY: the caller's promise.
            let result = unsafe { natively(fd, address, len, flags) };
            // A channel that this process inherited answers so.
            match (result == -(EINVAL as isize)).then(|| listener::adopt(fd)) {
                Some(Some(slot)) => slot,
                _ => return result,
            }
        }
    };
    report_thread(slot, fd);
    // SAFETY: the caller's promise.
    unsafe { take(slot, fd, address, len, flags) }
}

/// # Safety
/// As [`accept4`].
unsafe fn natively(fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            nr::ACCEPT4,
            [
                fd as usize,
                address as usize,
                len as usize,
                flags as usize,
                0,
                0,
            ],
        )
    }
}

/// # Safety
/// As [`accept4`].
unsafe fn take(slot: &Slot, fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> isize {
    if near_limit(slot, 0) && !descriptor_left(fd) {
        return -(EMFILE as isize);
    }
    let cloexec = if flags & kernel::SOCK_CLOEXEC != 0 {
        kernel::MSG_CMSG_CLOEXEC
    } else {
        0
    };
    loop {
        let mut bytes = [0; HANDOFF_LEN];
        let (received, connection) = kernel::receive(fd, &mut bytes, cloexec);
        if received < 0 {
            let errno = -received as i32;
            if errno == ENOTCONN || errno == ENOTSOCK || errno == EOPNOTSUPP {
                // The number serves another file by now.
                slot.forget();
                // SAFETY: the caller's promise.
                return unsafe { natively(fd, address, len, flags) };
            }
            return received;
        }
        if received == 0 {
            return hung_up(slot, fd);
        }
        let message = bytes.get(..received as usize).and_then(Handoff::decode);
        match (message, connection) {
            (Some(Handoff::Connection { peer, len: of }), Some(connection)) => {
                near_limit(slot, connection);
                if flags & kernel::SOCK_NONBLOCK == 0 {
                    // The supervisor accepts without blocking, and that travels along.
                    kernel::fcntl(connection, kernel::F_SETFL, 0);
                }
                // SAFETY: the caller's promise.
                unsafe { write_peer(connection, &peer, of, address, len) };
                return connection as isize;
            }
            // No descriptor was left, against all precaution. What accept says then:
            (Some(Handoff::Connection { .. }), None) => return -(EMFILE as isize),
            (Some(Handoff::Probe), None) => {}
            (_, Some(stray)) => {
                kernel::close(stray);
            }
            (None, None) => {}
        }
    }
}

/// # Safety
/// `address` and `len` as `accept4` wants them.
unsafe fn write_peer(
    connection: i32,
    peer: &[u8; 28],
    of: Option<u8>,
    address: *mut u8,
    len: *mut u32,
) {
    if address.is_null() || len.is_null() {
        return;
    }
    let Some(of) = of else {
        // SAFETY: the caller's promise; getpeername wants the same.
        unsafe {
            kernel::call(
                nr::GETPEERNAME,
                [connection as usize, address as usize, len as usize, 0, 0, 0],
            );
        }
        return;
    };
    // SAFETY: `len` points to a number, which tells how many bytes `address` has room for; as
    // accept does, no more are written, and the whole length is told.
    unsafe {
        let room = *len as usize;
        for (at, byte) in peer.iter().take(usize::from(of).min(room)).enumerate() {
            *address.add(at) = *byte;
        }
        *len = u32::from(of);
    }
}

/// Whether descriptors may run out. `latest` is one that was just given.
fn near_limit(slot: &Slot, latest: i32) -> bool {
    let limit = slot.limit.load(Relaxed);
    // The upper half keeps the latest descriptor, so that one load tells both.
    if latest > 0 {
        let known = limit & 0xffff_ffff;
        slot.limit
            .store((latest as u64) << 32 | known.min(0xffff_ffff), Relaxed);
    }
    let (latest, known) = (limit >> 32, limit & 0xffff_ffff);
    if latest + MARGIN < known {
        return false;
    }
    let now = kernel::descriptor_limit().min(0xffff_ffff);
    slot.limit.store(latest << 32 | now, Relaxed);
    latest + MARGIN >= now
}

fn descriptor_left(fd: i32) -> bool {
    let spare = kernel::fcntl(fd, kernel::F_DUPFD_CLOEXEC, 0);
    if spare < 0 {
        return false;
    }
    kernel::close(spare as i32);
    true
}

/// Tells the supervisor which thread accepts, so that it looks whether the right one is free, and
/// which process, if this one was forked from the one that listened.
fn report_thread(slot: &Slot, fd: i32) {
    if table::is_forked() {
        table::forget_threads();
    }
    let thread = arch::thread();
    if slot.thread.load(Relaxed) == thread || slot.reports.load(Relaxed) >= REPORTS {
        return;
    }
    slot.thread.store(thread, Relaxed);
    slot.reports.fetch_add(1, Relaxed);
    let mut request = host::request(wire::Verb::Adopt);
    request.fd = fd;
    if let Some((_, Some(stray))) = door::ask(&request) {
        kernel::close(stray);
    }
}

/// The supervisor is gone. An end of a channel whose other end is closed is readable for ever,
/// and a loop that looks for that would spin: put a socket in its place that never is.
fn hung_up(slot: &Slot, fd: i32) -> isize {
    let blocking = kernel::fcntl(fd, kernel::F_GETFL, 0) & kernel::O_NONBLOCK as isize == 0;
    slot.forget();
    let inert = kernel::socket(
        kernel::AF_UNIX,
        kernel::SOCK_DGRAM | kernel::SOCK_NONBLOCK | kernel::SOCK_CLOEXEC,
    );
    if inert >= 0 {
        kernel::dup3(inert as i32, fd, kernel::O_CLOEXEC);
        kernel::close(inert as i32);
    }
    if blocking {
        -(EINVAL as isize)
    } else {
        -(EAGAIN as isize)
    }
}
