//! Health checks of instances: when a process is checked, and what follows from it.
//!
//! Each process is checked by itself, one check at a time, in a task of its own (`connection`,
//! `command`), so that nothing here waits for a worker. What it finds is heard by [`standing`], which
//! decides. Where there is a check a process is up when it would be up without, and one has passed.

mod command;
mod connection;
mod standing;

use std::time::Duration;

use tokio::sync::mpsc;

use super::Supervisor;
use super::instance::{self, RunId, SETTLED, State};
use super::instances::Instances;
use super::listeners::RunOf;
use config::{App, Check};
use connection::Asked;
pub(crate) use standing::Health;
use telemetry::events::{Event, Trigger};
use telemetry::ids::Instance;

/// How many results may wait to be heard.
const RESULTS: usize = 64;

/// What a check has found.
#[derive(Debug)]
pub(super) struct Checked {
    of: RunOf,
    verdict: Result<(), String>,
}

/// The checks that are under way.
#[derive(Debug)]
pub(super) struct Checks {
    results_in: mpsc::Sender<Checked>,
    results: mpsc::Receiver<Checked>,
    pub(super) commands: command::Commands,
}

impl Checks {
    /// None.
    pub(super) fn new() -> Self {
        let (results_in, results) = mpsc::channel(RESULTS);
        Self {
            results_in,
            results,
            commands: command::Commands::default(),
        }
    }

    /// The next result.
    pub(super) async fn next(&mut self) -> Option<Checked> {
        self.results.recv().await
    }

    /// Has a check done beside everything else.
    fn begin(&self, of: RunOf, check: impl Future<Output = Result<(), String>> + Send + 'static) {
        let results = self.results_in.clone();
        tokio::spawn(async move {
            let verdict = check.await;
            // The supervisor may have ended meanwhile.
            let _ = results.send(Checked { of, verdict }).await;
        });
    }
}

/// How the health of a process that starts now is checked, if it is. One that does not tell when it
/// is up is checked when it has had time enough for that.
pub(super) fn of(app: &App, now: Duration) -> Option<Health> {
    let first = (!app.wait_ready).then_some(now + SETTLED);
    let rules = app.health.clone()?;
    Some(Health::new(rules, now, first))
}

impl Supervisor {
    /// A process is up, as far as is seen of it. With a check it is while that passes.
    pub(super) fn comes_up(&mut self, instance: Instance, run: RunId, listening: bool) {
        let now = self.now();
        let process = self.instances.process(instance, run);
        if let Some(health) = process.and_then(|process| process.health.as_mut())
            && !health.is_well()
        {
            health.awaits(listening, now);
            return;
        }
        self.step(instance, instance::Event::Up { run, listening });
    }

    /// Begins the checks that are due.
    pub(super) fn check_health(&mut self, now: Duration) {
        for (of, rules) in self.instances.take_due_checks(now) {
            self.begin_check(of, rules);
        }
    }

    fn begin_check(&mut self, of: RunOf, rules: config::Health) {
        let asked = match rules.check {
            Check::Http { path, port } => (Asked::Path(path), port),
            Check::Tcp { port } => (Asked::Connection, port),
            Check::Command(words) => return self.begin_command(of, &words, rules.timeout),
        };
        let Some(dispatcher) = &self.dispatch.dispatcher else {
            // The config refuses such a check where no listeners are held.
            return;
        };
        let check = connection::Check {
            workers: self.dispatch.listeners.workers_of(of),
            port: asked.1,
            asked: asked.0,
            timeout: rules.timeout,
        };
        self.checks
            .begin(of, connection::check(dispatcher.checks(), check));
    }

    /// A check is over.
    pub(super) fn checked(&mut self, checked: Checked) {
        let now = self.now();
        let Checked { of, verdict } = checked;
        let instance = of.instance;
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let runs = match slot.lifecycle.state() {
            State::Running(run) => run.id == of.run,
            _ => false,
        };
        let on_trial = matches!(slot.lifecycle.starting(), Some((run, Some(_))) if run == of.run);
        let waits_for_ready = slot.waits_for_ready();
        let Some(process) = slot.process(of.run) else {
            return;
        };
        let pid = process.pid;
        let Some(health) = process.health.as_mut() else {
            return;
        };
        let follows = health.hears(verdict, now);
        let reason = health.reason().unwrap_or_default().to_owned();
        let failures = health.rules().failures;
        let is_unhealthy = health.unhealthy().is_some();
        let is_well = health.is_well();
        let awaited = health.awaited.take_if(|_| is_well);
        // A reload takes back who fails in its first moments.
        let fails_trial = on_trial && follows.changed && is_unhealthy;
        if fails_trial {
            health.awaited = Some(process.listening.listens());
        }
        if on_trial {
            health.is_on_trial(now);
        }
        if (follows.changed || follows.first)
            && let Some(dispatcher) = &self.dispatch.dispatcher
        {
            dispatcher.set_well(pid, is_well);
        }
        if follows.changed {
            self.event(match is_unhealthy {
                true => Event::HealthFailed {
                    instance,
                    pid,
                    reason: reason.clone(),
                },
                false => Event::HealthPassed { instance, pid },
            });
        }
        if fails_trial {
            self.step(instance, instance::Event::Unwell { run: of.run });
        }
        match awaited {
            // What it listens on may have changed since.
            Some(true) if !waits_for_ready => self.judge(instance),
            Some(listening) => self.comes_up(instance, of.run, listening),
            None => {}
        }
        // One that is being replaced is gone soon.
        if follows.replace && runs {
            self.event(Event::Renewing {
                trigger: Trigger::Health {
                    instance,
                    failures,
                    reason,
                },
            });
            self.operations
                .renew_in_turn(vec![instance], false, self.clock.now());
        }
    }
}

impl Instances {
    /// The checks that are due: of which processes, and how.
    fn take_due_checks(&mut self, now: Duration) -> Vec<(RunOf, config::Health)> {
        let mut due = Vec::new();
        for slot in &mut self.slots {
            let instance = slot.instance;
            let serves = slot.lifecycle.current().map(|run| run.id);
            let starts = slot.lifecycle.starting();
            let waits_for_ready = slot.waits_for_ready();
            for process in &mut slot.processes {
                let run = process.run;
                let Some(health) = process.health.as_mut() else {
                    continue;
                };
                if health.due().is_none_or(|at| at > now) {
                    continue;
                }
                if serves != Some(run) && starts.is_none_or(|(new, _)| new != run) {
                    // It is on its way out.
                    health.ends();
                    continue;
                }
                if starts == Some((run, None)) && !waits_for_ready {
                    // There is none before it to tell what it should listen on.
                    let listening = process.listening.listens();
                    health.awaited.get_or_insert(listening);
                }
                health.begins();
                due.push((RunOf { instance, run }, health.rules().clone()));
            }
        }
        due
    }
}
