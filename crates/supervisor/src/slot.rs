//! The place of one instance: its state machine, and the processes that belong to it.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Pid;

use super::address_kind::{is_given, words};
use super::blocked::{self, Blocked};
use super::boot::Boot;
use super::health::Health;
use super::instance::{Cause, Effect, Event, Lifecycle, Outcome, Rest, Rules, Run, RunId, State};
use super::listening::{Expected, Listening, Standing};
use super::silence::Silence;
use config::{App, ExecMode};
use home::control::{self, InstanceView};
use home::{self, Exit, Kept, LastRun, now_ms};
use process::cgroup::Group;
use process::node_ipc::Channel;
use telemetry::figures::{ListenerFigures, WorkerFigures};
use telemetry::ids::{Instance, InstanceId};

/// In so much time the preload library reports in; if not, it is not there.
const LOAD_TIME: Duration = Duration::from_secs(2);

/// A process of an instance that has not been reaped yet.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: RunId,
    pub(super) pid: i32,
    /// When it was started, in milliseconds since 1970.
    pub(super) started_at: u64,
    /// The same since the supervisor began.
    pub(super) started: Duration,
    /// Its standard input, if that is ours to write to.
    pub(super) stdin: Option<OwnedFd>,
    /// Node's channel to it.
    pub(super) channel: Option<Channel>,
    /// Its control group, if it has one.
    pub(super) group: Option<Group>,
    /// What it and its descendants listen on.
    pub(super) listening: Listening,
    /// When it is up, if it listens on nothing else until then.
    pub(super) up_at: Option<Duration>,
    /// The library has reported in from it.
    pub(super) loaded: bool,
    /// When to look whether the library has reported in, and whether it listens.
    pub(super) load_check: Option<Duration>,
    pub(super) silence: Option<Silence>,
    /// What it was started as.
    pub(super) app: Rc<App>,
    /// Until it is heard or seen to be up.
    pub(super) boot: Option<Boot>,
    /// Which of its workers stand still.
    pub(super) blocked: Blocked,
    /// How it does by its checks, where there are any.
    pub(super) health: Option<Health>,
    /// The numbers of the descriptors that its output is read from, where that is kept.
    pub(super) output: Option<(i32, i32)>,
}

impl Process {
    /// One that starts now; where sockets are shared, the library reports in from it.
    pub(super) fn new(run: RunId, now: Duration, app: &Rc<App>, shares: bool) -> Self {
        Self {
            run,
            pid: 0,
            started_at: now_ms(),
            started: now,
            stdin: None,
            channel: None,
            group: None,
            listening: Listening::new(now),
            up_at: None,
            loaded: !shares,
            load_check: shares.then_some(now + LOAD_TIME),
            silence: shares.then(|| Silence::new(now)),
            app: app.clone(),
            boot: (!app.wait_ready).then(|| Boot::new(now, shares)),
            blocked: Blocked::default(),
            health: super::health::of(app, now),
            output: None,
        }
    }
}

/// One instance, and what is known of it.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number among all of the home.
    pub(super) id: InstanceId,
    /// Its number within the app.
    pub(super) instance: Instance,
    /// What its processes run.
    pub(super) app: Rc<App>,
    /// What the successor runs that is being tried.
    pub(super) tried: Option<Rc<App>>,
    rules: Rules,
    pub(super) lifecycle: Lifecycle,
    pub(super) processes: Vec<Process>,
    /// How its last process ended.
    pub(super) exit: Option<Exit>,
    /// The bound, in bytes, that its last process was killed at, if it was.
    pub(super) out_of_memory: Option<u64>,
    /// Why its last process could not be started, if it could not.
    pub(super) not_started: Option<String>,
    /// What the last command came to, unless that is still to come.
    pub(super) outcome: Option<Outcome>,
    /// It goes when it is at rest.
    pub(super) removed: bool,
    /// Why its connections are not distributed.
    pub(super) not_preloaded: Option<String>,
    /// The run of a job that has been told of as going on at its next time.
    pub(super) still_runs: Option<RunId>,
    /// When its last process was started, and when it had ended.
    pub(super) last_run: Option<LastRun>,
    /// What its last process listened on.
    known: Expected,
}

impl Slot {
    /// The place of an instance that rests.
    pub(super) fn new(kept: &Kept, app: Rc<App>) -> Self {
        let rest = match kept.rest {
            home::Rest::Errored => Rest::Errored,
            home::Rest::Runs if kept.waits => Rest::Ended(kept.exit.unwrap_or(Exit::Code(0))),
            home::Rest::Runs | home::Rest::Stopped => Rest::Stopped,
        };
        Self {
            id: kept.id,
            instance: kept.instance,
            rules: rules(&app),
            app,
            tried: None,
            lifecycle: Lifecycle::new(rest, kept.restarts, kept.unstable),
            processes: Vec::new(),
            exit: kept.exit,
            out_of_memory: kept.out_of_memory,
            not_started: kept.not_started.clone(),
            outcome: None,
            removed: false,
            not_preloaded: None,
            still_runs: None,
            last_run: kept.last_run,
            known: Expected::new(),
        }
    }

    /// Goes on with processes that another supervisor has started.
    pub(super) fn survive(
        &mut self,
        last: RunId,
        current: Option<Run>,
        leaving: &[Run],
        cause: Cause,
        now: Duration,
    ) {
        // Of the start of one that is up nothing more comes.
        let is_up = current.is_some_and(|run| run.up);
        self.outcome = is_up.then_some(Outcome::Up { listens: false });
        self.lifecycle
            .survive(last, current, leaving, cause, &self.rules, now);
    }

    /// Lets the state machine hear of something.
    pub(super) fn step(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        self.lifecycle.step(event, &self.rules, now)
    }

    /// When the state machine wants to hear of the time.
    pub(super) fn next_time(&self) -> Option<Duration> {
        self.lifecycle.next_time(&self.rules)
    }

    /// When it is to be started, if that may be brought forward.
    pub(super) fn put_off_until(&self) -> Option<Duration> {
        self.lifecycle.put_off_until(&self.rules)
    }

    /// From now on processes run this.
    pub(super) fn set_app(&mut self, app: Rc<App>) {
        self.rules = rules(&app);
        self.app = app;
        self.tried = None;
    }

    /// The next process tries this; until it is up, nothing else changes.
    pub(super) fn try_app(&mut self, app: Rc<App>) {
        self.rules = rules(&app);
        self.tried = Some(app);
    }

    /// Whether what was tried is what it runs from now on.
    pub(super) fn end_try(&mut self, good: bool) {
        if let Some(tried) = self.tried.take() {
            let app = if good { tried } else { self.app.clone() };
            self.set_app(app);
        }
    }

    /// Whether its newest process is up only when it says so.
    pub(super) fn waits_for_ready(&self) -> bool {
        self.tried.as_ref().unwrap_or(&self.app).wait_ready
    }

    pub(super) fn process(&mut self, run: RunId) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.run == run)
    }

    /// Its process that serves.
    pub(super) fn current(&self) -> Option<&Process> {
        let current = self.lifecycle.current()?.id;
        self.processes.iter().find(|it| it.run == current)
    }

    /// Whether it is up, and not unhealthy.
    pub(super) fn is_ready(&self) -> bool {
        self.lifecycle.current().is_some_and(|run| run.up) && self.unhealthy().is_none()
    }

    /// Why its process that serves is unhealthy, if it is.
    pub(super) fn unhealthy(&self) -> Option<&str> {
        self.current()?.health.as_ref()?.unhealthy()
    }

    /// Whether its process that serves is healthy: a check has passed, and not enough have failed since.
    /// `None` where there is no process, or no check.
    pub(super) fn healthy(&self) -> Option<bool> {
        let health = self.current()?.health.as_ref()?;
        Some(health.has_passed() && health.unhealthy().is_none())
    }

    /// What the check has found on which its newest process waits, if it does.
    pub(super) fn lacks_health(&self) -> Option<&str> {
        let newest = self.processes.iter().max_by_key(|it| it.run)?;
        let health = newest.health.as_ref().filter(|it| it.awaited.is_some())?;
        Some(health.reason().unwrap_or("the first check is not over"))
    }

    /// Whether its newest process has ever passed a check.
    pub(super) fn was_well(&self) -> bool {
        let newest = self.processes.iter().max_by_key(|it| it.run);
        let health = newest.and_then(|it| it.health.as_ref());
        health.is_some_and(Health::has_passed)
    }

    /// Whether its process is not up yet, and still has time for that.
    pub(super) fn is_starting(&self, now: Duration) -> bool {
        let run = self.lifecycle.current();
        run.is_some_and(|run| !run.up && now < run.since + self.rules.listen_timeout)
    }

    /// Whether its process serves clients, and a successor can come up beside it.
    pub(super) fn serves(&self) -> bool {
        self.rules.overlap && self.lifecycle.current().is_some_and(|run| run.listens)
    }

    /// What a process of it is expected to listen on.
    fn expected(&self, run: RunId) -> Expected {
        match self.current().filter(|it| it.run != run) {
            Some(old) => old.listening.expected(),
            None => self.known.clone(),
        }
    }

    /// How far the start of a process has come.
    pub(super) fn standing(&self, run: RunId) -> Standing {
        let Some(new) = self.processes.iter().find(|it| it.run == run) else {
            return Standing::Waits;
        };
        let expected = self.expected(run);
        match self.current().filter(|it| it.run != run) {
            Some(old) => {
                let (before, now) = (words(&old.app), words(&new.app));
                new.listening.beside(&expected, |address| {
                    is_given(address, &before) && !is_given(address, &now)
                })
            }
            None => new.listening.after(&expected),
        }
    }

    /// A process is asked to end, or has ended: what it has listened on its successor will, too.
    pub(super) fn remember_listeners(&mut self, run: RunId) {
        let expected = self.process(run).map(|it| it.listening.expected());
        if let Some(expected) = expected.filter(|it| !it.is_empty()) {
            self.known = expected;
        }
    }

    /// What the newest process does not listen on, and the one before it does; all that it listens on
    /// if there is no newer one any more.
    pub(super) fn awaited(&self) -> Vec<String> {
        let Some(old) = self.current() else {
            return Vec::new();
        };
        let expected = old.listening.expected();
        let newest = self.processes.iter().max_by_key(|it| it.run);
        let newest = newest.filter(|it| it.run > old.run);
        let lacking = expected
            .keys()
            .filter(|address| newest.is_none_or(|newest| !newest.listening.is_on(address)));
        lacking.map(ToString::to_string).collect()
    }

    /// What its newest process has still to do to be up, if it is not; in words.
    fn waits_for(&self) -> Option<String> {
        let (run, _) = self.lifecycle.starting()?;
        if self.waits_for_ready() {
            return Some("process.send(\"ready\")".to_owned());
        }
        let expected = self.expected(run);
        let process = self.processes.iter().find(|it| it.run == run)?;
        let lacking = process.listening.lacks(&expected);
        let lacking: Vec<_> = lacking.map(|(address, _)| address.to_string()).collect();
        if process
            .health
            .as_ref()
            .is_some_and(|it| it.awaited.is_some())
        {
            return Some(match process.health.as_ref().and_then(Health::reason) {
                Some(reason) => format!("a health check that passes: {reason}"),
                None => "its first health check".to_owned(),
            });
        }
        Some(match &lacking[..] {
            [] if process.listening.listens() => "a moment without a new listener".to_owned(),
            [] => "a listener".to_owned(),
            lacking => format!("a listener on {}", lacking.join(", ")),
        })
    }

    /// The pids of all its processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.processes
            .iter()
            .filter_map(|process| Pid::from_raw(process.pid))
    }

    /// Whether no process of it runs until a trigger starts one, where the app has `triggers`.
    fn waits(&self, triggers: bool) -> bool {
        let rests = matches!(
            self.lifecycle.state(),
            State::Resting(Rest::Ended(_) | Rest::Errored)
        );
        triggers && rests
    }

    /// What is to be kept of it.
    pub(super) fn kept(&self, triggers: bool) -> Kept {
        let waits = self.waits(triggers);
        Kept {
            id: self.id,
            instance: self.instance,
            rest: match self.lifecycle.state() {
                State::Resting(Rest::Errored) => home::Rest::Errored,
                State::Resting(Rest::Ended(_)) if waits => home::Rest::Runs,
                State::Resting(Rest::Stopped | Rest::Ended(_)) => home::Rest::Stopped,
                State::Waiting { .. } | State::Running(_) | State::Replacing { .. } => {
                    home::Rest::Runs
                }
            },
            waits,
            restarts: self.lifecycle.restarts(),
            unstable: self.lifecycle.unstable(),
            exit: self.exit,
            out_of_memory: self.out_of_memory,
            not_started: self.not_started.clone(),
            last_run: self.last_run,
        }
    }

    /// How it is now.
    pub(super) fn view(
        &self,
        now: Duration,
        triggers: bool,
        figures: &[ListenerFigures],
    ) -> InstanceView {
        use control::State as Shown;
        let shown = match self.lifecycle.state() {
            _ if self.lifecycle.current().is_none() && self.lifecycle.is_leaving() => {
                Shown::Stopping
            }
            State::Resting(Rest::Errored) => Shown::Errored,
            State::Resting(Rest::Stopped | Rest::Ended(_)) => Shown::Stopped,
            State::Waiting { until } if until > now => Shown::Waiting,
            State::Waiting { .. } => Shown::Launching,
            State::Running(run) if self.rules.wait_ready && !run.up => Shown::Launching,
            State::Running(_) | State::Replacing { .. } => Shown::Online,
        };
        let process = self.current();
        let own = || {
            let workers = figures.iter().flat_map(|listener| &listener.workers);
            workers.filter(|worker| worker.instance == self.instance)
        };
        let any = own().next().is_some();
        let by_request = own().any(|worker| worker.requests.is_some());
        let open = |worker: &WorkerFigures| match worker.requests {
            Some(requests) => requests.in_progress,
            None => worker.open as u64,
        };
        let given = |worker: &WorkerFigures| match worker.requests {
            Some(requests) => requests.total,
            None => worker.dispatched,
        };
        InstanceView {
            id: self.id,
            instance: self.instance,
            state: shown,
            pid: process.map(|process| process.pid),
            since: process.map(|process| process.started_at),
            waits: self.waits(triggers),
            waits_for: self.waits_for(),
            blocked: process
                .and_then(|process| process.blocked.lasts(now))
                .map(blocked::millis),
            unhealthy: self.unhealthy().map(str::to_owned),
            restarts: self.lifecycle.restarts(),
            unstable: self.lifecycle.unstable(),
            exit: self.exit,
            out_of_memory: self.out_of_memory,
            bound: process.and_then(|process| Some(process.group.as_ref()?.bound())),
            not_started: self.not_started.clone(),
            last_run: self.last_run,
            not_preloaded: self.not_preloaded.clone(),
            open: any.then(|| own().map(open).sum()),
            given: any.then(|| own().map(given).sum()),
            failed: by_request.then(|| {
                let requests = own().filter_map(|worker| worker.requests);
                requests.map(|requests| requests.failed).sum()
            }),
        }
    }
}

fn rules(app: &App) -> Rules {
    Rules {
        restart: app.restart.clone(),
        drains: app.exec_mode == ExecMode::Cluster && !app.pass_through,
        drain_timeout: app.drain_timeout,
        kill_timeout: app.kill_timeout,
        listen_timeout: app.listen_timeout,
        // That a check has passed tells it, too.
        wait_ready: app.wait_ready || app.health.is_some(),
        // Runs of a job never overlap.
        overlap: app.exec_mode == ExecMode::Cluster && app.job().is_none(),
    }
}
