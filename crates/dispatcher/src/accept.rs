//! Accepting connections, and when not to: without room in the queue, without descriptors, after
//! the listeners have closed. What is not accepted waits in the kernel's backlog.

use std::os::fd::AsFd;

use balance::Nanos;
use rustix::io::Errno;

use super::context::Context;
use super::ids::ListenerId;
use super::listeners::{HeldBy, Listener};
use super::placement::{Arrived, Room};
use super::registration_events::RegistrationEvent;
use telemetry::events::Event;

/// After the process has run out of descriptors, it accepts again after this.
const BACKOFF: Nanos = 10_000_000;

/// Accepts a lot of what has arrived at a listener, and has it placed. Whether there may be more to
/// accept.
pub(super) fn accept(id: ListenerId, cx: &mut Context) -> bool {
    cx.placement.divide_descriptors();
    let listeners = &mut cx.listeners;
    let listener = listeners.all.get_mut(&id);
    let Some(listener) = listener.filter(|listener| !listener.shut) else {
        return false;
    };
    for number in 0..cx.placement.batch() {
        match cx.placement.make_room(id) {
            Room::Free => {}
            Room::Full => {
                listener.hear(id, false, &listeners.epoll);
                return false;
            }
            Room::Crowded { limit } => {
                // Whether clients wait in the backlog is known when this is called for.
                if number == 0 {
                    listener.hear(id, false, &listeners.epoll);
                    cx.placement.press();
                    cx.notices.remind(Event::Crowded { limit });
                }
                return false;
            }
        }
        match sys::accept(listener.socket.as_fd()) {
            Ok((socket, peer)) => {
                listeners.accepted += 1;
                listener.accepted += 1;
                // Before newcomers have to wait, those leave that have been idle for long.
                let leaves_few = cx.placement.leaves_few(&socket) && !cx.placement.sheds_parked();
                let arrived = Arrived {
                    socket,
                    peer: peer.as_bytes(),
                    number: listeners.accepted,
                    listener,
                };
                cx.placement.arrive(id, arrived, cx.clock, &mut cx.workers);
                if leaves_few {
                    pause(None, cx);
                    return false;
                }
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE) if cx.placement.sheds_parked() => {}
                Some(Errno::MFILE) => {
                    pause(None, cx);
                    return false;
                }
                Some(Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    pause(Some(error.to_string()), cx);
                    return false;
                }
                // A connection that was gone before it was accepted.
                Some(Errno::CONNABORTED | Errno::PROTO | Errno::INTR) => {}
                _ => return false,
            },
        }
    }
    true
}

/// Few descriptors are left, or the system lacks something else: what arrives stays in the backlog
/// for a moment.
fn pause(reason: Option<String>, cx: &mut Context) {
    cx.listeners.pause(cx.clock.now() + BACKOFF);
    cx.notices.remind_of_descriptors(reason);
}

/// Accepts again where there is room again: not during a pause, nor after one that leaves too few
/// descriptors. Connections that wait for a worker have some; where none waits, one is let in
/// whatever is left.
pub(super) fn resume(now: Nanos, cx: &mut Context) {
    let listeners = &mut cx.listeners;
    if listeners.paused_until.is_some_and(|until| until <= now) {
        let goes_on = cx.placement.lacks_descriptors(&listeners.epoll);
        listeners.paused_until = goes_on.then_some(now + BACKOFF);
    }
    if listeners.paused_until.is_some() {
        return;
    }
    cx.placement.relax();
    for (id, listener) in &mut listeners.all {
        if listener.is_held_up() && cx.placement.has_room(*id) {
            listener.hear(*id, true, &listeners.epoll);
        }
    }
}

/// Takes what the backlogs still hold, then accepts no more, until workers are awaited again. In the backlog of a
/// socket that another process holds, too, it stays, for the app's next run.
pub(super) fn close_all(cx: &mut Context) {
    cx.listeners.closed = true;
    for id in cx.listeners.all_that(|listener| !listener.shut) {
        let is_ours = |listener: &Listener| listener.held_by == HeldBy::Us;
        if cx.listeners.all.get(&id).is_some_and(is_ours) {
            while accept(id, cx) {}
        }
        if let Some(listener) = cx.listeners.all.get_mut(&id) {
            listener.shut(&cx.listeners.epoll);
            cx.registration.tell(RegistrationEvent::Closed(id));
        }
    }
    cx.placement.close_all();
    cx.takeover.changed();
}
