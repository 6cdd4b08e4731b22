//! Reloads that no command has asked for, beside those that commands have asked for.

use std::time::Duration;

use super::{Goal, Operation, Operations};
use crate::instance::State;
use crate::instances::Instances;
use crate::slot::Slot;
use telemetry::ids::Instance;

impl Operation {
    fn internal(instances: Vec<Instance>, urgent: bool) -> Self {
        Self {
            urgent,
            ..Self::of("reload", Goal::Up, None).in_turn(instances, None)
        }
    }

    fn is_internal(&self) -> bool {
        self.answer.is_none()
    }

    /// Whether an instance has its turn, or will have it.
    fn comes_to(&self, instance: Instance) -> bool {
        self.queue.contains(&instance) || self.waiting.contains(&instance)
    }
}

impl Operations {
    /// Reloads instances that no command has asked for.
    ///
    /// A changed file is urgent: a successor that starts may have read the file as it was. Otherwise a
    /// successor on its way is new enough; were it dropped, a calendar that comes more often than a
    /// worker starts would let none come up.
    pub(crate) fn renew_in_turn(
        &mut self,
        mut instances: Vec<Instance>,
        urgent: bool,
        begun: Duration,
    ) {
        let mut earlier: Vec<_> = self.all.iter_mut().collect();
        earlier.retain(|it| it.is_internal());
        if urgent {
            // What an earlier trigger has not come to, this one does.
            for renewal in earlier {
                renewal.queue.clear();
            }
        } else {
            instances.retain(|instance| !earlier.iter().any(|it| it.comes_to(*instance)));
            if let Some(renewal) = earlier.into_iter().find(|it| !it.is_over()) {
                renewal.queue.extend(instances);
                return;
            }
        }
        self.all.push(Operation {
            begun,
            ..Operation::internal(instances, urgent)
        });
    }

    /// Whether the next turn of a reload that no command has asked for would cut short what another one
    /// has begun. A command's own process must stay: it may try out another configuration.
    pub(super) fn has_to_wait(&self, renewal: &Operation, instances: &Instances) -> bool {
        let Some(instance) = renewal.queue.front().filter(|_| renewal.is_internal()) else {
            return false;
        };
        let mut commands = self.all.iter().filter(|it| !it.is_internal());
        let mut slots = instances.iter().filter(|it| it.instance == *instance);
        let replaces = |slot: &Slot| matches!(slot.lifecycle.state(), State::Replacing { .. });
        commands.any(|it| it.waiting.contains(instance)) || !renewal.urgent && slots.any(replaces)
    }
}
