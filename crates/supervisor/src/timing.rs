//! What time brings: when something is to be looked at next, and what is looked at then.

use std::time::Duration;

use super::{Supervisor, instance};

impl Supervisor {
    /// The next moment at which something is to be looked at.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let instances = self.instances.next_check();
        let others = [
            instances,
            self.strays.next_check(),
            self.clock.next(),
            self.shutdown.next_check(),
            self.renewal.memory_check,
            self.dispatch.listeners.check,
            self.takeover.update_check(),
        ];
        others.into_iter().flatten().min()
    }

    /// Looks at what is due.
    pub(super) fn check(&mut self) {
        let now = self.now();
        self.clock.send_heartbeat(now);
        self.takeover.check_trial(now);
        if self.shutdown.is_over(now) {
            self.kill_everything();
            return;
        }
        if let Some(signal) = self.shutdown.end_of_delay(now) {
            self.end_by(signal);
        }
        self.strays.kill_due(now);
        for instance in self.instances.numbers() {
            self.step(instance, instance::Event::Time);
            self.judge(instance);
        }
        self.close_unclaimed();
        self.look_at_processes(now);
        self.look_at_starts(now);
        self.check_memory(now);
        self.check_hangs(now);
        self.check_health(now);
    }
}
