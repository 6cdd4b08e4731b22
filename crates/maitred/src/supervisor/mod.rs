//! The supervisor of one app: it starts its instances, restarts them, and ends them.
//!
//! One thread with one loop; what is decided about an instance is decided in [`instance`], this
//! file acts on it. Workers are started from this thread, for they end with it.

mod instance;
mod spawn;

use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getppid, kill_process, kill_process_group, wait,
};
use sys::Signalled;
use tokio::sync::mpsc;

use crate::config::{self, App};
use crate::dispatcher::{self, Dispatcher, Notice};
use crate::events::Event;
use crate::output::Output;
use crate::process_tree;
use crate::runtime_folder::RuntimeFolder;
use instance::{Instance, State, Status};
use spawn::Spawner;

/// In so much time the preload library reports in; if not, it is not there.
const LOAD_TIME: Duration = Duration::from_secs(2);

/// What the kernel sends us when the guard has ended: a signal that harms nobody.
const GUARD_ENDED: Signal = Signal::CONT;

/// A worker that listens nowhere after so much time is told of.
const SILENCE: Duration = Duration::from_secs(10);

/// A terminal sends its signals to all of us, and the guard may pass one on that was sent to all:
/// only one that comes later than this is a second one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// How many notices of the dispatcher may wait to be heard.
const NOTICES: usize = 1024;

/// One instance, and what is known of its process.
#[derive(Debug)]
struct Slot {
    instance: Instance,
    /// The library has reported in from it.
    loaded: bool,
    /// It, or a child of it, listens.
    listens: bool,
    /// When to look whether the library has reported in, and whether it listens.
    load_check: Option<Duration>,
    silence_check: Option<Duration>,
}

/// The app is being stopped.
#[derive(Debug)]
struct Stopping {
    since: Duration,
    kill_at: Duration,
    /// Orphans of the workers that have been asked to end.
    asked: Vec<Pid>,
}

/// Runs one app.
#[derive(Debug)]
pub(crate) struct Supervisor {
    app: App,
    spawner: Spawner,
    output: Output,
    dispatcher: Dispatcher,
    notices: mpsc::Receiver<Notice>,
    slots: Vec<Slot>,
    stopping: Option<Stopping>,
    started: Instant,
}

impl Supervisor {
    /// Opens the door, and makes everything ready to run.
    ///
    /// # Errors
    /// If the system refuses sockets or threads.
    pub(crate) fn new(app: App, folder: &RuntimeFolder, output: Output) -> anyhow::Result<Self> {
        let (notices_in, notices) = mpsc::channel(NOTICES);
        let spawner = Spawner::new(folder);
        let dispatcher = Dispatcher::start(
            dispatcher::Settings {
                balance: app.balance.into(),
                private_ports: app.private_ports.clone(),
                door: folder.open_door().context("opening the door")?,
                folder: folder.path().to_owned(),
            },
            notices_in,
        )
        .context("starting the dispatcher")?;
        let slots = (0..app.instances)
            .map(|_| Slot {
                instance: Instance::new(app.restart.clone(), Duration::ZERO),
                loaded: false,
                listens: false,
                load_check: None,
                silence_check: None,
            })
            .collect();
        Ok(Self {
            app,
            spawner,
            output,
            dispatcher,
            notices,
            slots,
            stopping: None,
            started: Instant::now(),
        })
    }

    /// Runs the app to its end; the exit code.
    ///
    /// # Errors
    /// If the system refuses what is needed to begin with.
    pub(crate) fn run(mut self) -> anyhow::Result<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("starting the supervisor's loop")?;
        runtime.block_on(async {
            let code = self.supervise().await?;
            self.output.event(&Event::Stopped { code });
            self.output.finish().await;
            Ok(code)
        })
    }

    async fn supervise(&mut self) -> anyhow::Result<u8> {
        let mut signals = listen_for_signals()?;
        let guard = getppid();
        rustix::process::set_parent_process_death_signal(Some(GUARD_ENDED))
            .context("watching the guard")?;
        self.say_if_static();
        self.start_due();
        loop {
            if let Some(code) = self.outcome() {
                process_tree::kill_all();
                return Ok(code);
            }
            // Checked after every event, so that it is seen also if it came before we listened.
            if getppid() != guard {
                process_tree::kill_all();
                return Ok(Status::Signal(Signal::KILL.as_raw()).exit_code());
            }
            let wake = self.next_check();
            tokio::select! {
                Some(signal) = signals.recv() => self.signalled(signal),
                Some(notice) = self.notices.recv() => self.noticed(notice),
                () = sleep_until(self.started, wake) => self.check(),
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The exit code, if everything has ended.
    fn outcome(&self) -> Option<u8> {
        let mut highest = 0;
        let mut errored = 0;
        for slot in &self.slots {
            match slot.instance.state() {
                State::Waiting { .. } | State::Running { .. } => return None,
                State::Ended(status) => highest = highest.max(status.exit_code()),
                State::Errored => errored += 1,
            }
        }
        if self.stopping.is_some() {
            if !process_tree::children().is_empty() {
                return None;
            }
            return Some(if self.app.pass_through { highest } else { 0 });
        }
        Some(if errored > 0 { 1 } else { highest })
    }

    /// Starts every instance whose time has come.
    fn start_due(&mut self) {
        let now = self.now();
        for number in 0..self.app.instances {
            let due = self.slot(number).is_some_and(
                |slot| matches!(slot.instance.state(), State::Waiting { until } if until <= now),
            );
            if due {
                self.start(number, now);
            }
        }
    }

    fn start(&mut self, number: u32, now: Duration) {
        match self.spawner.spawn(&self.app, number) {
            Ok(spawned) => {
                let pid = spawned.pid;
                if let Some((out, err)) = spawned.output {
                    self.output.capture(number, out, err);
                }
                if let Some(slot) = self.slot(number) {
                    slot.instance.started(pid, now);
                    slot.loaded = false;
                    slot.listens = false;
                    slot.load_check = Some(now + LOAD_TIME);
                    slot.silence_check = Some(now + SILENCE);
                }
                let instance = number;
                self.output.event(&Event::Started { instance, pid });
            }
            Err(error) => {
                let reason = error.to_string();
                let instance = number;
                self.output.event(&Event::StartFailed { instance, reason });
                // What a shell answers to a program that it cannot execute.
                self.ended(number, 0, Status::Code(126), now);
            }
        }
    }

    fn slot(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(number).ok()?)
    }

    fn number_of(&self, pid: i32) -> Option<u32> {
        let at = self
            .slots
            .iter()
            .position(|slot| slot.instance.pid() == Some(pid))?;
        u32::try_from(at).ok()
    }

    fn ended(&mut self, number: u32, pid: i32, status: Status, now: Duration) {
        let stopping = self.stopping.is_some();
        let Some(slot) = self.slot(number) else {
            return;
        };
        let (next, uptime) = slot.instance.exited(status, stopping, now);
        slot.load_check = None;
        slot.silence_check = None;
        let (code, signal) = match status {
            Status::Code(code) => (Some(code), None),
            Status::Signal(signal) => (None, Some(signal)),
        };
        self.output.event(&Event::Exited {
            instance: number,
            pid,
            code,
            signal,
            uptime,
            next,
        });
    }

    fn signalled(&mut self, arrived: Signalled) {
        match arrived.signal {
            Signal::CHILD => self.reap(),
            Signal::INT | Signal::TERM | Signal::QUIT | Signal::HUP => self.stop(arrived),
            // In its own group a worker does not hear what the terminal sends.
            Signal::USR1 | Signal::USR2 | Signal::WINCH
                if !(arrived.by_kernel && self.app.pass_through) =>
            {
                for pid in self.running() {
                    let _ = kill_process(pid, arrived.signal);
                }
            }
            _ => {}
        }
    }

    fn running(&self) -> Vec<Pid> {
        self.slots
            .iter()
            .filter_map(|slot| Pid::from_raw(slot.instance.pid()?))
            .collect()
    }

    /// Begins to stop the app; a second signal does not wait for the workers any more.
    fn stop(&mut self, arrived: Signalled) {
        let now = self.now();
        if let Some(stopping) = &mut self.stopping {
            if now - stopping.since > SAME_SIGNAL {
                stopping.kill_at = now;
            }
            return;
        }
        self.stopping = Some(Stopping {
            since: now,
            kill_at: now + self.app.kill_timeout,
            asked: Vec::new(),
        });
        self.output.event(&Event::Stopping {
            reason: signal_name(arrived.signal).to_owned(),
        });
        self.dispatcher.close();
        for slot in &mut self.slots {
            slot.instance.stop();
        }
        for pid in self.running() {
            // Whoever is gone already has been stopped.
            let _ = if !self.app.pass_through {
                kill_process_group(pid, Signal::INT)
            } else if arrived.by_kernel {
                // The terminal has sent it to the worker too.
                Ok(())
            } else {
                kill_process(pid, arrived.signal)
            };
        }
    }

    /// Takes note of every child that has ended; as subreaper we have more than the instances.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(status) = final_status(status) else {
                continue;
            };
            let raw = pid.as_raw_nonzero().get();
            let Some(number) = self.number_of(raw) else {
                continue;
            };
            if !self.app.pass_through {
                // What an instance leaves behind in its group must not serve on beside its
                // successor.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            self.ended(number, raw, status, self.now());
        }
        self.ask_orphans();
    }

    /// While the app stops: what a worker has detached from its group did not hear of it.
    fn ask_orphans(&mut self) {
        let running = self.running();
        if let Some(stopping) = &mut self.stopping {
            for child in process_tree::children() {
                if !running.contains(&child) && !stopping.asked.contains(&child) {
                    stopping.asked.push(child);
                    let _ = kill_process(child, Signal::TERM);
                }
            }
        }
    }

    fn noticed(&mut self, notice: Notice) {
        let event = match notice {
            Notice::Loaded { pid } => {
                if let Some(slot) = self.number_of(pid).and_then(|number| self.slot(number)) {
                    slot.loaded = true;
                    slot.load_check = None;
                }
                return;
            }
            Notice::Listening {
                pid,
                instance,
                address,
                members,
            } => {
                if let Some(slot) = self.slot(instance) {
                    slot.listens = true;
                    slot.silence_check = None;
                }
                Event::Listening {
                    instance,
                    pid,
                    address: address.to_string(),
                    members,
                }
            }
            Notice::Left {
                pid,
                instance,
                address,
                members,
            } => Event::Left {
                instance,
                pid,
                address: address.to_string(),
                members,
            },
            Notice::InUse {
                instance,
                address,
                by,
            } => Event::InUse {
                instance,
                address: address.to_string(),
                by,
            },
            Notice::Blind { pid } => Event::Blind { pid },
            Notice::OutOfDescriptors { limit } => Event::OutOfDescriptors { limit },
            Notice::Refused { address, total } => Event::Refused {
                address: address.to_string(),
                total,
            },
        };
        self.output.event(&event);
    }

    /// A program that no library loads into is told of before it runs.
    fn say_if_static(&mut self) {
        if config::is_static(self.app.program()) {
            for instance in 0..self.app.instances {
                self.output.event(&Event::NotPreloaded {
                    instance,
                    pid: 0,
                    reason: format!("{} is statically linked", self.app.program().display()),
                });
                if let Some(slot) = self.slot(instance) {
                    slot.loaded = true;
                }
            }
        }
    }

    /// The next moment at which something is to be looked at.
    fn next_check(&self) -> Option<Duration> {
        let stop = self.stopping.as_ref().map(|stopping| stopping.kill_at);
        let slots = self.slots.iter().flat_map(|slot| {
            let start = match slot.instance.state() {
                State::Waiting { until } => Some(until),
                State::Running { .. } | State::Ended(_) | State::Errored => None,
            };
            [start, slot.load_check, slot.silence_check]
        });
        slots.chain([stop]).flatten().min()
    }

    /// Looks at what is due.
    fn check(&mut self) {
        let now = self.now();
        if self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.kill_at <= now)
        {
            self.kill();
            return;
        }
        self.start_due();
        let due = |at: &mut Option<Duration>| at.take_if(|at| *at <= now).is_some();
        let mut events = Vec::new();
        for (instance, slot) in (0..).zip(&mut self.slots) {
            let Some(pid) = slot.instance.pid() else {
                continue;
            };
            if due(&mut slot.load_check) && !slot.loaded {
                events.push(Event::NotPreloaded {
                    instance,
                    pid,
                    reason: "the library did not load".to_owned(),
                });
                slot.silence_check = None;
            }
            if due(&mut slot.silence_check) && !slot.listens && !self.app.pass_through {
                events.push(Event::Silent { instance, pid });
            }
        }
        for event in events {
            self.output.event(&event);
        }
    }

    /// Time is up: everything of the app is killed.
    fn kill(&mut self) {
        let running: Vec<_> = self.running();
        for pid in &running {
            let _ = kill_process(*pid, Signal::KILL);
        }
        process_tree::kill_all();
        let now = self.now();
        for pid in running {
            let raw = pid.as_raw_nonzero().get();
            if let Some(number) = self.number_of(raw) {
                self.ended(number, raw, Status::Signal(9), now);
            }
        }
    }
}

/// Signals arrive in a thread of their own, which passes them on.
fn listen_for_signals() -> anyhow::Result<mpsc::Receiver<Signalled>> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = sys::next_signal() {
                if sender.blocking_send(signal).is_err() {
                    return;
                }
            }
        })
        .context("starting the signals' thread")?;
    Ok(receiver)
}

async fn sleep_until(started: Instant, wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep_until((started + wake).into()).await,
        None => std::future::pending().await,
    }
}

fn final_status(status: WaitStatus) -> Option<Status> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Status::Code(code)),
        (_, Some(signal)) => Some(Status::Signal(signal)),
        (None, None) => None,
    }
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::TERM => "SIGTERM",
        Signal::QUIT => "SIGQUIT",
        Signal::HUP => "SIGHUP",
        _ => "a signal",
    }
}
