//! What a supervisor counts of what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ByWord;
use crate::events::{Event, Next, Trigger};
use crate::ids::Instance;

/// Why a process was started in the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The one before it ended with an exit code.
    Exit,
    /// The one before it was killed by a signal.
    Signal,
    /// The kernel killed the one before it at its limit of memory.
    OutOfMemory,
    /// `max_memory_restart`.
    Memory,
    /// `hang_timeout`.
    Hang,
    /// `health`.
    Health,
    /// `cron_restart`.
    Schedule,
    /// `watch`.
    Change,
    /// Somebody has asked for it.
    Command,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Exit,
        Self::Signal,
        Self::OutOfMemory,
        Self::Memory,
        Self::Hang,
        Self::Health,
        Self::Schedule,
        Self::Change,
        Self::Command,
    ];

    /// The word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::Memory => "max_memory_restart",
            Self::Hang => "hang_timeout",
            Self::Health => "health",
            Self::Schedule => "cron_restart",
            Self::Change => "watch",
            Self::Command => "command",
        }
    }
}

/// What was counted since the supervisor started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Restarts of each instance, by their cause.
    pub restarts: BTreeMap<Instance, BTreeMap<Cause, u64>>,
    /// Reloads by their outcome: `completed` or `failed`.
    pub reloads: ByWord,
    /// For how long event loops of each instance stood still, of the times that are over.
    #[serde(skip)]
    pub blocked: BTreeMap<Instance, Duration>,
    /// Processor time of the processes of each instance that have ended.
    #[serde(skip)]
    pub cpu: BTreeMap<Instance, Duration>,
    /// Lines of output that could not be written to a log.
    pub lines_lost: u64,
    /// Instances that have been started before.
    #[serde(skip)]
    started: BTreeSet<Instance>,
    /// Why the next process of an instance is started, where that is known.
    #[serde(skip)]
    causes: BTreeMap<Instance, Cause>,
    /// The same, for all that have none of their own.
    #[serde(skip)]
    trigger: Option<Cause>,
}

impl Tally {
    /// Something has happened.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Started { instance, .. } => self.started(*instance),
            Event::Exited {
                instance,
                signal,
                out_of_memory,
                next: Next::Restart { .. },
                ..
            } => {
                let cause = match (out_of_memory, signal) {
                    (Some(_), _) => Cause::OutOfMemory,
                    (None, Some(_)) => Cause::Signal,
                    (None, None) => Cause::Exit,
                };
                self.causes.insert(*instance, cause);
            }
            Event::Renewing { trigger } => match trigger {
                Trigger::Schedule => self.trigger = Some(Cause::Schedule),
                Trigger::Change { .. } => self.trigger = Some(Cause::Change),
                Trigger::Memory { instance, .. } => {
                    self.causes.insert(*instance, Cause::Memory);
                }
                Trigger::Hang { instance, .. } => {
                    self.causes.insert(*instance, Cause::Hang);
                }
                Trigger::Health { instance, .. } => {
                    self.causes.insert(*instance, Cause::Health);
                }
            },
            Event::LogLost { lines, .. } | Event::LogOverrun { lines, .. } => {
                self.lines_lost += lines;
            }
            _ => {}
        }
    }

    /// Somebody has asked for a restart or reload: what triggered one before is over.
    pub fn commanded(&mut self) {
        self.trigger = None;
        self.causes.clear();
    }

    /// A reload has come to its end.
    pub fn reloaded(&mut self, well: bool) {
        let outcome = if well { "completed" } else { "failed" };
        *self.reloads.entry(outcome.to_owned()).or_default() += 1;
    }

    /// An event loop of an instance has stood still for so long.
    pub fn blocked(&mut self, instance: Instance, time: Duration) {
        *self.blocked.entry(instance).or_default() += time;
    }

    /// A process of an instance has ended, after so much processor time.
    pub fn spent(&mut self, instance: Instance, time: Duration) {
        *self.cpu.entry(instance).or_default() += time;
    }

    fn started(&mut self, instance: Instance) {
        if self.started.insert(instance) {
            return;
        }
        let cause = self.causes.remove(&instance).or(self.trigger);
        let causes = self.restarts.entry(instance).or_default();
        *causes.entry(cause.unwrap_or(Cause::Command)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(instance: Instance) -> Event {
        Event::Started { instance, pid: 7 }
    }

    fn exited(signal: Option<i32>, out_of_memory: Option<u64>) -> Event {
        Event::Exited {
            instance: Instance(0),
            pid: 7,
            code: None,
            signal,
            out_of_memory,
            uptime: 1,
            next: Next::Restart {
                delay: 0,
                attempt: 1,
                max: 16,
            },
        }
    }

    fn renewing(trigger: Trigger) -> Event {
        Event::Renewing { trigger }
    }

    /// The only cause that was counted of instance 0.
    fn cause_after(events: &[Event]) -> Option<Cause> {
        let mut tally = Tally::default();
        tally.event(&started(Instance(0)));
        for event in events {
            tally.event(event);
        }
        tally.event(&started(Instance(0)));
        let causes = tally.restarts.remove(&Instance(0))?;
        assert_eq!(causes.values().sum::<u64>(), 1);
        causes.into_keys().next()
    }

    #[test]
    fn each_restart_has_its_cause() {
        let change = Trigger::Change {
            path: "a".into(),
            others: 0,
        };
        let memory = Trigger::Memory {
            instance: Instance(0),
            used: 2,
            limit: 1,
        };
        let hang = Trigger::Hang {
            instance: Instance(0),
            lasts: 1000,
        };
        let health = Trigger::Health {
            instance: Instance(0),
            failures: 3,
            reason: "it does not listen".into(),
        };
        let rows = [
            (vec![exited(None, None)], Cause::Exit),
            (vec![exited(Some(9), None)], Cause::Signal),
            (vec![exited(Some(9), Some(1))], Cause::OutOfMemory),
            (vec![renewing(memory)], Cause::Memory),
            (vec![renewing(hang)], Cause::Hang),
            (vec![renewing(health)], Cause::Health),
            (vec![renewing(Trigger::Schedule)], Cause::Schedule),
            (vec![renewing(change)], Cause::Change),
            (vec![], Cause::Command),
        ];
        let causes: Vec<_> = rows.iter().map(|(_, cause)| *cause).collect();
        assert_eq!(causes, Cause::ALL);
        for (events, cause) in rows {
            assert_eq!(cause_after(&events), Some(cause), "{events:?}");
        }
    }

    #[test]
    fn a_first_start_is_no_restart() {
        let mut tally = Tally::default();
        tally.event(&started(Instance(0)));
        tally.event(&started(Instance(1)));
        assert!(tally.restarts.is_empty());
    }

    #[test]
    fn a_command_ends_what_was_triggered() {
        let mut tally = Tally::default();
        tally.event(&started(Instance(0)));
        tally.event(&renewing(Trigger::Schedule));
        tally.commanded();
        tally.event(&started(Instance(0)));
        assert_eq!(tally.restarts[&Instance(0)][&Cause::Command], 1);
    }
}
