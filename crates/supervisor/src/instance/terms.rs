//! The words in which the life of an instance is told: what holds for it, where it stands, what it
//! hears, and what is to be done.

use std::fmt;
use std::time::Duration;

use config::Restart;
use serde::{Deserialize, Serialize};
use telemetry::events::{Exit, Next};

/// One that neither listens nor sleeps is taken for up when it has run for so long: most programs have
/// loaded all that they need by then, also on a busy machine, and mistakes in them have shown. It is
/// pm2's `listen_timeout`.
pub(crate) const SETTLED: Duration = Duration::from_secs(3);

/// The longest trial: a user waits for the reload.
const LONGEST_TRIAL: Duration = Duration::from_secs(10);

/// Tells one run of an instance from all others of it: they are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RunId(pub(crate) u64);

impl RunId {
    /// What comes before the first one.
    pub(crate) const NONE: Self = Self(0);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an instance is to be treated.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) restart: Restart,
    /// Its connections can be seen, and it gets no signal but ours: before it is asked to end it does
    /// what it has begun.
    pub(crate) drains: bool,
    /// How long it may take for that.
    pub(crate) drain_timeout: Duration,
    /// From being asked to end until being killed.
    pub(crate) kill_timeout: Duration,
    /// How long a process may take until it is up.
    pub(crate) listen_timeout: Duration,
    /// It tells when it is up.
    pub(crate) wait_ready: bool,
    /// A successor may run beside the one that it replaces.
    pub(crate) overlap: bool,
}

impl Rules {
    /// How long a process may take from being to end until it is asked to.
    pub(super) fn drain_time(&self) -> Duration {
        match self.drains {
            true => self.drain_timeout,
            false => Duration::ZERO,
        }
    }

    /// For how long a successor on trial has to be up: what crashes just after `min_uptime` has to
    /// show, too.
    pub(super) fn trial(&self) -> Duration {
        (2 * self.restart.min_uptime.min(LONGEST_TRIAL)).min(LONGEST_TRIAL)
    }

    /// After so long a process that says nothing of itself is taken for up.
    pub(super) fn settled(&self) -> Duration {
        SETTLED.min(self.listen_timeout)
    }
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) since: Duration,
    /// It does its work, as far as is known.
    pub(crate) up: bool,
    /// Since when, if not from the beginning.
    pub(crate) up_at: Option<Duration>,
    /// It listens now where a successor would, too.
    pub(crate) listens: bool,
    /// Since when it has been seen to listen.
    pub(crate) listens_since: Option<Duration>,
}

impl Run {
    /// The same when it is up.
    pub(super) fn is_up(self, listening: bool, now: Duration) -> Self {
        Self {
            up: true,
            up_at: Some(now),
            ..self.listening(listening, now)
        }
    }

    /// It has ended, where it was to replace another one.
    pub(super) fn failed(self, status: Exit, now: Duration) -> Outcome {
        // The kernel closes its listener before it tells of its end.
        match self.up_at {
            Some(at) => Outcome::Failed(status, now.saturating_sub(at)),
            None => Outcome::Exited(status),
        }
    }

    /// The same when it listens, or does not any more.
    pub(super) fn listening(self, listens: bool, now: Duration) -> Self {
        Self {
            listens,
            listens_since: self.listens_since.or(listens.then_some(now)),
            ..self
        }
    }
}

/// Why nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Somebody wanted it so.
    Stopped,
    /// It has ended, and is not to be restarted.
    Ended(Exit),
    /// It crashed too often.
    Errored,
}

/// Where an instance stands. Times are since any fixed moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing runs, and nothing shall.
    Resting(Rest),
    /// To be started at this time, and not before all that leave are gone.
    Waiting { until: Duration },
    /// A process runs.
    Running(Run),
    /// A process runs, and its successor beside it, which has to be up by the deadline. If it is on
    /// trial, it has to stay up for this time, and that is over at the deadline.
    Replacing {
        old: Run,
        new: Run,
        deadline: Duration,
        trial: Option<Duration>,
    },
}

/// Why a process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another process of the instance serves in its place.
    Replaced,
    /// The app shrinks to fewer instances.
    Removed,
    /// Another process takes its place when it is gone.
    Restarted,
    /// The instance stops.
    Stopped,
}

impl Cause {
    /// Whether connections are waited for of which it is not known what is going on there. Only the app
    /// could end these: where somebody waits for the end of the process, it is asked to at once.
    pub(crate) fn waits_for_opaque(self) -> bool {
        match self {
            Self::Replaced | Self::Removed => true,
            Self::Restarted | Self::Stopped => false,
        }
    }
}

/// What an instance hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It shall run.
    Start,
    /// Stop it. A second time, what is in progress is not waited for.
    Stop,
    /// The same, since the app shrinks to fewer instances.
    Remove,
    /// Replace the process by another one, after it has ended. A second time, what is in
    /// progress is not waited for.
    Restart,
    /// The same, without a command.
    Renew,
    /// The same, but the one that runs serves on until the other one is up, where they can run
    /// side by side.
    Reload,
    /// The same, and the one that runs serves on until the other one has been up for a moment.
    TryOut,
    /// A process has ended, or could not be started.
    Exited { run: RunId, status: Exit },
    /// A process that is to end has nothing to do any more.
    Drained { run: RunId },
    /// What is in progress is not waited for.
    Cut,
    /// A process could not be started, and not for anything of the app's: it is tried again.
    NoRoom { run: RunId, status: Exit },
    /// A process turns out to be one that cannot do what is asked for, however often it is started.
    Unfit { run: RunId },
    /// A process is up: it listens on what it was to, or has said so.
    Up { run: RunId, listening: bool },
    /// A process has begun to listen, or listens no more. Whether it is up is another question.
    Listens { run: RunId, listening: bool },
    /// A process that was up fails its health check.
    Unwell { run: RunId },
    /// A further run is to follow when the present one has ended by itself.
    Due,
    /// Clients wait: a start that is put off comes by this time.
    Hurry { by: Duration },
    /// Time has passed.
    Time,
}

/// What is to be done. Runs are those of this instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Start a process.
    Spawn(RunId),
    /// Give it no more connections, let it do what it has begun, and tell when that is done.
    Drain(RunId, Cause),
    /// Tell that this is waited for, for so many milliseconds more.
    Waits(RunId, Cause, u64),
    /// Ask it to end.
    Ask(RunId),
    /// Kill it.
    Kill(RunId),
    /// Tell that it has ended after so many milliseconds, and what follows.
    Tell {
        run: RunId,
        status: Exit,
        uptime: u64,
        next: Next,
    },
    /// What the last command came to.
    Settled(Outcome),
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A process is up.
    Up { listens: bool },
    /// Nothing runs any more.
    Stopped,
    /// The process has ended before it was up.
    Exited(Exit),
    /// The successor has ended on trial, this long after it was up.
    Failed(Exit, Duration),
    /// It is not up in time.
    NotUp,
    /// The program cannot do what is asked for.
    Unfit,
    /// Another command has come in between.
    Superseded,
}

/// One event being heard.
pub(super) struct Step<'a> {
    pub(super) rules: &'a Rules,
    pub(super) now: Duration,
    pub(super) effects: Vec<Effect>,
}

impl Step<'_> {
    pub(super) fn tell(&mut self, run: Run, status: Exit, next: Next) {
        let uptime = self.now.saturating_sub(run.since).as_millis();
        self.effects.push(Effect::Tell {
            run: run.id,
            status,
            uptime: u64::try_from(uptime).unwrap_or(u64::MAX),
            next,
        });
    }
}
