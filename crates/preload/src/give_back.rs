//! Giving connections back, so that other workers go on with them.
//!
//! The supervisor asks with a message in the channel, so this runs within a call to `accept`, on the
//! thread of the program's own loop. A connection on which no request is in progress is sent up, and a
//! socket whose other end is closed takes its place, known to the same epolls: the program reads an
//! ordinary disconnect. A busy one follows at the end of the call that completes its response. What
//! the client sends meanwhile lies in the kernel, and goes along. Behind the idle ones the library says
//! on how many connections a request is in progress.

use core::sync::atomic::Ordering::Relaxed;

use wire::{Standing, pair_name};

use crate::epoll::{Epolls, Registrations, each_registration};
use crate::kernel::{self, EAGAIN, EBUSY, EINTR, EpollEvent};
use crate::stream;
use crate::table::{Kind, Slot};
use crate::traffic::{self, Entry, Followed};

/// The epolls as they were when connections were last asked for, or parked.
pub(crate) static EPOLLS: Epolls = Epolls::new();

/// Whether this connection is to be given back as soon as it is idle.
pub(crate) fn wants(followed: &Followed) -> bool {
    followed.slot.back_left.load(Relaxed) > 0
        && followed.slot.kind() == Kind::Channel(followed.channel)
}

/// Gives back what is idle, over `back`, and what becomes so: `most` connections in all. `turn`: the program's loop has
/// turned since this was asked last.
pub(crate) fn begin(slot: &'static Slot, back: i32, most: u32, turn: bool) {
    kernel::fcntl(back, kernel::F_SETFD, kernel::FD_CLOEXEC);
    end(slot);
    let Some(cookie) = kernel::socket_cookie(back) else {
        kernel::close(back);
        return;
    };
    slot.back_cookie.store(cookie, Relaxed);
    slot.back.store(back + 1, Relaxed);
    slot.back_left.store(most, Relaxed);
    EPOLLS.find();
    let mut left = 0;
    for epoll in EPOLLS.iter() {
        each_registration(epoll, |fd, event| {
            if let Some(entry) = traffic::find(fd).filter(|entry| entry.is_mine()) {
                let given = consider(fd, entry, slot, Some((epoll, event)));
                left += u32::from(given == Given::Full);
            }
            slot.back_left.load(Relaxed) > 0
        });
    }
    let busy = traffic::busy(slot, turn).saturating_add(left);
    if slot.back.load(Relaxed) == back + 1 {
        say(back, Standing { busy });
    }
}

/// What came of giving a connection back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    Yes,
    /// It is to stay.
    No,
    /// The way is full.
    Full,
}

/// Says how the worker stands. Where there is no room for it, the supervisor asks again.
fn say(back: i32, standing: Standing) {
    let flags = kernel::MSG_NOSIGNAL | kernel::MSG_DONTWAIT;
    kernel::send_with(back, &mut standing.encode(), -1, flags);
}

/// A connection has become idle.
#[cold]
pub(crate) fn one(fd: i32, entry: &Entry) {
    if let Some(slot) = entry.with(|followed| followed.slot) {
        consider(fd, entry, slot, None);
    }
}

/// Gives this connection back, if it is one of this listener's, and idle.
fn consider(fd: i32, entry: &Entry, slot: &Slot, known: Option<(i32, EpollEvent)>) -> Given {
    let passed = entry.with(|followed| {
        let is_its = core::ptr::eq(followed.slot, slot) && wants(followed);
        // What has passed unseen may be the beginning of a request.
        let good = is_its
            && followed.is_idle()
            && stream::is_exactly(fd, followed.peer(), followed.passed);
        good.then_some(followed.passed)
    });
    let Some(passed) = passed.flatten() else {
        return Given::No;
    };
    // In a child that was forked nothing is given away.
    if slot.process.load(Relaxed) != kernel::getpid() || !entry.hold() {
        return Given::No;
    }
    let registrations = Registrations::take_from(&EPOLLS, fd, known);
    let given = match registrations.wait_for_input() {
        true => replace(fd, slot, &mut passed.encode()),
        false => Given::No,
    };
    let moved = given == Given::Yes;
    registrations.put_back(fd);
    entry.release(moved);
    if moved && slot.back_left.fetch_sub(1, Relaxed) == 1 {
        end(slot);
    }
    given
}

/// Sends the connection up, and puts a socket in its place whose other end is closed.
fn replace(fd: i32, slot: &Slot, message: &mut [u8]) -> Given {
    let way = (slot.back.load(Relaxed) - 1, slot.back_cookie.load(Relaxed));
    replace_over(way, fd, message)
}

/// The same over a way: a socket, and the kernel's number for it.
pub(crate) fn replace_over(way: (i32, u64), fd: i32, message: &mut [u8]) -> Given {
    let Some(ended) = ended_socket(fd) else {
        return Given::No;
    };
    let given = send_over(way, fd, message);
    if given == Given::Yes {
        let cloexec = kernel::fcntl(fd, kernel::F_GETFD, 0).max(0) as i32 & kernel::FD_CLOEXEC;
        let flags = if cloexec != 0 { kernel::O_CLOEXEC } else { 0 };
        // The number is in use, and stays so: the kernel may only ask to try again.
        while matches!(kernel::dup3(ended, fd, flags), error if error == -(EINTR as isize) || error == -(EBUSY as isize))
        {
        }
    }
    kernel::close(ended);
    given
}

/// Sends the connection up.
pub(crate) fn send_over((back, cookie): (i32, u64), fd: i32, message: &mut [u8]) -> Given {
    let is_ours = kernel::socket_cookie(back) == Some(cookie);
    let flags = kernel::MSG_NOSIGNAL | kernel::MSG_DONTWAIT;
    match is_ours.then(|| kernel::send_with(back, message, fd, flags)) {
        Some(sent) if sent == message.len() as isize => Given::Yes,
        Some(error) if error == -(EAGAIN as isize) => Given::Full,
        _ => Given::No,
    }
}

/// A socket whose other end is closed. It shows the connection's addresses, for what the program asks
/// after its last response, as one that stands for a TCP connection.
fn ended_socket(fd: i32) -> Option<i32> {
    let nonblocking = kernel::fcntl(fd, kernel::F_GETFL, 0).max(0) as i32 & kernel::O_NONBLOCK;
    let kind = kernel::SOCK_STREAM | kernel::SOCK_CLOEXEC | nonblocking;
    let [ours, other] = kernel::socket_pair(kind).ok()?;
    for (socket, name) in [
        (ours, kernel::getsockname as fn(i32, &mut [u8]) -> _),
        (other, kernel::getpeername),
    ] {
        let mut address = [0; 28];
        if let Ok(len) = name(fd, &mut address)
            && let Some(address) = address.get(..len)
        {
            // Whoever has taken the name from it leaves it without one, which is no harm.
            let number = |fd| kernel::socket_cookie(fd).unwrap_or(0);
            kernel::bind(socket, &pair_name(number(socket), number(fd), address));
        }
    }
    kernel::close(other);
    Some(ours)
}

/// No more are given back.
fn end(slot: &Slot) {
    slot.back_left.store(0, Relaxed);
    let back = slot.back.swap(0, Relaxed) - 1;
    if back >= 0 && kernel::socket_cookie(back) == Some(slot.back_cookie.load(Relaxed)) {
        kernel::close(back);
    }
}
