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

impl Supervisor {
    pub(super) fn set_starving(&mut self, starves: bool) {
        self.starving = match (starves, self.starving) {
            (false, _) => Starving::No,
            (true, Starving::No) => Starving::Yes,
            (true, already) => already,
        };
    }

    /// Brings the next attempt forward: one for all instances, for one worker is what they wait for.
    pub(super) fn hurry(&mut self) {
        if self.starving == Starving::No || self.ending.is_some() {
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
        if self.starving == Starving::Yes {
            self.starving = Starving::Told;
            self.event(Event::Hurrying);
        }
        self.step(instance, instance::Event::Hurry { by });
    }
}
