//! Leaving listeners, channels and workers to a dispatcher in another process, which takes them over by the
//! notes. What this one has still to do is to serve the clients that its proxy has.

use std::os::fd::OwnedFd;
use std::time::Duration;

use balance::Nanos;

use super::context::Context;
use super::draining::Draining;
use super::notice::Notice;
use super::registration_events::RegistrationEvent;

/// The pause before the notice is sent again, when the supervisor has no room for it.
const PAUSE: Nanos = 5_000_000;

/// How far it has come.
#[derive(Debug)]
pub(super) struct Leaving {
    /// When to close what is left; after that, when to send the notice again. None once it is delivered.
    at: Option<Nanos>,
    is_cut: bool,
}

/// Closes this process's copies of all that the successor uses, and changes nothing of it.
pub(super) fn begin(successor: OwnedFd, limit: Duration, cx: &mut Context) -> Leaving {
    cx.takeover.hand_over();
    cx.registration.tell(RegistrationEvent::HandedOver);
    cx.placement.hand_over(successor, &mut cx.workers);
    for listener in cx.listeners.all.values_mut() {
        listener.hand_over(&cx.listeners.epoll);
        listener.closing = None;
    }
    cx.listeners.paused_until = None;
    cx.workers.hand_over();
    cx.members.watch_none();
    cx.draining = Draining::default();
    let limit = Nanos::try_from(limit.as_nanos()).unwrap_or(Nanos::MAX);
    Leaving {
        at: Some(cx.clock.now().saturating_add(limit)),
        is_cut: false,
    }
}

impl Leaving {
    /// When [`Self::end_turn`] is due at the latest.
    pub(super) fn deadline(&self, cx: &Context) -> Option<Nanos> {
        let requests = match cx.placement.places_connections() {
            true => None,
            false => cx.placement.deadline(),
        };
        requests.into_iter().chain(self.at).min()
    }

    /// A turn of the event loop ends.
    pub(super) fn end_turn(&mut self, cx: &mut Context) {
        let (clock, notices) = (cx.clock, &mut cx.notices);
        if !cx.placement.places_connections() {
            cx.placement
                .end_turn(clock, &mut cx.workers, &cx.listeners, &cx.members, notices);
        }
        let Some(at) = self.at else {
            return;
        };
        let now = clock.now();
        if at <= now && !std::mem::replace(&mut self.is_cut, true) {
            cx.placement.cut();
        }
        if self.is_cut || cx.placement.has_handed_over() {
            self.is_cut = true;
            let is_heard = notices.is_heard(Notice::HandedOver);
            self.at = (!is_heard).then_some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests;
