//! How instances outlive their supervisor: it notes their processes as they come and go, and the next one,
//! which has the same guard and the same table of descriptors, goes on with them.
//!
//! Whose process it was when the supervisor was killed is its process still. A successor that was not up
//! yet, and whatever was on its way out, drain and end. What has ended meanwhile the guard has heard of.

mod notes;

use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, getppid, test_kill_process};
use sys::LeftOpen;

use super::Supervisor;
use super::ended::Ended;
use super::guard::reap;
use super::instance::{Cause, Run, RunId};
use super::instances::Instances;
use super::keeper::Lifeline;
use super::slot::Process;
use super::spawn::Ready;
use super::succession::Predecessor;
use super::update::Update;
use config::App;
use home::{Exit, Rest, now_ms};
use notes::{InstanceNote, ProcessNote, note_of};
pub(super) use notes::{Notes, beginning};
use process::node_ipc::Channel;
use process::tree;
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};

/// Processes that another supervisor has started.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    /// Their parent, unless that is one of the next.
    guard: Option<Pid>,
    /// Supervisors that have made way for others, and finish what they have in progress.
    earlier: Vec<Pid>,
    /// By the pipe's descriptor the beginning of a line.
    begun: Vec<(i32, Vec<u8>)>,
    /// Those that are to end.
    leaving: Vec<(Instance, RunId, Cause)>,
    /// Those that have ended before they could be taken over.
    ended: Vec<Ended>,
    /// Process groups that have nothing to do any more, but for what the supervisor before this one finishes.
    drained: Vec<i32>,
}

/// What outlives this supervisor, and what it has taken over from the one before it.
#[derive(Debug)]
pub(super) struct Takeover {
    /// What the guard keeps for the next supervisor.
    pub(super) lifeline: Option<Lifeline>,
    /// The notes on the instances are out of date.
    pub(super) unnoted: bool,
    survivors: Survivors,
    /// Another version of maitred is to follow.
    pub(super) update: Option<Update>,
    /// The beginnings of lines that are handed over to it, by the pipe's descriptor.
    pub(super) begun: Vec<(i32, Vec<u8>)>,
    /// What a killed supervisor has left, until this one takes it over.
    pub(super) left: Option<(Notes, LeftOpen)>,
}

impl Takeover {
    /// Where there is a lifeline, instances outlive this supervisor.
    pub(super) fn new(lifeline: Option<Lifeline>) -> Self {
        Self {
            lifeline,
            unnoted: true,
            survivors: Survivors::default(),
            update: None,
            begun: Vec::new(),
            left: None,
        }
    }

    /// Begins to go on with what the supervisor before this one had; whether anything outlives one.
    fn survive(&mut self, earlier: Vec<i32>, begun: Vec<(i32, Vec<u8>)>) -> bool {
        let Some(lifeline) = &mut self.lifeline else {
            return false;
        };
        self.survivors.ended = lifeline.ended_until_now();
        let predecessor = lifeline.predecessor.as_ref().map(|it| it.pid);
        let earlier = earlier.into_iter().filter_map(Pid::from_raw);
        self.survivors.guard = getppid();
        self.survivors.earlier = earlier.chain(predecessor).collect();
        self.survivors.begun = begun;
        true
    }

    /// Notes how things are, if that has changed.
    fn note(&mut self, instances: &Instances, triggers: bool, door: Option<i32>) {
        if !std::mem::take(&mut self.unnoted) {
            return;
        }
        let noted = instances
            .iter()
            .filter(|slot| !slot.removed || !slot.lifecycle.is_at_rest());
        let notes = Notes {
            door,
            instances: noted.map(|slot| note_of(slot, triggers)).collect(),
            begun: std::mem::take(&mut self.begun),
            earlier: self.survivors.earlier.iter().map(number).collect(),
        };
        if let Some(lifeline) = &mut self.lifeline {
            let text = serde_json::to_vec(&notes).unwrap_or_default();
            // Without memory for them, the notes before count.
            let _ = lifeline.notes.write(&text);
        }
    }

    /// The next process of which the guard tells that it has ended. Loses nothing when it is dropped.
    pub(super) async fn next_ended(&mut self) -> Option<Ended> {
        match &mut self.lifeline {
            Some(lifeline) => lifeline.ended.next().await,
            None => std::future::pending().await,
        }
    }

    /// Tells the next supervisor of children that have ended, as the guard does.
    pub(super) fn tell_of_ended(&mut self) {
        if let Some(lifeline) = &mut self.lifeline {
            let tell = &mut |ended| lifeline.ended.tell(ended);
            let _ = reap(None, false, tell);
        }
    }

    /// A process that was started by the supervisor before this one has ended, or such a supervisor. The process
    /// groups that have nothing to do any more, when the last of these has.
    fn ended(&mut self, pid: i32) -> Vec<i32> {
        self.survivors.earlier.retain(|it| number(it) != pid);
        self.unnoted = true;
        match self.survivors.earlier.is_empty() {
            true => std::mem::take(&mut self.survivors.drained),
            false => Vec::new(),
        }
    }

    /// Whether a process group that has drained has to wait for earlier supervisors: what they have in progress
    /// the dispatcher hears of only after it has begun, and a worker that drains already would end before that.
    fn holds_back(&mut self, group: i32) -> bool {
        // They end within `drain_timeout`, and then it is heard of.
        let mut earlier = self.survivors.earlier.iter();
        let one_runs = earlier.any(|it| test_kill_process(*it).is_ok());
        if one_runs {
            self.survivors.drained.push(group);
        }
        one_runs
    }

    /// The supervisor that has made way for this one.
    fn predecessor(&self) -> Option<&Predecessor> {
        self.lifeline.as_ref()?.predecessor.as_ref()
    }

    /// The version whose place this one has taken.
    pub(super) fn follows(&self) -> Option<String> {
        Some(self.predecessor()?.version.clone())
    }

    /// The children of this process, and those that its guard has: instances of the supervisor before this
    /// one, and what they have left behind.
    pub(super) fn children(&self) -> Vec<Pid> {
        let mut children = tree::children();
        let own = rustix::process::getpid();
        for parent in self.survivors.parents() {
            // One that has ended has none.
            let more = tree::children_of(parent).unwrap_or_default();
            let is_worker = |pid: &Pid| *pid != own && !self.survivors.earlier.contains(pid);
            children.extend(more.into_iter().filter(is_worker));
        }
        children
    }
}

impl Supervisor {
    /// Notes how things are, if that has changed.
    pub(super) fn note(&mut self) {
        let triggers = self.renewal.is_waiting();
        self.takeover
            .note(&self.instances, triggers, self.dispatch.door);
    }

    /// Goes on with the processes of the supervisor before this one.
    pub(super) fn survive(&mut self, notes: Notes, left: &mut LeftOpen) {
        if !self.takeover.survive(notes.earlier, notes.begun) {
            return;
        }
        for note in notes.instances {
            self.take_instance_over(note, left);
        }
        self.takeover.unnoted = true;
    }

    fn take_instance_over(&mut self, note: InstanceNote, left: &mut LeftOpen) {
        let (now, instance) = (self.now(), note.kept.instance);
        let app = self.app.clone();
        let mut current = None;
        let mut leaving = Vec::new();
        for process in note.processes {
            let age = Duration::from_millis(now_ms().saturating_sub(process.started_at));
            let run = Run::survived(process.run, now.saturating_sub(age), process.up);
            self.takeover.survivors.note_missing(&process);
            if note.current == Some(process.run) {
                current = Some(run);
            } else {
                leaving.push(run);
            }
            self.take_process_over((instance, note.kept.id), process, run, &app, left);
        }
        let cause = match note.kept.rest {
            Rest::Runs if current.is_some() => Cause::Replaced,
            Rest::Runs => Cause::Restarted,
            Rest::Stopped | Rest::Errored => Cause::Stopped,
        };
        let runs = leaving.iter().map(|run| (instance, run.id, cause));
        self.takeover.survivors.leaving.extend(runs);
        if current.is_some() {
            self.instances.wanted.retain(|wanted| *wanted != instance);
        }
        if let Some(slot) = self.instances.slot(instance) {
            slot.removed = note.removed;
            slot.survive(note.last, current, &leaving, cause, now);
        }
    }

    fn take_process_over(
        &mut self,
        (instance, id): (Instance, InstanceId),
        note: ProcessNote,
        run: Run,
        app: &Rc<App>,
        left: &mut LeftOpen,
    ) {
        let mut take = |number: Option<i32>| left.take(number?);
        let stdin = take(note.stdin);
        let channel = take(note.channel);
        let output = note
            .output
            .map(|(out, err)| (take(Some(out)), take(Some(err))));
        let ready = Ready {
            instance,
            run: note.run,
        };
        let shares = self.dispatch.shares();
        let group = match note.group {
            true => {
                let group = self.spawner.group(app, instance, note.run);
                group.ok().flatten()
            }
            false => None,
        };
        let process = Process {
            pid: note.pid,
            started_at: note.started_at,
            stdin,
            channel: channel.and_then(|end| Channel::adopt(end, ready, self.spawner.ready()).ok()),
            group,
            output: note.output,
            loaded: true,
            load_check: None,
            silence: None,
            boot: None,
            ..Process::new(note.run, run.since, app, shares)
        };
        if let Some((Some(out), Some(err))) = output {
            let begun =
                [&out, &err].map(|pipe| self.takeover.survivors.take_begun(pipe.as_raw_fd()));
            self.capture((instance, id), (out, err), begun, app);
        }
        if let Some(slot) = self.instances.slot(instance) {
            slot.processes.push(process);
        }
    }

    /// Goes on with what the supervisor before this one was about: what was to end does, and what has ended
    /// is heard of.
    pub(super) fn settle_survivors(&mut self) {
        let processes = self.instances.iter().map(|slot| slot.processes.len()).sum();
        match self.takeover.follows() {
            Some(from) => {
                let to = env!("CARGO_PKG_VERSION").to_owned();
                self.event(Event::Updated { from, to });
            }
            None if processes > 0 => self.event(Event::TookOver { processes }),
            None => {}
        }
        for (instance, run, cause) in std::mem::take(&mut self.takeover.survivors.leaving) {
            self.drain(instance, run, cause);
        }
        for ended in std::mem::take(&mut self.takeover.survivors.ended) {
            self.ended(ended);
        }
    }

    /// A process that was started by the supervisor before this one has ended, or what such a one has left
    /// behind.
    pub(super) fn ended(&mut self, ended: Ended) {
        for group in self.takeover.ended(ended.pid) {
            self.drained(group);
        }
        if let Some(pid) = Pid::from_raw(ended.pid) {
            self.count_cpu(ended.pid, Some(ended.cpu));
            self.is_gone(pid, ended.exit);
            self.ask_orphans();
        }
    }

    /// The workers of a process group have nothing to do any more, as far as this supervisor's dispatcher knows.
    pub(super) fn is_drained(&mut self, group: i32) {
        if !self.takeover.holds_back(group) {
            self.drained(group);
        }
    }
}

impl Survivors {
    /// One that had been reaped already, and was still noted.
    fn note_missing(&mut self, process: &ProcessNote) {
        let pid = Pid::from_raw(process.pid);
        let parent = pid.and_then(tree::parent);
        let is_there = parent.is_some_and(|parent| self.parents().any(|it| it == parent));
        let is_known = self.ended.iter().any(|it| it.pid == process.pid);
        if !is_there && !is_known {
            self.ended.push(Ended {
                pid: process.pid,
                exit: Exit::Signal(rustix::process::Signal::KILL.as_raw()),
                cpu: Duration::ZERO,
            });
        }
    }

    /// Who may be the parent of a process that another supervisor has started.
    fn parents(&self) -> impl Iterator<Item = Pid> {
        self.guard.into_iter().chain(self.earlier.iter().copied())
    }

    fn take_begun(&mut self, pipe: i32) -> Vec<u8> {
        let mut begun = self.begun.iter_mut();
        let found = begun.find(|(number, _)| *number == pipe);
        found.map_or_else(Vec::new, |(_, line)| std::mem::take(line))
    }
}

fn number(pid: &Pid) -> i32 {
    pid.as_raw_nonzero().get()
}
