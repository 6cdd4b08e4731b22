//! What the event loop works with: parts with names of their own. What needs one of them is given
//! that one; what moves workers and listeners between several takes all.

use super::clock::Clock;
use super::draining::Draining;
use super::listeners::Listeners;
use super::members::Members;
use super::notices::Notices;
use super::placement::Placement;
use super::registration_events::RegistrationEvents;
use super::takeover::Takeover;
use super::workers::Workers;

/// The parts of the dispatcher.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) clock: Clock,
    pub(super) notices: Notices,
    pub(super) registration: RegistrationEvents,
    pub(super) listeners: Listeners,
    pub(super) members: Members,
    pub(super) workers: Workers,
    pub(super) placement: Placement,
    pub(super) draining: Draining,
    pub(super) takeover: Takeover,
    /// The number of a descriptor from which on they are scarce: some must be left to take back
    /// what workers do not take.
    pub(super) descriptors: i32,
}

impl Context {
    /// Whether workers may take more descriptors of this process: half of them are for connections.
    pub(super) fn has_room_for_workers(&self) -> bool {
        let members = self.members.all.len();
        let taken = 2 * members + self.members.processes.len() + self.listeners.all.len();
        // Three quarters of all are what this number stands for.
        taken < usize::try_from(self.descriptors).map_or(usize::MAX, |most| most / 3 * 2)
    }
}
