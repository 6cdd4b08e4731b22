//! When an instance is up: what its processes listen on and say, and how they sleep.

use std::fs;
use std::time::Duration;

use super::Supervisor;
use super::address_kind::{self, words};
use super::instance::{self, RunId};
use super::listeners::RunOf;
use super::listening::{Kind, Standing};
use super::slot::Slot;
use super::spawn::Ready;
use balance::MemberId;
use dispatcher::ListenAddress;
use telemetry::ids::Instance;

impl Supervisor {
    /// A process listens: an instance's own, or a child of it.
    pub(super) fn listens(
        &mut self,
        (pid, instance): (i32, Instance),
        member: MemberId,
        (address, chosen): (&ListenAddress, bool),
        members: usize,
    ) {
        let now = self.now();
        let of = self
            .instances
            .run_of(instance, pid, &self.spawner)
            .and_then(|run| {
                let slot = self.instances.get(instance)?;
                let process = slot.processes.iter().find(|it| it.run == run)?;
                let pids = [pid, process.pid, parent_of(pid).unwrap_or(0)];
                let kind = address_kind::of(address, chosen, &pids, &words(&process.app));
                let of = RunOf { instance, run };
                Some((of, kind))
            });
        let common = self.dispatch.listeners.joined(member, address, members, of);
        let Some((RunOf { run, .. }, kind)) = of else {
            return;
        };
        let kind = if common { Kind::Named } else { kind };
        if common {
            let processes = self.instances.processes();
            processes.for_each(|process| process.listening.is_common(address));
        }
        if let Some(process) = self.instances.process(instance, run) {
            process.listening.add(address, kind, now);
            if kind != Kind::OneRun {
                process.silence = None;
                process.boot = None;
            }
        }
        self.judge(instance);
        self.close_unclaimed();
    }

    /// A process listens no more.
    pub(super) fn listens_no_more(
        &mut self,
        member: MemberId,
        address: &ListenAddress,
        members: usize,
    ) {
        let now = self.now();
        if let Some(RunOf { instance, run }) =
            self.dispatch.listeners.left(member, address, members)
        {
            let process = self.instances.process(instance, run);
            if let Some(process) = process {
                process.listening.remove(address, now);
            }
            self.judge(instance);
        }
        self.close_unclaimed();
    }

    /// Decides whether the newest process of an instance is up by what it listens on.
    pub(super) fn judge(&mut self, instance: Instance) {
        let now = self.now();
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let Judged {
            changed,
            lost,
            over,
        } = slot.judge(now);
        if let Some((run, listening)) = changed {
            self.step(instance, instance::Event::Listens { run, listening });
        }
        // One on trial may have closed its listener.
        if let Some(run) = lost {
            let listening = false;
            self.step(instance, instance::Event::Listens { run, listening });
        }
        if let Some(run) = over {
            self.comes_up(instance, run, true);
        }
    }

    /// A process has said over Node's channel that it is ready.
    pub(super) fn is_ready(&mut self, ready: Ready) {
        let Ready { instance, run } = ready;
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let waits = slot.waits_for_ready();
        let listening = slot
            .process(run)
            .is_some_and(|process| process.listening.listens());
        if waits {
            self.comes_up(instance, run, listening);
        }
    }

    /// Looks at those that start, and have not been heard of.
    pub(super) fn look_at_starts(&mut self, now: Duration) {
        let answers = self.dispatch.dispatcher.as_ref();
        let answers = answers.is_some_and(|it| it.answers());
        for (instance, run) in self.instances.look_at_starts(answers, now) {
            self.comes_up(instance, run, false);
        }
    }
}

/// What is seen of the newest process of an instance, and of the one that serves.
#[derive(Debug, Default)]
struct Judged {
    /// The one that serves has begun or ceased to listen.
    changed: Option<(RunId, bool)>,
    /// One beside it, on trial, does not listen on what is expected any more.
    lost: Option<RunId>,
    /// The start of this one is over.
    over: Option<RunId>,
}

impl Slot {
    fn judge(&mut self, now: Duration) -> Judged {
        for process in &mut self.processes {
            process.up_at = None;
        }
        let mut judged = Judged::default();
        if let Some(run) = self.lifecycle.current()
            && let Some(process) = self.process(run.id)
            && process.listening.listens() != run.listens
        {
            judged.changed = Some((run.id, !run.listens));
        }
        if let Some((run, old)) = self.lifecycle.starting()
            && !self.waits_for_ready()
        {
            let at = match self.standing(run) {
                Standing::Up => Some(now),
                Standing::UpAt(at) => Some(at),
                Standing::Waits => None,
            };
            judged.lost = old.filter(|_| at.is_none()).map(|_| run);
            if at.is_some_and(|at| at <= now) {
                judged.over = Some(run);
            }
            if let Some(process) = self.process(run) {
                process.up_at = at.filter(|at| *at > now);
            }
        }
        judged
    }
}

/// The parent of a process.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
