//! Doing something with an app: its supervisor does it, or, where there is none, it is done to
//! what is kept of the app.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Known, OfApp, Selected, hook, launch};
use config::{App, signal_name};
use home::control::{Connection, Fault, Refusal, Request, Snapshot};
use home::{Claim, Exit, Home, Kept, Numbers, Record, Rest};
use telemetry::events::Event;
use telemetry::ids::{Instance, InstanceId};

/// A supervisor that is about to end, or to be there, is waited for so long.
const IN_BETWEEN: Duration = Duration::from_secs(30);

/// How long is tried at a time to get an app's lock.
const A_TRY: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Start,
    Stop,
    Restart(Option<Box<App>>),
    Reload(Option<Box<App>>),
    /// The same as a restart of what another supervisor has just stopped, and is to be replaced.
    Replace(Box<App>),
    /// These are to be as they were when they were saved, if the app does not run.
    BringBack(Vec<Kept>),
    Delete,
    /// So many instances.
    Scale(u32),
    Reset,
    /// This program takes the place of what it runs under.
    Update(PathBuf),
    Signal(i32),
    Send(String),
}

/// An app that no command is ending or starting.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) known: Known,
    /// Some of its processes run, or are about to.
    pub(crate) runs: bool,
}

/// How many instances there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    To(u32),
    By(i64),
}

impl Change {
    /// What it comes to.
    pub(crate) fn of(self, now: u32) -> u32 {
        match self {
            Self::To(count) => count,
            Self::By(more) => {
                let count = i64::from(now).saturating_add(more);
                u32::try_from(count.max(0)).unwrap_or(u32::MAX)
            }
        }
    }
}

/// An app that another command has deleted, by its name.
#[derive(Debug)]
pub(crate) struct Deleted(String);

impl std::fmt::Display for Deleted {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(name) = self;
        write!(to, "{name} was deleted in the meantime, by another command")
    }
}

impl std::error::Error for Deleted {}

impl Selected {
    /// Does it; what happens meanwhile is told.
    ///
    /// # Errors
    /// If it cannot be done, or did not come to a good end.
    pub(crate) fn act(
        &self,
        home: &Home,
        action: &Action,
        progress: &mut dyn FnMut(Event),
    ) -> anyhow::Result<()> {
        if let Action::Update(program) = action {
            return self.update(program, progress);
        }
        let mut until = Instant::now() + IN_BETWEEN;
        let name = &self.known.record.app.name;
        let mut leaves = false;
        let mut is_prepared = false;
        loop {
            // What takes long is waited for; but not for one that says nothing at all.
            if let Err(fault @ (Fault::Hangs | Fault::Suspended(_))) = self.known.ask() {
                return Err(anyhow::Error::new(fault).context(OfApp(name.clone())));
            }
            if let Ok(socket) = self.known.folder.connect() {
                let record = self.known.folder.record();
                let record = record.unwrap_or_else(|_| self.known.record.clone());
                if !std::mem::replace(&mut is_prepared, true) {
                    self.prepare(action, &record)
                        .with_context(|| OfApp(name.clone()))?;
                    // That may have taken long.
                    until = Instant::now() + IN_BETWEEN;
                    continue;
                }
                let request = self.request(home, action, &record)?;
                let patience = patience(&record);
                let answer = Connection::ask(socket, request)
                    .and_then(|connection| connection.wait_for(patience))
                    .and_then(|connection| connection.finish(&mut *progress));
                match answer {
                    Ok(_) => return Ok(()),
                    // It was about to end.
                    Err(Fault::Gone) => {}
                    Err(Fault::Leaving(_)) if leaves => {}
                    Err(Fault::Leaving(_)) => {
                        leaves = true;
                        until += patience;
                    }
                    Err(fault) => {
                        return Err(anyhow::Error::new(fault).context(OfApp(name.clone())));
                    }
                }
            }
            if let Some(claim) = self.known.folder.claim(A_TRY)? {
                if !self.known.folder.exists() {
                    // Nobody else needs what is left of it.
                    claim.remove()?;
                    return self.is_deleted(action);
                }
                return self
                    .act_at_rest(home, action, claim, progress)
                    .with_context(|| OfApp(name.clone()));
            }
            if !self.known.folder.exists() {
                return self.is_deleted(action);
            }
            if Instant::now() > until {
                bail!("{name}: its supervisor neither answers nor ends; see `maitred kill`");
            }
        }
    }

    /// The app is gone; whether that is what was wanted.
    fn is_deleted(&self, action: &Action) -> anyhow::Result<()> {
        match action {
            Action::Delete => Ok(()),
            _ => Err(Deleted(self.known.record.app.name.clone()).into()),
        }
    }

    /// Runs what the app wants to have run before its supervisor does this.
    fn prepare(&self, action: &Action, record: &Record) -> anyhow::Result<()> {
        let whole = self.ids.is_none();
        match action {
            Action::Restart(app) if whole => {
                hook::before_start(app.as_deref().unwrap_or(&record.app))
            }
            Action::Start if whole && !self.known.snapshot().is_to_run() => {
                hook::before_start(&record.app)
            }
            Action::Reload(app) if whole => {
                hook::before_reload(app.as_deref().unwrap_or(&record.app))
            }
            _ => Ok(()),
        }
    }

    fn request(&self, home: &Home, action: &Action, record: &Record) -> anyhow::Result<Request> {
        let ids = self.ids.clone();
        Ok(match action {
            Action::Start => Request::Start { ids },
            Action::Stop => Request::Stop { ids },
            Action::Restart(app) => Request::Restart {
                ids,
                app: app.clone(),
            },
            Action::Reload(app) => Request::Reload {
                ids,
                app: app.clone(),
            },
            // Another command was faster.
            Action::Replace(app) => Request::Restart {
                ids,
                app: Some(app.clone()),
            },
            // It runs again in the meantime.
            Action::BringBack(_) => Request::Await,
            Action::Delete => Request::Delete { ids },
            Action::Scale(count) => {
                let now = u32::try_from(record.instances.len()).unwrap_or(u32::MAX);
                let missing = count.saturating_sub(now);
                Request::Scale {
                    instances: *count,
                    ids: Numbers::lock(home)?.take(missing, None)?,
                }
            }
            Action::Reset => Request::Reset { ids },
            Action::Update(program) => Request::Update {
                program: program.clone(),
            },
            Action::Signal(signal) => Request::Signal {
                ids,
                signal: *signal,
            },
            Action::Send(line) => Request::Send {
                id: self.ids().first().copied().unwrap_or(InstanceId(u32::MAX)),
                line: line.clone(),
            },
        })
    }

    /// There is no supervisor, and as long as we hold the lock there will be none.
    fn act_at_rest(
        &self,
        home: &Home,
        action: &Action,
        claim: Claim,
        progress: &mut dyn FnMut(Event),
    ) -> anyhow::Result<()> {
        let folder = claim.folder().clone();
        let mut record = folder.record()?;
        let meant = self.ids();
        let is_meant = |kept: &Kept| self.ids.is_none() || meant.contains(&kept.id);
        let mut runs = false;
        match action {
            Action::Start | Action::Restart(_) | Action::Reload(_) | Action::Replace(_) => {
                if let Action::Restart(Some(app)) | Action::Reload(Some(app)) = action {
                    record.app = (**app).clone();
                }
                if let Action::Replace(app) = action {
                    record.app = (**app).clone();
                }
                let replaces = matches!(action, Action::Replace(_));
                let restarts = !matches!(action, Action::Start);
                for kept in &mut record.instances {
                    if is_meant(kept) {
                        // A start after a stop is no restart.
                        let crashed = kept.rest == Rest::Runs && !kept.waits;
                        kept.restarts += u32::from(replaces || crashed && restarts);
                        kept.set_rest(Rest::Runs);
                        kept.unstable = 0;
                    } else if kept.rest == Rest::Runs {
                        // It crashed with its supervisor, and was not asked for.
                        kept.set_rest(Rest::Stopped);
                    }
                }
                runs = true;
            }
            Action::BringBack(saved) => {
                for kept in &mut record.instances {
                    let saved = saved.iter().find(|saved| saved.instance == kept.instance);
                    if let Some(saved) = saved.filter(|saved| saved.is_supervised()) {
                        kept.rest = saved.rest;
                        kept.waits = saved.waits;
                        kept.unstable = 0;
                        runs = true;
                    } else if kept.rest == Rest::Runs {
                        kept.set_rest(Rest::Stopped);
                    }
                }
            }
            Action::Stop => {
                for kept in record.instances.iter_mut().filter(|kept| is_meant(kept)) {
                    kept.set_rest(Rest::Stopped);
                }
            }
            Action::Delete => {
                record.instances.retain(|kept| !is_meant(kept));
                if record.instances.is_empty() {
                    return claim.remove();
                }
            }
            Action::Scale(count) => {
                let now = u32::try_from(record.instances.len()).unwrap_or(u32::MAX);
                let missing = count.saturating_sub(now);
                let ids = Numbers::lock(home)?.take(missing, None)?;
                let taken: Vec<_> = record.instances.iter().map(|kept| kept.instance).collect();
                for (instance, id) in Instance::free(&taken).zip(ids) {
                    record.instances.push(Kept::new(id, instance, Rest::Runs));
                    runs = true;
                }
                record.instances.sort_by_key(|kept| kept.instance);
                record
                    .instances
                    .truncate(usize::try_from(*count).unwrap_or(usize::MAX));
                record.app.instances = *count;
            }
            Action::Reset => {
                for kept in record.instances.iter_mut().filter(|kept| is_meant(kept)) {
                    kept.restarts = 0;
                    kept.unstable = 0;
                }
            }
            // The next start uses this version.
            Action::Update(_) => {}
            Action::Signal(_) | Action::Send(_) => {
                bail!("no process of it runs: nothing was sent")
            }
        }
        claim.write(&record)?;
        if runs {
            Known { folder, record }.begin(claim, progress)?;
        }
        Ok(())
    }
}

impl Known {
    /// Starts a supervisor for what is written in the record, and waits until all is up.
    ///
    /// # Errors
    /// If it cannot be started, or not all comes up.
    pub(crate) fn begin(
        &self,
        claim: Claim,
        progress: &mut dyn FnMut(Event),
    ) -> anyhow::Result<()> {
        self.prepare(&claim)?;
        launch(claim)?;
        let answer = || -> Result<Snapshot, Fault> {
            let socket = self.folder.connect().map_err(|_| Fault::Gone)?;
            Connection::ask(socket, Request::Await)?
                .wait_for(patience(&self.record))?
                .finish(&mut *progress)
        };
        match { answer }() {
            Ok(_) => Ok(()),
            // It was over before it could be asked.
            Err(Fault::Gone) => self.ended_well(),
            Err(fault) => Err(fault.into()),
        }
    }
}

impl Known {
    /// Runs what the app wants to have run before its first instance starts. Meanwhile, and if it fails,
    /// the app is stopped.
    fn prepare(&self, claim: &Claim) -> anyhow::Result<()> {
        let starts = |kept: &Kept| kept.rest == Rest::Runs && !kept.waits;
        let starts = self.record.instances.iter().any(starts);
        if !starts || self.record.app.before_start.is_none() {
            return Ok(());
        }
        let mut stopped = self.record.clone();
        for kept in &mut stopped.instances {
            kept.set_rest(Rest::Stopped);
        }
        claim.write(&stopped)?;
        hook::before_start(&self.record.app)?;
        claim.write(&self.record)
    }

    /// The app as it is when no command ends or starts its supervisor any more; `None` if it is
    /// deleted then.
    ///
    /// # Errors
    /// If its supervisor says nothing, or that takes too long.
    pub(crate) fn standing(&self) -> anyhow::Result<Option<Standing>> {
        let name = &self.record.app.name;
        let until = Instant::now() + IN_BETWEEN + patience(&self.record);
        loop {
            let standing = |runs| {
                let record = self.folder.record().unwrap_or_else(|_| self.record.clone());
                let folder = self.folder.clone();
                let known = Self { folder, record };
                Ok(Some(Standing { known, runs }))
            };
            match self.ask() {
                Ok(snapshot) if !snapshot.leaves => return standing(snapshot.is_to_run()),
                Ok(_) | Err(Fault::Gone | Fault::Leaving(_)) => {}
                // It is there; another version may know less.
                Err(Fault::Refused(_)) => return standing(true),
                Err(fault @ (Fault::Hangs | Fault::Suspended(_) | Fault::Broken(_))) => {
                    return Err(anyhow::Error::new(fault));
                }
            }
            if let Some(claim) = self.folder.claim(A_TRY)? {
                if self.folder.exists() {
                    return standing(false);
                }
                claim.remove()?;
            }
            if !self.folder.exists() {
                return Ok(None);
            }
            if Instant::now() > until {
                bail!("{name}: another command starts or ends it, and is still not done");
            }
        }
    }

    /// The app has ended by itself; whether that is as it should be. What is not is told as its
    /// supervisor would have told it.
    fn ended_well(&self) -> anyhow::Result<()> {
        let Ok(record) = self.folder.record() else {
            // Deleted in the meantime.
            return Ok(());
        };
        let faults: Vec<_> = record
            .instances
            .iter()
            .map(|it| fault(&record, it))
            .collect();
        let all_broken = faults.iter().all(Option::is_some);
        let faults: Vec<_> = faults.into_iter().flatten().collect();
        if faults.is_empty() {
            return Ok(());
        }
        let refusal = Refusal::of_start(faults.join("\n"), all_broken);
        Err(anyhow::Error::new(Fault::Refused(refusal)))
    }
}

/// What went wrong with an instance that runs no more.
fn fault(record: &Record, kept: &Kept) -> Option<String> {
    let (app, instance) = (&record.app, kept.instance);
    let name = format!("{}-{instance}", app.name);
    if let Some(reason) = &kept.not_started {
        return Some(format!("{name} could not be started: {reason}"));
    }
    let how = match kept.exit? {
        Exit::Code(code) if code == 0 || app.restart.stop_exit_codes.contains(&code) => {
            return None;
        }
        Exit::Code(code) => format!("has exited with code {code}"),
        Exit::Signal(signal) => format!("was killed by {}", signal_name(signal)),
    };
    let see_logs = app.see_logs();
    (kept.rest != Rest::Runs).then(|| format!("{name} {how} before it was up{see_logs}"))
}

/// How long a supervisor may be silent during what takes time.
pub(super) fn patience(record: &Record) -> Duration {
    let app = &record.app;
    let one = app.drain_timeout + app.kill_timeout + app.listen_timeout;
    let count = u32::try_from(record.instances.len()).unwrap_or(1).max(1);
    one.saturating_mul(count)
}
