//! Clients wait and no worker is up: the next attempt to start one is not put off for long.

use std::time::Duration;

use super::{Supervisor, instance};
use telemetry::events::Event;

/// While clients wait for a first worker, the next attempt comes within this time. Shorter would
/// help none of them: an app that cannot start yet has something else to wait for.
const NEXT_ATTEMPT: Duration = Duration::from_secs(1);

/// Whether clients wait while no worker is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starving {
    No,
    Yes,
    /// They do, and it was told that restarts come earlier for that.
    Told,
}

impl Starving {
    /// Whether clients wait from now on.
    pub(super) fn set(&mut self, starves: bool) {
        *self = match (starves, *self) {
            (false, _) => Self::No,
            (true, Self::No) => Self::Yes,
            (true, already) => already,
        };
    }
}

impl Supervisor {
    /// Brings the next attempt forward: one for all instances, for one worker is what they wait for.
    pub(super) fn hurry(&mut self) {
        if self.dispatch.starving == Starving::No || self.shutdown.has_begun() {
            return;
        }
        let by = self.now() + NEXT_ATTEMPT;
        let put_off = self.instances.iter().filter_map(|slot| {
            let until = slot.put_off_until()?;
            Some((until, slot.instance))
        });
        let Some((_, instance)) = put_off.min().filter(|(until, _)| *until > by) else {
            return;
        };
        if self.dispatch.starving == Starving::Yes {
            self.dispatch.starving = Starving::Told;
            self.event(Event::Hurrying);
        }
        self.step(instance, instance::Event::Hurry { by });
    }
}
