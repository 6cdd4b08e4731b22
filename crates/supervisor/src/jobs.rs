//! Jobs: apps whose runs the calendar starts, and which nothing follows when they end. Their runs never
//! overlap.

use super::Supervisor;
use super::instance::{self, Rest, State};
use config::Overlap;
use telemetry::events::{Event, Trigger};

impl Supervisor {
    /// The time of a job has come: each instance that no command has stopped runs once more, unless its last
    /// run goes on.
    pub(super) fn run_job(&mut self, overlap: Overlap) {
        let (mut due, now) = (Vec::new(), self.now());
        for instance in self.instances.numbers() {
            let Some(slot) = self.instances.slot(instance) else {
                continue;
            };
            let state = slot.lifecycle.state();
            if matches!(state, State::Resting(Rest::Stopped)) {
                continue;
            }
            match slot.lifecycle.current() {
                Some(run) if overlap != Overlap::Replace => {
                    // Once a run: its calendar may have a time each second.
                    let is_new = slot.still_runs.replace(run.id) != Some(run.id);
                    let waits = overlap == Overlap::Wait;
                    if waits {
                        self.step(instance, instance::Event::Due);
                    }
                    if is_new {
                        self.event(Event::StillRuns { instance, waits });
                    }
                }
                // As in `renew_all`, a process that starts now is new enough: a command may wait for it.
                _ if slot.is_starting(now) => {}
                _ => due.push(instance),
            }
        }
        if due.is_empty() {
            return;
        }
        let trigger = Trigger::Schedule;
        self.event(Event::Renewing { trigger });
        for instance in due {
            if let Some(slot) = self.instances.slot(instance) {
                // A command that waits for this instance to be up hears of the process that starts now.
                slot.outcome = None;
            }
            self.step(instance, instance::Event::Renew);
        }
    }
}
