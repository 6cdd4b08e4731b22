//! `accept` on a channel: the next connection that the supervisor sent.

use core::sync::atomic::Ordering::Relaxed;

use wire::{Address, HANDOFF_LEN, Handoff};

use crate::arch::nr;
use crate::epoll::Registrations;
use crate::kernel::{
    self, AF_INET, AF_INET6, Beside, EAGAIN, ECONNRESET, EINTR, EINVAL, EMFILE, ENOTCONN,
};
use crate::table::{self, Kind, Slot};
use crate::{give_back, heir, listener, park, traffic};

/// So close to the descriptor limit it is made sure that a descriptor is left before one is
/// received: one that does not fit would be lost, and its connection with it. Descriptors are
/// given out lowest first, so the last one tells how many are in use, but for what was opened
/// since. Close is what lies beyond half of the limit less this.
const MARGIN: u64 = 64;

/// `accept4`.
///
/// # Safety
/// `address` and `len` as `accept4` wants them.
pub(crate) unsafe fn accept4(fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> isize {
    if flags & !(kernel::SOCK_CLOEXEC | kernel::SOCK_NONBLOCK) != 0 {
        // SAFETY: the caller's promise.
        return unsafe { natively(fd, address, len, flags) };
    }
    let slot = match table::find(fd) {
        Some(slot) if matches!(slot.kind(), Kind::Channel(_)) => slot,
        _ => {
            // SAFETY: the caller's promise.
            let result = unsafe { natively(fd, address, len, flags) };
            // A channel that this process inherited answers so.
            match (result == -(EINVAL as isize)).then(|| heir::adopt(fd)) {
                Some(Some(slot)) => slot,
                _ => return result,
            }
        }
    };
    heir::accepts(slot, fd);
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
unsafe fn take(slot: &'static Slot, fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> isize {
    if near_limit(slot, 0)
        && let Some(error) = at_limit(slot, fd)
    {
        return -(error as isize);
    }
    let cloexec = if flags & kernel::SOCK_CLOEXEC != 0 {
        kernel::MSG_CMSG_CLOEXEC
    } else {
        0
    };
    let mut was_asked = false;
    loop {
        let mut bytes = [0; HANDOFF_LEN];
        let (received, beside) = kernel::receive(fd, &mut bytes, cloexec);
        if received == -(EAGAIN as isize) || received == -(EINTR as isize) {
            return received;
        }
        if received <= 0 {
            if received == 0 && listener::is_channel(slot, fd) {
                end(slot, fd);
            } else if received == -(ECONNRESET as isize) {
                // The supervisor is gone: said once. What it has sent still lies here.
                continue;
            }
            // The number serves another file by now.
            slot.forget();
            // SAFETY: the caller's promise.
            return unsafe { natively(fd, address, len, flags) };
        }
        let message = bytes.get(..received as usize).and_then(Handoff::decode);
        match (message, beside) {
            (
                Some(Handoff::Connection {
                    peer,
                    len: of,
                    pair,
                    passed,
                }),
                Beside::Descriptor(connection),
            ) => {
                near_limit(slot, connection);
                if flags & kernel::SOCK_NONBLOCK == 0 {
                    // The supervisor accepts without blocking, and that travels along.
                    kernel::fcntl(connection, kernel::F_SETFL, 0);
                }
                let of = of.and_then(|of| Address::new(peer.get(..usize::from(of))?));
                // SAFETY: the caller's promise.
                let written = unsafe { write_peer(connection, of, pair, address, len) };
                if written < 0 {
                    // As accept does with a connection whose address it cannot write.
                    kernel::close(connection);
                    return written;
                }
                if let (Some(peer), Kind::Channel(channel), false) = (of, slot.kind(), pair)
                    && matches!(listener::family(peer.as_bytes()), Some(AF_INET | AF_INET6))
                {
                    traffic::begin(connection, slot, channel, peer.as_bytes(), passed);
                }
                return connection as isize;
            }
            (Some(Handoff::GiveBack(most)), Beside::Descriptor(back)) => {
                // Several in a row are heard in one turn of the program's loop, unless it has none.
                let turn = !core::mem::replace(&mut was_asked, true) || blocks(fd);
                give_back::begin(slot, back, most, turn);
            }
            (Some(Handoff::Park), Beside::Descriptor(back)) => park::begin(slot, back),
            // No descriptor was left, against all precaution. What accept says then:
            (_, Beside::Lost) => return -(EMFILE as isize),
            (_, Beside::Descriptor(stray)) => {
                kernel::close(stray);
            }
            // A probe, or what nobody understands.
            (_, Beside::Nothing) => {}
        }
    }
}

/// Writes where a connection comes from, if the program wants to know.
///
/// # Safety
/// `address` and `len` as `accept4` wants them.
unsafe fn write_peer(
    connection: i32,
    peer: Option<Address>,
    pair: bool,
    address: *mut u8,
    len: *mut u32,
) -> isize {
    if address.is_null() {
        return 0;
    }
    if let (Some(peer), true) = (&peer, pair) {
        return listener::give_name(peer, address, len);
    }
    // SAFETY: the caller's promise; getpeername wants the same.
    let written = unsafe {
        kernel::call(
            nr::GETPEERNAME,
            [connection as usize, address as usize, len as usize, 0, 0, 0],
        )
    };
    match peer {
        // It has left already, which accept does not mind.
        Some(peer) if written == -(ENOTCONN as isize) => listener::give_name(&peer, address, len),
        _ => written,
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
    if 2 * latest + MARGIN < known {
        return false;
    }
    let now = kernel::descriptor_limit().min(0xffff_ffff);
    slot.limit.store(latest << 32 | now, Relaxed);
    2 * latest + MARGIN >= now
}

fn descriptor_left(fd: i32) -> bool {
    let spare = kernel::fcntl(fd, kernel::F_DUPFD_CLOEXEC, 0);
    if spare < 0 {
        return false;
    }
    kernel::close(spare as i32);
    true
}

/// What accept says at the limit, if it takes nothing there.
///
/// Programs keep a descriptor in reserve: told that there is none left they give that one up, accept
/// all that there is in its place, and close it at once, so that they are not called for it again
/// (libuv does, and so Node). But another worker can take it. So the accept that follows finds
/// nothing, once: libuv then takes its reserve back, and returns to its loop.
fn at_limit(slot: &Slot, fd: i32) -> Option<i32> {
    if !descriptor_left(fd) {
        slot.is_full.store(true, Relaxed);
        return Some(EMFILE);
    }
    let was_full = slot.is_full.swap(false, Relaxed);
    // One that blocks would not understand it.
    (was_full && !blocks(fd)).then_some(EAGAIN)
}

/// Whether the program waits within `accept`.
fn blocks(fd: i32) -> bool {
    kernel::fcntl(fd, kernel::F_GETFL, 0) & kernel::O_NONBLOCK as isize == 0
}

/// The channel has come to its end. One whose other end is closed is readable for ever, and a
/// loop that looks for that would spin: another socket takes its place. Another thread may do the
/// same at the same time.
fn end(slot: &Slot, fd: i32) {
    let nonblocking = kernel::fcntl(fd, kernel::F_GETFL, 0).max(0) as i32 & kernel::O_NONBLOCK;
    let cloexec = kernel::fcntl(fd, kernel::F_GETFD, 0).max(0) as i32 & kernel::FD_CLOEXEC;
    let kind = kernel::SOCK_STREAM | kernel::SOCK_CLOEXEC | nonblocking;
    let Ok(other) = i32::try_from(kernel::socket(kernel::AF_UNIX, kind)) else {
        return;
    };
    if other < 0 {
        return;
    }
    // Where the supervisor is still there, it was the program that shut its listener down, to
    // wake whoever waits: the kernel says the same of a socket that does not listen. Else it is as
    // if nobody came any more: a listener with a name that nobody knows.
    if !listener::say_closed(slot) {
        kernel::bind(other, &kernel::AF_UNIX.to_ne_bytes());
        kernel::listen(other, 1);
    }
    // Another process may hold the channel too, and with it what this one's epolls know.
    let registrations = Registrations::take(fd);
    kernel::dup3(other, fd, if cloexec != 0 { kernel::O_CLOEXEC } else { 0 });
    registrations.put_back(fd);
    kernel::close(other);
}
