//! The app's instances: their slots, and what can be said of them and done to them without the rest of the
//! supervisor.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process};

use super::health::Health;
use super::instance::{Rest, RunId, SETTLED, State};
use super::notices::has_mapped;
use super::slot::{Process, Slot};
use super::spawn::Spawner;
use balance::MemberId;
use config::App;
use home::{Exit, Kept};
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};

/// All instances of the app, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Instances {
    pub(super) slots: Vec<Slot>,
    /// Which of them are to be started at the beginning.
    pub(super) wanted: Vec<Instance>,
}

impl Instances {
    /// Those that were kept, of which nothing runs yet.
    pub(super) fn new(kept: &[Kept], app: &Rc<App>) -> Self {
        let kept = kept.iter();
        let slots = kept.clone().map(|kept| Slot::new(kept, app.clone()));
        let wanted = kept.filter(|kept| kept.rest == home::Rest::Runs && !kept.waits);
        Self {
            slots: slots.collect(),
            wanted: wanted.map(|kept| kept.instance).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(super) fn get(&self, instance: Instance) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.instance == instance)
    }

    pub(super) fn slot(&mut self, instance: Instance) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.instance == instance)
    }

    /// The process of a run of an instance.
    pub(super) fn process(&mut self, instance: Instance, run: RunId) -> Option<&mut Process> {
        self.slot(instance)?.process(run)
    }

    pub(super) fn numbers(&self) -> Vec<Instance> {
        self.slots.iter().map(|slot| slot.instance).collect()
    }

    /// The processes of all instances.
    pub(super) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.slots.iter_mut().flat_map(|slot| &mut slot.processes)
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.slots.iter().flat_map(Slot::pids)
    }

    /// Whose own process this is.
    pub(super) fn run_with(&self, pid: i32) -> Option<(Instance, RunId)> {
        self.slots.iter().find_map(|slot| {
            let process = slot.processes.iter().find(|process| process.pid == pid)?;
            Some((slot.instance, process.run))
        })
    }

    /// The instances that are meant; those that are about to go never are.
    pub(super) fn meant(
        &mut self,
        ids: &Option<Vec<InstanceId>>,
    ) -> impl Iterator<Item = &mut Slot> {
        let ids = ids.clone();
        self.slots.iter_mut().filter(move |slot| {
            !slot.removed && ids.as_ref().is_none_or(|ids| ids.contains(&slot.id))
        })
    }

    pub(super) fn meant_numbers(&mut self, ids: &Option<Vec<InstanceId>>) -> Vec<Instance> {
        self.meant(ids).map(|slot| slot.instance).collect()
    }

    /// What is kept of the instances, but for those that are about to go; of all of them if `all_go`.
    pub(super) fn kept(&self, triggers: bool, all_go: bool) -> Vec<Kept> {
        let stay = self.slots.iter().filter(|slot| all_go || !slot.removed);
        stay.map(|slot| slot.kept(triggers)).collect()
    }

    /// Adds instances that are to be started.
    pub(super) fn add(&mut self, added: &[(Instance, &InstanceId)], app: &Rc<App>) {
        for (instance, id) in added {
            let kept = Kept::new(**id, *instance, home::Rest::Runs);
            let mut slot = Slot::new(&kept, app.clone());
            let others = self.slots.first();
            slot.not_preloaded = others.and_then(|slot| slot.not_preloaded.clone());
            self.slots.push(slot);
        }
        self.slots.sort_by_key(|slot| slot.instance);
    }

    /// Whether instances start or are about to.
    pub(super) fn are_awaited(&self) -> bool {
        self.slots.iter().any(|slot| slot.lifecycle.is_awaited())
    }

    pub(super) fn are_at_rest(&self) -> bool {
        self.slots.iter().all(|slot| slot.lifecycle.is_at_rest())
    }

    pub(super) fn are_stopped(&self) -> bool {
        self.slots.iter().all(is_stopped)
    }

    /// Whether one of them drains.
    pub(super) fn any_drains(&self) -> bool {
        self.slots.iter().any(|slot| slot.lifecycle.is_draining())
    }

    /// Whether one of them is ready.
    pub(super) fn any_ready(&self) -> bool {
        self.slots.iter().any(Slot::is_ready)
    }

    /// Whether none is about to be replaced by another process.
    pub(super) fn are_calm(&self) -> bool {
        self.slots.iter().all(|slot| {
            let [current, newest] = [slot.lifecycle.current(), slot.lifecycle.newest()];
            current.map(|run| run.id) == newest.map(|run| run.id)
        })
    }

    /// The highest exit code.
    pub(super) fn highest_code(&self) -> u8 {
        self.slots.iter().map(code).max().unwrap_or(0)
    }

    /// What those ended with that have come to rest of themselves: how one ends that was asked to says nothing
    /// about the app.
    pub(super) fn own_code(&self) -> u8 {
        let errored = self.slots.iter().any(|slot| {
            let state = slot.lifecycle.state();
            matches!(state, State::Resting(Rest::Errored))
        });
        if errored {
            return 1;
        }
        let of_themselves = self.slots.iter().filter(|slot| !is_stopped(slot));
        of_themselves.map(code).max().unwrap_or(0)
    }

    /// Sends a signal to every instance's process.
    pub(super) fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            let _ = kill_process(pid, signal);
        }
    }

    /// The library has loaded into a process.
    pub(super) fn has_loaded(&mut self, pid: i32) {
        for slot in &mut self.slots {
            for process in slot.processes.iter_mut().filter(|it| it.pid == pid) {
                process.loaded = true;
                process.load_check = None;
                // Where processors are scarce this may come after all.
                slot.not_preloaded = None;
            }
        }
    }

    /// Looks at those of whose library should have been heard; what there is to tell of them.
    pub(super) fn look_at_libraries(&mut self, library: &Path, now: Duration) -> Vec<Event> {
        let due = |at: &mut Option<Duration>| at.take_if(|at| *at <= now).is_some();
        let mut events = Vec::new();
        for slot in &mut self.slots {
            for process in &mut slot.processes {
                let (instance, pid) = (slot.instance, process.pid);
                if due(&mut process.load_check) && !process.loaded && !has_mapped(pid, library) {
                    let reason = "the library did not load".to_owned();
                    slot.not_preloaded = Some(reason.clone());
                    events.push(Event::NotPreloaded {
                        instance,
                        pid,
                        reason,
                    });
                    process.silence = None;
                }
            }
        }
        events
    }

    /// Whether it is time to look at one that has not listened yet.
    pub(super) fn silence_is_due(&self, now: Duration) -> bool {
        let mut processes = self.slots.iter().flat_map(|slot| &slot.processes);
        processes.any(|process| process.silence.as_ref().is_some_and(|it| it.at <= now))
    }

    /// Looks at those that start, and have not been heard of; which of them are up. `answers` if the dispatcher
    /// answers a worker just now.
    pub(super) fn look_at_starts(
        &mut self,
        answers: bool,
        now: Duration,
    ) -> Vec<(Instance, RunId)> {
        let mut up = Vec::new();
        for slot in &mut self.slots {
            // A successor of one that listens is not up before it does so too.
            let current = slot.lifecycle.current();
            let may_be_up = |meant| current.is_some_and(|run| run.id == meant || !run.listens);
            for process in &mut slot.processes {
                let pid = process.pid;
                let due = process.boot.as_mut().filter(|boot| boot.check <= now);
                let over = due.is_some_and(|boot| boot.is_over(pid, answers, now));
                if over || now > process.started + SETTLED {
                    process.boot = None;
                }
                if over && may_be_up(process.run) {
                    up.push((slot.instance, process.run));
                }
            }
        }
        up
    }

    /// A worker is blocked no more: its instance and process, and since when it was, if no other one of that
    /// process is.
    pub(super) fn unblocked(&mut self, member: MemberId) -> Option<(Instance, (i32, Duration))> {
        self.slots.iter_mut().find_map(|slot| {
            let mut processes = slot.processes.iter_mut();
            let ended = processes.find_map(|process| process.blocked.end(member));
            Some((slot.instance, ended?))
        })
    }

    /// To which process of an instance another one belongs.
    pub(super) fn run_of(&self, instance: Instance, pid: i32, spawner: &Spawner) -> Option<RunId> {
        let slot = self.get(instance)?;
        let group = Pid::from_raw(pid).and_then(|pid| getpgid(Some(pid)).ok());
        let group = group.map(|group| group.as_raw_nonzero().get());
        let mut processes = slot.processes.iter();
        let leader = processes.find(|process| process.pid == pid || Some(process.pid) == group);
        if let Some(leader) = leader {
            return Some(leader.run);
        }
        if let [only] = &slot.processes[..] {
            return Some(only.run);
        }
        // It has left its group: its environment tells.
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let marked = |run: &RunId| {
            let mark = spawner.entry(instance, *run);
            environ
                .split(|byte| *byte == 0)
                .any(|it| it == mark.as_bytes())
        };
        let mut runs = slot.processes.iter().map(|process| process.run);
        runs.find(marked)
    }

    /// The next moment at which one of them is to be looked at.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let times = self.slots.iter().flat_map(|slot| {
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
        times.flatten().min()
    }
}

fn code(slot: &Slot) -> u8 {
    slot.exit.map_or(0, Exit::exit_code)
}

fn is_stopped(slot: &Slot) -> bool {
    let state = slot.lifecycle.state();
    matches!(state, State::Resting(Rest::Stopped))
}
