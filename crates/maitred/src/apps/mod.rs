//! The apps of a home, seen from outside: which there are, how they are, and what can be done with
//! them, whether a supervisor runs or not.

mod act;
mod add;
mod changes;
mod completed;
mod following;
mod hook;
mod in_order;
mod launch;
mod lost;
mod target;
mod update;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::process::Signal;

pub(crate) use act::{Action, Change, Deleted, Standing};
pub(crate) use add::{add, add_again, add_stopped};
pub(crate) use following::{Following, News};
pub(crate) use home::Claim as Claimed;
pub(crate) use hook::before_start;
pub(crate) use in_order::{Culprit, Work, Worked, in_order};
pub(crate) use launch::{READY, launch};
pub(crate) use target::{Selected, add_selected, find, select};
pub(crate) use update::own_program;

use config::{self, KillSignal};
use home::control::{Connection, Fault, Request, Snapshot, State};
use home::{AppFolder, Exit, Home, Kept, Record, Rest};
use telemetry::metrics::AppMetrics;

/// So many supervisors are talked to at a time.
const AT_ONCE: usize = 32;

/// A supervisor that hears nobody any more is gone after so long.
const LEAVING: Duration = Duration::from_secs(2);

/// The pause between two looks at a supervisor that has ended, while its guard is there.
const A_LOOK: Duration = Duration::from_millis(10);

/// The app that an error is of, as the outermost part of its chain.
#[derive(Debug)]
pub(crate) struct OfApp(pub(crate) String);

impl std::fmt::Display for OfApp {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(to)
    }
}

/// An app that was added to the home.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) folder: AppFolder,
    pub(crate) record: Record,
}

impl Known {
    /// How the app is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        match self.ask() {
            Ok(snapshot) => snapshot,
            Err(fault) => self.without_answer(&fault),
        }
    }

    /// Whether a supervisor is there and will stay: one that is being killed may still be
    /// connected to, but answers no more. One that hangs is there.
    pub(crate) fn has_supervisor(&self) -> bool {
        self.folder.is_claimed() && !matches!(self.ask(), Err(Fault::Gone))
    }

    /// Waits until the app has no supervisor any more; the exit code that stands for how its
    /// instances have ended.
    pub(crate) fn wait_for_its_end(&self) -> u8 {
        self.folder.wait_until_free();
        // One that was deleted in the meantime was meant to end.
        let record = self.folder.record();
        record.map_or(0, |record| exit_code(&record))
    }

    /// How the app is, as its supervisor says.
    fn ask(&self) -> Result<Snapshot, Fault> {
        ask(&self.folder)
    }

    /// How an app is whose supervisor does not answer.
    fn without_answer(&self, fault: &Fault) -> Snapshot {
        let claimed = self.folder.is_claimed();
        // It may have ended, or been started, between the question and now.
        let record = self.folder.record().unwrap_or_else(|_| self.record.clone());
        let mut snapshot = Snapshot::at_rest(record);
        if claimed {
            let state = match fault {
                Fault::Gone => State::Launching,
                Fault::Hangs
                | Fault::Suspended(_)
                | Fault::Leaving(_)
                | Fault::Refused(_)
                | Fault::Broken(_) => State::Unknown,
            };
            for instance in &mut snapshot.instances {
                if instance.state == State::Crashed {
                    instance.state = state;
                }
            }
        }
        snapshot
    }
}

/// The highest exit code of the instances of an app that runs no more; 1 for one that was given up.
fn exit_code(record: &Record) -> u8 {
    let KillSignal(asked) = record.app.kill_signal;
    let code = |kept: &Kept| match (kept.rest, kept.exit) {
        (Rest::Errored, _) => 1,
        // Its supervisor was killed, and it with that.
        (Rest::Runs, _) => 128 + Signal::KILL.as_raw(),
        (Rest::Stopped, Some(Exit::Signal(signal))) if signal == asked.as_raw() => 0,
        (Rest::Stopped, Some(Exit::Signal(signal))) => 128 + signal,
        (Rest::Stopped, Some(Exit::Code(code))) => code,
        (Rest::Stopped, None) => 0,
    };
    let codes = record.instances.iter().map(code);
    u8::try_from(codes.max().unwrap_or(0)).unwrap_or(u8::MAX)
}

/// All apps of a home, by name. What cannot be read is told of, and left out.
///
/// # Errors
/// If the home cannot be read.
pub(crate) fn all(home: &Home) -> anyhow::Result<Vec<Known>> {
    all_telling(home, &mut |said| eprintln!("maitred: {said}"))
}

/// The same where what cannot be read is told of elsewhere than on standard error.
///
/// # Errors
/// If the home cannot be read.
pub(crate) fn all_telling(home: &Home, tell: &mut dyn FnMut(String)) -> anyhow::Result<Vec<Known>> {
    lost::bring_back(home, tell);
    let mut known = Vec::new();
    for folder in home.apps()? {
        match latest(&folder) {
            Ok(record) => known.push(Known { folder, record }),
            Err(error) if folder.exists() => match salvaged(folder, &error, tell) {
                Ok(known_still) => known.push(known_still),
                Err(error) => tell(format!("{error:#}")),
            },
            // One that is being added or removed just now.
            Err(_) => tell_of_other_owner(&folder, tell),
        }
    }
    known.sort_by(|a, b| {
        let key = |known: &Known| {
            let first = known.record.instances.first().map(|kept| kept.id);
            (first, known.record.app.name.clone())
        };
        key(a).cmp(&key(b))
    });
    Ok(known)
}

/// The record of an app, also of one that another command adds just now: what was not there when it was
/// read, and is there a moment later, is read again.
fn latest(folder: &AppFolder) -> anyhow::Result<Record> {
    // Each further reading takes a command that removes the app and one that adds it in between.
    const READINGS: usize = 16;
    for _ in 1..READINGS {
        let was_missing = |error: &anyhow::Error| {
            let cause = error.root_cause().downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
        };
        match folder.record() {
            Err(error) if was_missing(&error) && folder.exists() => {}
            result => return result,
        }
    }
    folder.record()
}

/// Another user's app in the same home cannot be asked; that it is there is said.
fn tell_of_other_owner(folder: &AppFolder, tell: &mut dyn FnMut(String)) {
    if let Some(owner) = folder.other_owner() {
        tell(format!(
            "{} is the app of another user ({}), who alone can see and stop it: it is left out here",
            folder.path().display(),
            config::user_name(Some(owner))
        ));
    }
}

/// An app whose record cannot be read: its supervisor, if there is one, knows it still.
///
/// # Errors
/// If there is none that answers; says what to do.
fn salvaged(
    folder: AppFolder,
    error: &anyhow::Error,
    tell: &mut dyn FnMut(String),
) -> anyhow::Result<Known> {
    let path = folder.path().display();
    let Ok(snapshot) = ask(&folder) else {
        // It may be about to end.
        if let Ok(Some(_)) = folder.claim(LEAVING) {
            bail!("{error:#}. The app does not run; to forget it, remove {path}");
        }
        bail!(
            "{error:#}. The app runs, and its supervisor does not answer; `fuser -k {path}/lock` \
             ends it"
        );
    };
    tell(format!(
        "{error:#}. The app runs, and its supervisor knows it still: it writes the file anew when \
         the app is stopped or changed"
    ));
    let record = snapshot.into();
    Ok(Known { folder, record })
}

/// How the app in a folder is, as its supervisor says.
fn ask(folder: &AppFolder) -> Result<Snapshot, Fault> {
    let socket = folder.connect().map_err(|_| Fault::Gone)?;
    Connection::ask(socket, Request::Status)?.finish(|_| {})
}

/// What is measured of these apps, asked side by side; `None` for one without a supervisor.
pub(crate) fn metrics(known: &[Known]) -> Vec<Result<Option<AppMetrics>, Fault>> {
    side_by_side(known, |known| {
        let until = Instant::now() + LEAVING;
        loop {
            let socket = known.folder.connect().map_err(|_| Fault::Gone);
            let answer = socket.and_then(|it| Connection::ask(it, Request::Metrics)?.metrics());
            let is_claimed = known.folder.is_claimed();
            match answer {
                Err(_) if !is_claimed => return Ok(None),
                // Its guard is about to leave, or to start another one.
                Err(Fault::Gone) if Instant::now() < until => std::thread::sleep(A_LOOK),
                answer => return answer.map(Some),
            }
        }
    })
}

/// How all these apps are now, asked side by side.
pub(crate) fn snapshots(known: &[Known]) -> Vec<Snapshot> {
    side_by_side(known, Known::snapshot)
}

/// Does something with each, many at a time; the results are in the same order.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [only] = items {
        return vec![work(only)];
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..items.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(item) = items.get(index)
                {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((index, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
