//! Parking: a connection that the program closes between two requests lives on.
//!
//! A server closes a kept-alive connection after some idle seconds, and may do so in the very moment in
//! which the client's next request is under way: that request is lost. Nothing has told the client of
//! the end, so it may use the connection (RFC 9112, section 9.3). The supervisor has said with a message in the channel
//! that it takes such connections over: the library sends the descriptor up, and lets the program close its own.
//!
//! It runs within the program's call, on the thread that follows the connection. What is not exactly between two
//! requests is closed as ever.

use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

use wire::{Parked, Passed};

use crate::epoll::Registrations;
use crate::give_back::{self, EPOLLS, Given};
use crate::kernel;
use crate::stream;
use crate::table::{Kind, Slot};
use crate::traffic::{self, Entry, Followed};

const SHUT_RD: i32 = 0;

/// Whether any listener parks. As long as none does, that is all that a call to `close` looks at.
static ON: AtomicBool = AtomicBool::new(false);

/// How many connections have been parked.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// From now on connections of this listener are parked, over `back`.
pub(crate) fn begin(slot: &Slot, back: i32) {
    kernel::fcntl(back, kernel::F_SETFD, kernel::FD_CLOEXEC);
    end(slot);
    let Some(cookie) = kernel::socket_cookie(back) else {
        kernel::close(back);
        return;
    };
    slot.park_cookie.store(cookie, Relaxed);
    slot.park.store(back + 1, Relaxed);
    ON.store(true, Relaxed);
    // It is said again where there is no room for it: the supervisor then tells again.
    give_back::send_over((back, cookie), -1, &mut Parked::default().encode());
}

/// No more are.
pub(crate) fn end(slot: &Slot) {
    let back = slot.park.swap(0, AcqRel) - 1;
    if back >= 0 && kernel::socket_cookie(back) == Some(slot.park_cookie.load(Relaxed)) {
        kernel::close(back);
    }
}

/// The program is about to close this descriptor.
#[inline]
pub(crate) fn before_close(fd: i32) {
    if ON.load(Relaxed)
        && let Some(entry) = traffic::find(fd)
    {
        park(fd, entry, |way, message| {
            // The file lives on, and so would what an epoll knows of it.
            EPOLLS.forget(fd);
            give_back::send_over(way, fd, message)
        });
    }
}

/// The program shuts this connection down. `true` if it is parked, so nothing is left to be shut down: a
/// socket whose other end is closed stands in its place, known to the same epolls.
#[inline]
pub(crate) fn instead_of_shutdown(fd: i32, how: i32) -> bool {
    if how == SHUT_RD || !ON.load(Relaxed) {
        return false;
    }
    traffic::find(fd).is_some_and(|entry| {
        park(fd, entry, |way, message| {
            let registrations = Registrations::take_from(&EPOLLS, fd, None);
            let given = give_back::replace_over(way, fd, message);
            registrations.put_back(fd);
            given
        })
    })
}

/// Parks a connection, if it is between two requests; whether it is parked.
fn park(fd: i32, entry: &Entry, send: impl FnOnce((i32, u64), &mut [u8]) -> Given) -> bool {
    if !entry.is_mine() {
        return false;
    }
    let of = |followed: &mut Followed| {
        let good = is_parked(followed) && stream::is_exactly(fd, followed.peer(), followed.passed);
        good.then_some((followed.slot, followed.passed))
    };
    let Some((slot, passed)) = entry.with(of).flatten() else {
        return false;
    };
    // In a child that was forked nothing is given away; and a program that asks for a reset gets it.
    let is_parent = slot.process.load(Relaxed) == kernel::getpid();
    if !is_parent || kernel::resets_at_close(fd) || !entry.hold() {
        return false;
    }
    // A program may create an epoll at any time; those that it has from its beginning are found at once.
    let count = COUNT.fetch_add(1, Relaxed).wrapping_add(1);
    if count.is_power_of_two() {
        EPOLLS.find();
    }
    let way = (slot.park.load(Relaxed) - 1, slot.park_cookie.load(Relaxed));
    let parked = send(way, &mut Parked(passed).encode()) == Given::Yes;
    entry.release(parked);
    parked
}

/// Whether the connection is between two requests, the first of which was answered: a client that has
/// never asked for anything is none of a kept-alive connection.
fn is_parked(followed: &Followed) -> bool {
    followed.passed.written != Passed::default().written
        && followed.is_idle()
        && followed.slot.park.load(Relaxed) > 0
        && followed.slot.kind() == Kind::Channel(followed.channel)
}
