//! One app in the foreground: this process becomes its guard, a child of it its supervisor.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::SendFlags;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::stdio;
use serde::{Deserialize, Serialize};

use super::service_manager::{self, Passed};
use crate::apps::{self, OfApp};
use config::App;
use home::control::Answer;
use home::runtime_folder::{self, RuntimeFolder};
use home::{Kept, Record, Rest, now_ms};
use process::cgroup::Branch;
use supervisor::{self, Above, Supervisor};
use supervisor::{guard, output};
use telemetry::events::EventFile;
use telemetry::ids::{Instance, InstanceId};

/// The word that the command line of a child begins with.
pub(super) const COMMAND: &str = "foreground";

/// What is run, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Foreground {
    pub(super) app: App,
    /// How often to show what was counted, in seconds.
    pub(super) stats: Option<NonZeroU32>,
    /// A file for what happens.
    pub(super) events: Option<PathBuf>,
    /// The process that runs it beside other apps, if one does.
    pub(super) beside_others: Option<u32>,
}

/// Whether a command line asks for an app on standard input, as [`super::foreground_together`]
/// does: `maitred foreground`.
pub(super) fn asked_for(mut words: impl Iterator<Item = OsString>) -> bool {
    words.next();
    words.next().is_some_and(|word| word == COMMAND) && words.next().is_none()
}

/// Runs the app that standard input describes; the exit code.
///
/// # Errors
/// If there is none, or it cannot be run.
pub(super) fn run_from_input() -> anyhow::Result<u8> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    let foreground: Foreground = serde_json::from_slice(&text).context("reading what to run")?;
    let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("opening /dev/null")?;
    // Our standard input is a socket: who waits hears over it that the app is up.
    let caller = std::io::stdin().as_fd().try_clone_to_owned();
    let caller = caller.context("keeping the socket of who has started it")?;
    stdio::dup2_stdin(&nothing)?;
    if let Some(parent) = foreground.beside_others {
        // With the process that runs all of them, each ends as if it were asked to.
        set_parent_process_death_signal(Some(Signal::TERM))?;
        let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        if u32::try_from(now) != Ok(parent) {
            bail!("the command that runs it has ended");
        }
    }
    supervise(foreground, Some(caller), Passed::default())
}

/// Runs the app until it ends or is stopped; the exit code.
///
/// # Errors
/// If it cannot be run at all.
pub(super) fn run(foreground: Foreground) -> anyhow::Result<u8> {
    let passed = service_manager::passed_sockets()?;
    supervise(foreground, None, passed)
}

/// The same; `caller` hears when it is up.
fn supervise(
    foreground: Foreground,
    caller: Option<OwnedFd>,
    passed: Passed,
) -> anyhow::Result<u8> {
    let Foreground {
        app,
        stats,
        events,
        beside_others,
    } = foreground;
    let shared = beside_others.is_some();
    let events = match events {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file: File = file.with_context(|| format!("opening {}", path.display()))?;
            Some(EventFile::new(file, shared.then(|| app.name.clone())))
        }
        None => None,
    };
    apps::before_start(&app).with_context(|| OfApp(app.name.clone()))?;
    let inherited = supervisor::count_open().context("counting open files")?;
    let folder = RuntimeFolder::create()?;
    let path = folder.path().to_owned();
    let branch = Branch::claim();
    let watchdog = caller.is_none().then(service_manager::watchdog).flatten();
    let store = caller.is_none().then(service_manager::store).flatten();
    let supervised = || -> anyhow::Result<u8> {
        guard::split(folder.path(), branch.as_ref(), |sentence| {
            eprintln!("{sentence}");
        })?;
        supervisor::make_room();
        let output = output::Output::shown(&app, events, shared)?;
        let instances = (0..app.instances)
            .map(|number| Kept::new(InstanceId(number), Instance(number), Rest::Runs));
        let record = Record {
            instances: instances.collect(),
            created_at: now_ms(),
            app,
        };
        Supervisor::new(
            record,
            None,
            folder,
            branch,
            output,
            Above::Caller { inherited },
        )?
        .with_stats(stats.map(|seconds| Duration::from_secs(seconds.get().into())))
        .with_answer(tell_when_up(caller)?)
        .with_heartbeat(watchdog, service_manager::lives)
        .with_lent(passed.lent)?
        .with_store(passed.stored, store)
        .run(|| {})
    };
    let ended = supervised();
    runtime_folder::remove(&path);
    ended
}

/// What is said when all is up, and when it is known not to come up.
pub(super) const UP: &[u8] = b"up\n";
pub(super) const NOT_UP: &[u8] = b"not up\n";

/// Lets the caller or, without one, the service manager hear of it when the answer comes.
fn tell_when_up(caller: Option<OwnedFd>) -> anyhow::Result<Option<Answer>> {
    if caller.is_none() && !service_manager::waits() {
        return Ok(None);
    }
    let (answer, outcome) = Answer::pair();
    std::thread::Builder::new()
        .name("up".into())
        .spawn(move || {
            let is_up = outcome.wait();
            let Some(caller) = caller else {
                if is_up {
                    service_manager::is_ready();
                }
                return;
            };
            let said = if is_up { UP } else { NOT_UP };
            // A caller that is gone does not wait for it.
            let _ = rustix::net::send(&caller, said, SendFlags::NOSIGNAL);
        })
        .context("starting a thread that tells when it is up")?;
    Ok(Some(answer))
}
