//! How instances outlive their supervisor: it notes their processes as they come and go, and the next one,
//! which has the same guard and the same table of descriptors, goes on with them.
//!
//! Whose process it was when the supervisor was killed is its process still. A successor that was not up
//! yet, and whatever was on its way out, drain and end. What has ended meanwhile the guard has heard of.

use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid, test_kill_process};
use serde::{Deserialize, Serialize};
use sys::LeftOpen;

use super::Supervisor;
use super::ended::Ended;
use super::instance::{Cause, Run, RunId};
use super::slot::{Process, Slot};
use super::spawn::Ready;
use super::succession::Predecessor;
use config::App;
use home::{Exit, Kept, Rest, now_ms};
use process::node_ipc::Channel;
use process::tree;
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};

/// What is noted of an app's instances.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Notes {
    /// The socket at which workers ask.
    pub(super) door: Option<i32>,
    instances: Vec<InstanceNote>,
    /// By the pipe's descriptor the beginning of a line that was read already.
    #[serde(default)]
    begun: Vec<(i32, Vec<u8>)>,
    /// Supervisors that have made way, and finish what they have in progress.
    #[serde(default)]
    earlier: Vec<i32>,
}

#[derive(Debug, Deserialize, Serialize)]
struct InstanceNote {
    kept: Kept,
    /// It goes when it is at rest.
    removed: bool,
    last: RunId,
    /// The process that serves, or starts without one before it.
    current: Option<RunId>,
    processes: Vec<ProcessNote>,
}

#[derive(Debug, Deserialize, Serialize)]
struct ProcessNote {
    #[serde(rename = "generation")]
    run: RunId,
    pid: i32,
    started_at: u64,
    up: bool,
    stdin: Option<i32>,
    output: Option<(i32, i32)>,
    channel: Option<i32>,
    group: bool,
}

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

impl Notes {
    /// Those instances as they are kept.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let instances = self.instances.iter();
        instances.map(|instance| instance.kept.clone()).collect()
    }

    /// When the first of their processes was started, in milliseconds since 1970.
    pub(super) fn since(&self) -> Option<u64> {
        let processes = self.instances.iter().flat_map(|it| &it.processes);
        processes.map(|process| process.started_at).min()
    }
}

/// The moment that lies so far back as the first of them was started.
pub(super) fn beginning(notes: &Notes) -> Instant {
    let now = Instant::now();
    let age = notes.since().map_or(0, |at| now_ms().saturating_sub(at));
    now.checked_sub(Duration::from_millis(age)).unwrap_or(now)
}

impl Supervisor {
    /// Notes how things are, if that has changed.
    pub(super) fn note(&mut self) {
        if !std::mem::take(&mut self.unnoted) {
            return;
        }
        let triggers = self.renewal.is_waiting();
        let instances = self
            .instances
            .slots
            .iter()
            .filter(|slot| !slot.removed || !slot.lifecycle.is_at_rest());
        let notes = Notes {
            door: self.dispatch.door,
            instances: instances.map(|slot| note_of(slot, triggers)).collect(),
            begun: std::mem::take(&mut self.begun),
            earlier: self.survivors.earlier.iter().map(number).collect(),
        };
        if let Some(lifeline) = &mut self.lifeline {
            let text = serde_json::to_vec(&notes).unwrap_or_default();
            // Without memory for them, the notes before count.
            let _ = lifeline.notes.write(&text);
        }
    }

    /// Goes on with the processes of the supervisor before this one.
    pub(super) fn survive(&mut self, notes: Notes, left: &mut LeftOpen) {
        let Some(lifeline) = &mut self.lifeline else {
            return;
        };
        self.survivors.ended = lifeline.ended_until_now();
        let predecessor = lifeline.predecessor.as_ref().map(|it| it.pid);
        let earlier = notes.earlier.into_iter().filter_map(Pid::from_raw);
        self.survivors.guard = getppid();
        self.survivors.earlier = earlier.chain(predecessor).collect();
        self.survivors.begun = notes.begun;
        for note in notes.instances {
            self.take_instance_over(note, left);
        }
        self.unnoted = true;
    }

    fn take_instance_over(&mut self, note: InstanceNote, left: &mut LeftOpen) {
        let (now, instance) = (self.now(), note.kept.instance);
        let app = self.app.clone();
        let mut current = None;
        let mut leaving = Vec::new();
        for process in note.processes {
            let age = Duration::from_millis(now_ms().saturating_sub(process.started_at));
            let run = Run::survived(process.run, now.saturating_sub(age), process.up);
            self.note_missing(&process);
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
        self.survivors.leaving.extend(runs);
        if current.is_some() {
            self.instances.wanted.retain(|wanted| *wanted != instance);
        }
        if let Some(slot) = self.instances.slot(instance) {
            slot.removed = note.removed;
            slot.survive(note.last, current, &leaving, cause, now);
        }
    }

    /// One that had been reaped already, and was still noted.
    fn note_missing(&mut self, process: &ProcessNote) {
        let pid = Pid::from_raw(process.pid);
        let parent = pid.and_then(tree::parent);
        let is_there = parent.is_some_and(|parent| self.survivors.parents().any(|it| it == parent));
        let is_known = self.survivors.ended.iter().any(|it| it.pid == process.pid);
        if !is_there && !is_known {
            self.survivors.ended.push(Ended {
                pid: process.pid,
                exit: Exit::Signal(rustix::process::Signal::KILL.as_raw()),
                cpu: Duration::ZERO,
            });
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
            let begun = [&out, &err].map(|pipe| self.survivors.take_begun(pipe.as_raw_fd()));
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
        match self.follows() {
            Some(from) => {
                let to = env!("CARGO_PKG_VERSION").to_owned();
                self.event(Event::Updated { from, to });
            }
            None if processes > 0 => self.event(Event::TookOver { processes }),
            None => {}
        }
        for (instance, run, cause) in std::mem::take(&mut self.survivors.leaving) {
            self.drain(instance, run, cause);
        }
        for ended in std::mem::take(&mut self.survivors.ended) {
            self.ended(ended);
        }
    }

    /// A process that was started by the supervisor before this one has ended, or what such a one has left
    /// behind.
    pub(super) fn ended(&mut self, ended: Ended) {
        self.survivors.earlier.retain(|it| number(it) != ended.pid);
        self.unnoted = true;
        if self.survivors.earlier.is_empty() {
            for group in std::mem::take(&mut self.survivors.drained) {
                self.drained(group);
            }
        }
        if let Some(pid) = Pid::from_raw(ended.pid) {
            self.count_cpu(ended.pid, Some(ended.cpu));
            self.is_gone(pid, ended.exit);
            self.ask_orphans();
        }
    }

    /// The workers of a process group have nothing to do any more, as far as this supervisor's dispatcher knows. What
    /// earlier ones have in progress it hears of only after it has begun, and a worker that drains already would
    /// end before that.
    pub(super) fn is_drained(&mut self, group: i32) {
        // They end within `drain_timeout`, and then it is heard of.
        let earlier = &self.survivors.earlier;
        if earlier.iter().any(|it| test_kill_process(*it).is_ok()) {
            self.survivors.drained.push(group);
        } else {
            self.drained(group);
        }
    }

    /// The supervisor that has made way for this one.
    pub(super) fn predecessor(&self) -> Option<&Predecessor> {
        self.lifeline.as_ref()?.predecessor.as_ref()
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

impl Survivors {
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

fn note_of(slot: &Slot, triggers: bool) -> InstanceNote {
    let current = slot.lifecycle.current();
    let is_up = |meant| {
        let runs = [current, slot.lifecycle.newest()];
        let mut runs = runs.into_iter().flatten();
        runs.any(|run| run.id == meant && run.up)
    };
    let processes = slot.processes.iter().map(|process| ProcessNote {
        run: process.run,
        pid: process.pid,
        started_at: process.started_at,
        up: is_up(process.run),
        stdin: process.stdin.as_ref().map(AsRawFd::as_raw_fd),
        output: process.output,
        channel: process.channel.as_ref().map(AsRawFd::as_raw_fd),
        group: process.group.is_some(),
    });
    InstanceNote {
        kept: slot.kept(triggers),
        removed: slot.removed,
        last: slot.lifecycle.last(),
        current: current.map(|run| run.id),
        processes: processes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next supervisor may be of another version.
    #[test]
    fn what_is_noted_of_an_instance_names_its_runs() {
        let text = r#"{"kept":{"id":12,"number":3,"rest":"runs","restarts":0,"unstable":0,"exit":null},"removed":false,"last":8,"current":7,"processes":[{"generation":7,"pid":99,"started_at":5,"up":true,"stdin":null,"output":[4,6],"channel":null,"group":false}]}"#;
        let note: InstanceNote = serde_json::from_str(text).unwrap();
        assert_eq!(note.kept.instance, Instance(3));
        assert_eq!(note.processes[0].run, RunId(7));
        assert_eq!(serde_json::to_string(&note).unwrap(), text);
    }
}
