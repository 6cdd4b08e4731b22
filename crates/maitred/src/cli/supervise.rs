//! `maitred supervise`: what `maitred run` is, in the background. Other commands start it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Context;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags, open};
use rustix::stdio;

use crate::apps::READY;
use home::runtime_folder::{self, RuntimeFolder};
use home::{AppFolder, Claim};
use process::cgroup::Branch;
use supervisor::keeper::Keeper;
use supervisor::output;
use supervisor::{self, Above, Supervisor};
use telemetry::metrics::Carried;

/// Supervise an app whose lock is handed over as standard input; standard output hears when it can
/// be asked, or what is wrong.
#[derive(Debug)]
pub(super) struct Supervise {
    /// The app's folder.
    folder: PathBuf,
}

impl Supervise {
    /// What a command line asks for, if it is this: `maitred supervise FOLDER`.
    pub(super) fn asked_for(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        words.next();
        let is_asked_for = words.next().is_some_and(|word| word == "supervise");
        match (is_asked_for, words.next(), words.next()) {
            (true, Some(folder), None) => Some(Self {
                folder: folder.into(),
            }),
            _ => None,
        }
    }

    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let lock = rustix::io::fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
        let starter = File::from(rustix::io::fcntl_dupfd_cloexec(stdio::stdout(), 3)?);
        let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .context("opening /dev/null")?;
        stdio::dup2_stdin(&nothing)?;
        stdio::dup2_stdout(&nothing)?;
        drop(nothing);
        self.supervise(lock, &starter).or_else(|error| {
            // Who has started us may be gone.
            let _ = write!(&starter, "{error:#}");
            note(&format!("maitred: {error:#}"));
            Ok(1)
        })
    }

    fn supervise(self, lock: OwnedFd, starter: &File) -> anyhow::Result<u8> {
        let mut keeper = Keeper::new()?;
        let branch = Branch::claim();
        let folder = RuntimeFolder::create()?;
        loop {
            let claim = Claim::inherited(AppFolder::new(self.folder.clone()), lock.try_clone()?)?;
            let record = claim.folder().record()?;
            let mut counted = Carried::default();
            if keeper.has_lost_one() {
                // Without it the app runs as well.
                counted = claim.counted().unwrap_or_else(|error| {
                    note(&format!("counters begin anew: {error:#}"));
                    Carried::default()
                });
            } else {
                claim
                    .forget_counted()
                    .context("removing what was counted")?;
            }
            let Some(lifeline) = keeper.split(folder.path(), branch.as_ref(), note)? else {
                continue;
            };
            // The guard's, in a table of descriptors that is both's.
            std::mem::forget(lock);
            supervisor::make_room();
            let output = output::Output::kept(&record.app)?;
            let path = folder.path().to_owned();
            let ready = || {
                keeper.is_ready();
                // Who has started the app has heard it already, if another supervisor was killed.
                let _ = (&*starter).write_all(READY.as_bytes());
            };
            let above = Above::Keeper(Box::new(lifeline));
            let code = Supervisor::new(record, Some(claim), folder, branch, output, above)?
                .with_counted(counted)
                .run(ready);
            runtime_folder::remove(&path);
            return code;
        }
    }
}

/// Writes to the app's own log, which is our standard error.
fn note(sentence: &str) {
    eprint!("{}", logs::stamped(sentence, Timestamp::now()));
}
