//! What the state machines ask for, done to real processes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Supervisor;
use super::instance::{self, Cause, Effect, Outcome, RunId};
use super::listeners::RunOf;
use super::slot::{Process, Slot};
use crate::output::Worker;
use config::{App, KillSignal};
use dispatcher::Drain;
use home::{self, Exit, LastRun, now_ms};
use process::cgroup::Group;
use process::tree;
use telemetry::events::{Event, Next};
use telemetry::ids::{Instance, InstanceId};

impl Supervisor {
    /// Lets an instance hear of something, and does what it wants done.
    pub(super) fn step(&mut self, instance: Instance, event: instance::Event) {
        let now = self.now();
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let effects = slot.step(event, now);
        // Time alone changes little that is noted.
        self.takeover.unnoted |= event != instance::Event::Time || !effects.is_empty();
        if effects.iter().any(|it| matches!(it, Effect::Drain(..))) {
            // First: what serves by the notes must not be what the dispatcher gives nothing more.
            self.note();
        }
        for effect in effects {
            match effect {
                Effect::Spawn(run) => self.start(instance, run),
                Effect::Drain(run, cause) => self.drain(instance, run, cause),
                Effect::Waits(run, cause, most) => {
                    self.tell_of_waiting(instance, run, cause, most);
                }
                Effect::Ask(run) => self.ask(instance, run),
                Effect::Kill(run) => self.kill(instance, run),
                Effect::Tell {
                    run,
                    status,
                    uptime,
                    next,
                } => self.tell(instance, run, status, uptime, next),
                Effect::Settled(outcome) => self.settled(instance, outcome),
            }
        }
        self.remove_if_done(instance);
    }

    fn start(&mut self, instance: Instance, run: RunId) {
        // The dispatcher hears it before the process runs: after a stop, it would close the new listener
        // at once.
        self.tell_what_is_awaited();
        let now = self.now();
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let app = slot.tried.as_ref().unwrap_or(&slot.app).clone();
        slot.not_started = None;
        self.look_at_program(instance, &app);
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let env = self.folders.environment(&app, instance, slot.id);
        match self.spawner.spawn(&app, &env, instance, run) {
            Ok(spawned) => {
                let shares = self.dispatch.shares();
                let output = spawned.output.as_ref();
                slot.processes.push(Process {
                    pid: spawned.pid,
                    stdin: spawned.stdin,
                    channel: spawned.channel,
                    group: spawned.group,
                    loaded: !shares || slot.not_preloaded.is_some(),
                    output: output.map(|(out, err)| (out.as_raw_fd(), err.as_raw_fd())),
                    ..Process::new(run, now, &app, shares)
                });
                if let Some(dispatcher) = self
                    .dispatch
                    .dispatcher
                    .as_ref()
                    .filter(|_| app.health.is_some())
                {
                    // Nobody knows whether it is well before its first check has passed.
                    dispatcher.set_well(spawned.pid, false);
                }
                let id = slot.id;
                if let Some(pipes) = spawned.output {
                    self.capture((instance, id), pipes, Default::default(), &app);
                }
                if let Err(failing) = self.folders.write_pid_file(&app, id, spawned.pid) {
                    self.event(failing);
                }
                // Now: an instance of which nothing is noted is nobody's when the supervisor is killed.
                self.takeover.unnoted = true;
                self.note();
                self.event(Event::Started {
                    instance,
                    pid: spawned.pid,
                });
            }
            Err(error) => {
                let lack = super::descriptors::lack_of_room(&error);
                let reason = lack.map_or_else(
                    || super::spawn::reason(&app, &error),
                    |lack| format!("{lack} ({error})"),
                );
                slot.not_started = Some(reason.clone());
                self.event(Event::StartFailed { instance, reason });
                // What a shell answers to a program that it cannot execute.
                let status = Exit::Code(126);
                let event = match lack {
                    Some(_) => instance::Event::NoRoom { run, status },
                    None => instance::Event::Exited { run, status },
                };
                self.step(instance, event);
            }
        }
    }

    /// Shows or keeps what an instance writes to these pipes, for its output and errors.
    pub(super) fn capture(
        &mut self,
        (instance, id): (Instance, InstanceId),
        (out, err): (OwnedFd, OwnedFd),
        begun: [Vec<u8>; 2],
        app: &Rc<App>,
    ) {
        let files = self.folders.log_files(app, id);
        self.reports.output.capture(Worker {
            instance,
            id,
            out,
            err,
            files,
            app: app.clone(),
            begun,
        });
    }

    /// A process is to end: it gets no more connections, and does what it has begun.
    pub(super) fn drain(&mut self, instance: Instance, run: RunId, cause: Cause) {
        let for_good = self.nobody_follows();
        let process = self.instances.slot(instance).and_then(|slot| {
            slot.remember_listeners(run);
            slot.process(run)
        });
        let Some(process) = process else {
            return;
        };
        process.load_check = None;
        process.silence = None;
        process.boot = None;
        let group = process.pid;
        if let Some(dispatcher) = &self.dispatch.dispatcher {
            dispatcher.drain(Drain {
                group,
                for_good,
                opaque: cause.waits_for_opaque(),
            });
        }
    }

    /// Whether the app stops: no process of it runs that stays, and none is to come.
    fn nobody_follows(&self) -> bool {
        let stays = |slot: &Slot| slot.lifecycle.goes_on() && !slot.removed;
        let mut slots = self.instances.iter();
        self.shutdown.has_begun()
            || !slots.any(|slot| stays(slot) && !self.operations.are_stopping(slot.instance))
    }

    /// A process takes its time to end.
    fn tell_of_waiting(&mut self, instance: Instance, run: RunId, cause: Cause, most: u64) {
        let process = self.instances.process(instance, run);
        if let Some(pid) = process.map(|process| process.pid) {
            self.event(Event::Draining {
                instance,
                pid,
                most,
                opaque: cause.waits_for_opaque(),
            });
        }
    }

    /// Asks a process to end.
    fn ask(&mut self, instance: Instance, run: RunId) {
        let signal = self.shutdown.signal();
        let pass_through = self.app.pass_through;
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let whole_tree = slot.app.treekill;
        let by_message = slot.app.shutdown_with_message;
        let KillSignal(usual) = slot.app.kill_signal;
        let Some(process) = slot.process(run) else {
            return;
        };
        let Some(pid) = Pid::from_raw(process.pid) else {
            return;
        };
        let channel = process.channel.as_ref().filter(|_| by_message);
        // One that has closed its channel hears a signal.
        let told = channel.is_some_and(|channel| channel.shut_down().is_ok());
        // Whoever is gone already has been stopped.
        let _ = match signal {
            _ if told => Ok(()),
            // The terminal has sent it to the worker too.
            Some(arrived) if pass_through && arrived.by_kernel => Ok(()),
            Some(arrived) if pass_through => kill_process(pid, arrived.signal),
            _ if whole_tree => kill_process_group(pid, usual),
            _ => kill_process(pid, usual),
        };
    }

    fn kill(&mut self, instance: Instance, run: RunId) {
        let in_group = !self.app.pass_through;
        let process = self.instances.process(instance, run);
        if let Some(pid) = process.and_then(|process| Pid::from_raw(process.pid)) {
            let _ = if in_group {
                kill_process_group(pid, Signal::KILL)
            } else {
                kill_process(pid, Signal::KILL)
            };
        }
    }

    fn tell(&mut self, instance: Instance, run: RunId, status: Exit, uptime: u64, next: Next) {
        let Some(slot) = self.instances.slot(instance) else {
            return;
        };
        let mut all = slot.processes.iter();
        let ended = all.position(|process| process.run == run);
        let ended = ended.map(|index| slot.processes.remove(index));
        if let Some(ended) = &ended {
            self.count_blocked(instance, ended);
        }
        let pid = ended.as_ref().map_or(0, |process| process.pid);
        let started = ended.as_ref().map(|process| process.started_at);
        let (group, ended) = match ended {
            Some(process) => (process.group, Some(process.app)),
            None => (None, None),
        };
        let killed = matches!(status, Exit::Signal(_));
        let killed = group.as_ref().filter(|group| killed && group.was_killed());
        let out_of_memory = killed.map(Group::bound);
        if next != Next::Kept
            && let Some(slot) = self.instances.slot(instance)
        {
            slot.exit = Some(status);
            let ended = now_ms();
            slot.last_run = started.map(|started| LastRun { started, ended });
            slot.out_of_memory = out_of_memory;
        }
        self.strays.leave(group);
        if let Some(app) = ended
            && let Some(slot) = self.instances.get(instance)
            && let Err(failing) = self.folders.remove_pid_file(&app, slot)
        {
            self.event(failing);
        }
        let at_rest = matches!(next, Next::Errored { .. } | Next::Ended);
        if at_rest || matches!(next, Next::Restart { .. }) {
            let uptime = Duration::from_millis(uptime);
            self.operations
                .ends_by_itself(instance, status, uptime, &self.app);
        }
        let (code, signal) = match status {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal)),
        };
        self.event(Event::Exited {
            instance,
            pid,
            code,
            signal,
            out_of_memory,
            uptime,
            next,
        });
        if at_rest && !self.shutdown.has_begun() {
            self.write_record();
        }
        self.dispatch.listeners.forget(RunOf { instance, run });
        self.close_unclaimed();
    }

    fn settled(&mut self, instance: Instance, outcome: Outcome) {
        if outcome != Outcome::Superseded
            && let Some(slot) = self.instances.slot(instance)
        {
            slot.outcome = Some(outcome);
            slot.end_try(matches!(outcome, Outcome::Up { .. }));
        }
        self.operations_hear(instance, outcome);
    }

    /// A child has ended.
    pub(super) fn exited(&mut self, pid: Pid, status: Exit) {
        let raw = pid.as_raw_nonzero().get();
        let Some((instance, run)) = self.instances.run_with(raw) else {
            return;
        };
        let whole_tree = self.instances.slot(instance).is_some_and(|slot| {
            slot.remember_listeners(run);
            slot.app.treekill
        });
        if whole_tree && !self.app.pass_through {
            // What an instance leaves behind in its group must not serve on beside its
            // successor.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if whole_tree {
            self.ask_what_is_left_of(instance, run);
        }
        self.step(instance, instance::Event::Exited { run, status });
    }

    /// A process has ended, of its own or because it was told to: so shall what it has detached
    /// from its group.
    pub(super) fn ask_what_is_left_of(&mut self, instance: Instance, run: RunId) {
        let mark = self.spawner.entry(instance, run);
        let kill_at = self.now() + self.app.kill_timeout;
        for pid in self.strangers() {
            let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
            let environ = std::fs::read(path).unwrap_or_default();
            if environ
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
            {
                self.strays.ask(pid, kill_at, Some((instance, run)));
            }
        }
    }

    /// While the app ends: what a worker has detached from its group did not hear of it. As long as a
    /// worker serves, it may need that.
    pub(super) fn ask_orphans(&mut self) {
        let serves = self.instances.any_drains();
        if self.shutdown.has_begun() && !serves {
            let kill_at = self.now() + self.app.kill_timeout;
            for pid in self.strangers() {
                self.strays.ask(pid, kill_at, None);
            }
        }
    }

    /// Our children that are no instance's own process.
    fn strangers(&self) -> Vec<Pid> {
        let own: Vec<_> = self.instances.pids().collect();
        let mut children = self.takeover.children();
        children.retain(|child| !own.contains(child));
        children
    }

    /// Time is up: everything of the app is killed.
    pub(super) fn kill_everything(&mut self) {
        let running: Vec<_> = self.instances.pids().collect();
        for pid in &running {
            let _ = kill_process(*pid, Signal::KILL);
        }
        for pid in self.takeover.children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        tree::kill_all();
        self.strays.forget();
        for pid in running {
            self.exited(pid, Exit::Signal(Signal::KILL.as_raw()));
        }
    }
}
