//! What time brings: when something is to be looked at next, and what is looked at then.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::health::Health;
use super::{Supervisor, instance};

impl Supervisor {
    /// The next moment at which something is to be looked at.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let ending = self.ending.as_ref().map(|ending| ending.kill_at);
        let slots = self.slots.iter().flat_map(|slot| {
            let processes = slot.processes.iter();
            let checks = processes.flat_map(|process| {
                let boot = process.boot.as_ref().map(|boot| boot.check);
                [
                    process.load_check,
                    process.silence.as_ref().map(|silence| silence.at),
                    process.up_at,
                    boot,
                    process.blocked.replace_at(),
                    process.health.as_ref().and_then(Health::due),
                ]
            });
            checks.chain([slot.next_time()])
        });
        let orphans = self.orphans.iter().map(|orphan| orphan.kill_at);
        let stats = self.stats.map(|(_, at)| at);
        let delay = self.delay.as_ref().map(|delay| delay.until);
        let heartbeat = self.heartbeat.as_ref().map(|it| it.at);
        let others = [
            heartbeat,
            delay,
            ending,
            self.renewal.memory_check,
            stats,
            self.listeners.check,
            self.update_check(),
        ];
        slots.chain(orphans).chain(others).flatten().min()
    }

    /// Looks at what is due.
    pub(super) fn check(&mut self) {
        let now = self.now();
        self.send_heartbeat(now);
        self.check_trial(now);
        let ending = self.ending.as_ref();
        if ending.is_some_and(|ending| ending.kill_at <= now) {
            self.kill_everything();
            return;
        }
        if let Some(delay) = self.delay.take_if(|delay| delay.until <= now) {
            self.end_by(delay.signal);
        }
        for orphan in &mut self.orphans {
            if orphan.kill_at.take_if(|at| *at <= now).is_some() {
                let _ = kill_process(orphan.pid, Signal::KILL);
            }
        }
        for instance in self.instances() {
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
