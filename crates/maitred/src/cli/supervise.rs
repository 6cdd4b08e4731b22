//! `maitred supervise`: what `maitred run` is, in the background. Other commands start it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
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
use supervisor::keeper::{Guarded, Keeper};
use supervisor::output;
use supervisor::succession;
use supervisor::{self, Above, Supervisor};
use telemetry::metrics::Carried;

/// Supervise an app whose lock is handed over as standard input; standard output hears when it can
/// be asked, or what is wrong.
#[derive(Debug)]
pub(super) struct Supervise {
    /// The app's folder.
    folder: PathBuf,
    how: How,
}

/// How a guard begins.
#[derive(Debug)]
enum How {
    /// A command has started it.
    Started,
    /// It was another version of maitred, and goes on with what that had.
    Follows(String),
    /// It only says whether it could.
    IsTried,
}

impl Supervise {
    /// What a command line asks for, if it is this: `maitred supervise FOLDER`.
    pub(super) fn asked_for(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        words.next();
        let is_asked_for = words.next().is_some_and(|word| word == "supervise");
        let folder = words.next().filter(|_| is_asked_for)?.into();
        let how = match (words.next(), words.next(), words.next()) {
            (None, None, None) => How::Started,
            (Some(word), None, None) if word == succession::TRY => How::IsTried,
            (Some(word), Some(text), None) if word == succession::FOLLOW => {
                How::Follows(text.into_string().ok()?)
            }
            _ => return None,
        };
        Some(Self { folder, how })
    }

    pub(super) fn execute(self) -> anyhow::Result<u8> {
        match &self.how {
            How::Started => self.start(),
            How::Follows(what) => {
                let followed = succession::follow(what);
                let done = followed.and_then(|(keeper, lock, folder)| {
                    self.supervise((keeper, folder), lock, |_| {})
                });
                done.or_else(|error| {
                    note(&format!("maitred: {error:#}"));
                    Ok(1)
                })
            }
            How::IsTried => self.is_tried(),
        }
    }

    /// Says whether this program can go on with what another version hands over.
    fn is_tried(&self) -> anyhow::Result<u8> {
        let mut question = Vec::new();
        std::io::stdin()
            .read_to_end(&mut question)
            .context("reading standard input")?;
        let mut out = std::io::stdout();
        match succession::can_follow(&question, &self.folder) {
            Ok(()) => out.write_all(succession::CAN_FOLLOW.as_bytes())?,
            Err(error) => {
                write!(out, "{error:#}")?;
                return Ok(1);
            }
        }
        Ok(0)
    }

    fn start(&self) -> anyhow::Result<u8> {
        let lock = rustix::io::fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
        let starter = File::from(rustix::io::fcntl_dupfd_cloexec(stdio::stdout(), 3)?);
        let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .context("opening /dev/null")?;
        stdio::dup2_stdin(&nothing)?;
        stdio::dup2_stdout(&nothing)?;
        drop(nothing);
        let say = |text: &str| {
            // Who has started us may be gone.
            let _ = (&starter).write_all(text.as_bytes());
        };
        let begun = Keeper::new().and_then(|keeper| Ok((keeper, RuntimeFolder::create()?)));
        let done = begun.and_then(|begun| self.supervise(begun, lock, say));
        done.or_else(|error| {
            say(&format!("{error:#}"));
            note(&format!("maitred: {error:#}"));
            Ok(1)
        })
    }

    /// Supervises the app to its end. `say` writes to the command that started it.
    fn supervise(
        &self,
        (mut keeper, folder): (Keeper, RuntimeFolder),
        lock: OwnedFd,
        say: impl Fn(&str),
    ) -> anyhow::Result<u8> {
        let branch = Branch::claim();
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
            let guarded = Guarded {
                app: &self.folder,
                lock: &lock,
                runtime: &folder,
                branch: branch.as_ref(),
            };
            let Some(lifeline) = keeper.split(&guarded, note)? else {
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
                say(READY);
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
