//! What restarts instances without anybody asking: the calendar, changed files, and too much
//! memory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;

use super::Supervisor;
use super::instance::{self, Rest, State};
use super::instances::Instances;
use config::App;
use process::memory;
use process::tree;
use telemetry::events::{Event, Trigger};
use telemetry::ids::Instance;
use triggers::schedule::Alarm;
use triggers::watch::{self, Change, Watcher};

/// The triggers of an app.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    alarm: Option<Alarm>,
    watcher: Option<Watcher>,
    /// When to look at the memory next.
    pub(super) memory_check: Option<Duration>,
}

/// Something that calls for a restart.
#[derive(Debug)]
pub(super) enum Call {
    Scheduled,
    Changed(Change),
    /// There is nothing to be heard from this trigger any more.
    Broken(&'static str, io::Error),
}

impl Renewal {
    /// Waits for a trigger. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Call {
        let alarm = async {
            match &mut self.alarm {
                Some(alarm) => alarm.ring().await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match &mut self.watcher {
                Some(watcher) => watcher.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            rung = alarm => match rung {
                Ok(()) => Call::Scheduled,
                Err(error) => {
                    self.alarm = None;
                    Call::Broken("cron_restart", error)
                }
            },
            change = changed => match change {
                Ok(change) => Call::Changed(change),
                Err(error) => {
                    self.watcher = None;
                    Call::Broken("watch", error)
                }
            },
        }
    }

    /// Whether one may come even when nothing runs.
    pub(super) fn is_waiting(&self) -> bool {
        self.alarm.is_some() || self.watcher.is_some()
    }

    /// Sets the triggers as the app wants them; which of them there cannot be, and why. `own` are the files that
    /// we write in the app's name.
    fn set(&mut self, app: &App, own: Vec<PathBuf>, now: Duration) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        self.memory_check = app.max_memory.map(|_| now + memory::INTERVAL);
        self.alarm = None;
        if let Some(cron) = &app.cron {
            match cron.schedule().and_then(|it| Ok(Alarm::new(it)?)) {
                Ok(alarm) => self.alarm = Some(alarm),
                Err(error) => faults.push(("cron_restart", error.to_string())),
            }
        }
        self.watcher = None;
        if let Some(watched) = &app.watch {
            let settings = watch::Settings {
                paths: &watched.paths,
                ignore: &watched.ignore,
                cwd: &app.cwd,
                own,
                delay: watched.delay,
                follow_links: watched.follow_links,
            };
            match Watcher::new(&settings) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => faults.push(("watch", error.to_string())),
            }
        }
        faults
    }
}

impl Supervisor {
    /// Sets the triggers as the app wants them.
    pub(super) fn set_triggers(&mut self) {
        let now = self.now();
        let own = self.folders.own_files(&self.app, self.instances.iter());
        for (trigger, reason) in self.renewal.set(&self.app, own, now) {
            let trigger = trigger.to_owned();
            self.event(Event::NoTrigger { trigger, reason });
        }
        self.tell_of_watching();
    }

    fn tell_of_watching(&mut self) {
        let problems = self.renewal.watcher.as_mut().map(Watcher::problems);
        for problem in problems.unwrap_or_default() {
            self.event(Event::NoTrigger {
                trigger: "watch".to_owned(),
                reason: problem.to_string(),
            });
        }
    }

    /// A trigger has come.
    pub(super) fn renew(&mut self, call: Call) {
        if self.shutdown.has_begun() {
            return;
        }
        match call {
            Call::Scheduled => match self.app.job() {
                Some(overlap) => self.run_job(overlap),
                None => self.renew_all(Trigger::Schedule),
            },
            Call::Changed(change) => {
                self.tell_of_watching();
                let path = change.path.display().to_string();
                let others = change.others;
                self.renew_all(Trigger::Change { path, others });
            }
            Call::Broken(trigger, error) => self.event(Event::NoTrigger {
                trigger: trigger.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Restarts every instance that no command has stopped. Those that serve clients go on until their
    /// successors do, one after the other.
    fn renew_all(&mut self, trigger: Trigger) {
        let urgent = matches!(trigger, Trigger::Change { .. });
        self.event(Event::Renewing { trigger });
        let mut serve = Vec::new();
        let now = self.now();
        for instance in self.instances.numbers() {
            let Some(slot) = self.instances.slot(instance) else {
                continue;
            };
            let stopped = matches!(slot.lifecycle.state(), State::Resting(Rest::Stopped));
            // A process that starts now is new enough, as in `renew_in_turn`.
            let is_new = !urgent && slot.is_starting(now);
            if slot.serves() {
                serve.push(instance);
            } else if !stopped && !is_new {
                // A command that waits for this instance to be up hears of the process that starts
                // now.
                slot.outcome = None;
                self.step(instance, instance::Event::Renew);
            }
        }
        self.operations
            .renew_in_turn(serve, urgent, self.clock.now());
    }

    /// Looks for instances that use too much memory; they are reloaded.
    pub(super) fn check_memory(&mut self, now: Duration) {
        let due = self.renewal.memory_check.is_some_and(|at| at <= now);
        let (true, Some(limit)) = (due, self.app.max_memory) else {
            return;
        };
        self.renewal.memory_check = Some(now + memory::INTERVAL);
        for (instance, used) in self.instances.over_memory(limit) {
            self.event(Event::Renewing {
                trigger: Trigger::Memory {
                    instance,
                    used,
                    limit,
                },
            });
            self.operations
                .renew_in_turn(vec![instance], false, self.clock.now());
        }
    }
}

impl Instances {
    /// Those that use more memory than this, and how much.
    fn over_memory(&self, limit: u64) -> Vec<(Instance, u64)> {
        let used = self.iter().filter_map(|slot| {
            // One that is being replaced gives its memory back soon.
            let runs = matches!(slot.lifecycle.state(), State::Running(_));
            let process = slot.current().filter(|_| runs)?;
            let pid = Pid::from_raw(process.pid)?;
            let others = || match &process.group {
                // What has detached itself is in it too.
                Some(group) => group.processes(),
                None => tree::descendants(pid),
            };
            let used = memory::excess(pid, others, limit)?;
            Some((slot.instance, used))
        });
        used.collect()
    }
}
