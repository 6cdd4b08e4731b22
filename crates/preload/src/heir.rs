//! A channel that another process has opened: inherited over `fork` or `exec`, or passed on over a
//! socket. Whoever accepts from it gets a channel of its own, where the door gives one.

use core::sync::atomic::Ordering::Relaxed;

use wire::{Outcome, Verb};

use crate::listener::{self, Flags};
use crate::table::{self, Kind, Slot};
use crate::{arch, door, host, kernel};

/// How many threads of a process are reported to accept from one channel.
const REPORTS: u32 = 8;

/// Recognises a channel that this process did not ask for.
pub(crate) fn adopt(fd: i32) -> Option<&'static Slot> {
    if host::DOOR.is_empty() {
        return None;
    }
    let id = listener::id_of(fd)?;
    let mut request = host::request(Verb::Adopt);
    request.fd = fd;
    match listener::answer(&request)? {
        (Outcome::Channel, _, address) => {
            if !table::remember(fd, Kind::Channel(id), &address) {
                return None;
            }
            let slot = table::find(fd)?;
            slot.inherited.store(true, Relaxed);
            Some(slot)
        }
        _ => None,
    }
}

/// `listen` on a channel: a process that inherited it is about to accept.
pub(crate) fn listens(slot: &Slot, fd: i32) {
    table::notice_fork();
    if slot.inherited.load(Relaxed) {
        slot.process.store(kernel::getpid(), Relaxed);
        take_own(slot, fd, false);
    }
}

/// Tells the supervisor which thread accepts, so that it looks whether the right one is free, and
/// which process, if this one was forked from the one that listened.
pub(crate) fn accepts(slot: &Slot, fd: i32) {
    table::notice_fork();
    let thread = arch::thread();
    let inherited = slot.inherited.load(Relaxed);
    if !inherited {
        if slot.thread.load(Relaxed) == thread {
            // One that has listened, and blocks here now, cannot be woken to find out that it accepts.
            let is_first = !slot.accepted.load(Relaxed) && !slot.accepted.swap(true, Relaxed);
            if !is_first || kernel::fcntl(fd, kernel::F_GETFL, 0) & kernel::O_NONBLOCK as isize != 0
            {
                return;
            }
            take_own(slot, fd, false);
            return;
        }
        if slot.reports.load(Relaxed) >= REPORTS {
            return;
        }
    }
    slot.thread.store(thread, Relaxed);
    slot.reports.fetch_add(1, Relaxed);
    slot.process.store(kernel::getpid(), Relaxed);
    let others = slot.accepted.swap(true, Relaxed);
    take_own(slot, fd, others);
    slot.accepted.store(true, Relaxed);
}

/// Tells that this thread accepts. A channel of this process's own may come back, and takes the place
/// of the one that it has inherited.
fn take_own(slot: &Slot, fd: i32, others: bool) {
    let flags = Flags::of(fd);
    let mut request = host::request(Verb::Adopt);
    request.fd = fd;
    request.arg = i32::from(others);
    request.arg2 = 1;
    if let Some((reply, Some(channel))) = door::ask(&request) {
        if reply.outcome == Outcome::Channel {
            listener::install(fd, channel, reply.channel, &reply.address, flags);
        }
        kernel::close(channel);
    }
    // From now on no thread of this process reads from the other channel.
    slot.inherited.store(false, Relaxed);
}
