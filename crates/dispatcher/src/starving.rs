//! Clients that wait while no worker is up: the supervisor should know, for a restart that is put
//! off keeps them waiting.

use super::Notice;
use super::listeners::Listener;
use super::turn::Turn;

impl Turn {
    /// Tells when clients begin to wait for a first worker, and when none does any more.
    pub(super) fn watch_for_starving(&mut self) {
        let listeners = &self.listeners.all;
        let lacks_workers = |listener: &Listener| listener.balancer.members().next().is_none();
        let starves = listeners.iter().any(|(id, listener)| {
            let wait = || match &self.proxy {
                Some(proxy) => proxy.waiting(id.0),
                None => listener.balancer.waiting(),
            };
            lacks_workers(listener) && wait() > 0
        });
        // What could not be told is told in a later turn.
        if starves != self.starves && self.is_heard(Notice::Starving(starves)) {
            self.starves = starves;
        }
    }
}
