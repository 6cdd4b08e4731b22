//! Clients that wait while no worker is up: the supervisor should know, for a restart that is put
//! off keeps them waiting.

use super::listeners::Listeners;
use super::notice::Notice;
use super::notices::Notices;
use super::placement::Placement;

/// Whether clients wait while no worker is up, as was told last.
#[derive(Debug, Default)]
pub(super) struct Starving(bool);

impl Starving {
    /// Tells when clients begin to wait for a first worker, and when none does any more.
    pub(super) fn watch(
        &mut self,
        listeners: &Listeners,
        placement: &Placement,
        notices: &Notices,
    ) {
        let mut listeners = listeners.all.iter();
        let starves =
            listeners.any(|(id, listener)| listener.joined == 0 && placement.waiting(*id) > 0);
        // What could not be told is told in a later turn.
        if starves != self.0 && notices.is_heard(Notice::Starving(starves)) {
            self.0 = starves;
        }
    }
}
