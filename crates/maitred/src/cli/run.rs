//! `maitred run`: an app in the foreground.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::flags::RunFlags;
use crate::cgroup::Branch;
use crate::config::{self, App, Instances, LogTarget, Surroundings, Words};
use crate::events::EventFile;
use crate::home::{Kept, Record, Rest, now_ms};
use crate::runtime_folder::{self, RuntimeFolder};
use crate::supervisor::{self, Supervisor};
use crate::{guard, output};

/// Run an app in the foreground: N copies of it, with its connections divided over them.
///
/// The app is not changed: it opens its port as ever. Ctrl-C stops everything.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to run: a script, whose interpreter follows from its name, or a program.
    script: OsString,

    #[command(flatten)]
    flags: RunFlags,

    /// Show what was counted for each listener and worker, so often (every 10 seconds if no number
    /// is given) and at the end.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10"
    )]
    stats: Option<NonZeroU32>,

    /// Append what happens to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,

    /// Arguments for the script.
    #[arg(last = true)]
    args: Vec<OsString>,
}

impl Run {
    /// Runs the app until it ends or is stopped; the exit code.
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let events = match &self.events {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.with_context(|| format!("opening {}", path.display()))?;
                Some(EventFile::new(file))
            }
            None => None,
        };
        let stats = self
            .stats
            .map(|seconds| Duration::from_secs(seconds.get().into()));
        let app = self.resolve()?;
        let folder = RuntimeFolder::create()?;
        let path = folder.path().to_owned();
        let branch = Branch::claim();
        let supervised = || -> anyhow::Result<u8> {
            guard::split(folder.path(), branch.as_ref(), |sentence| {
                eprintln!("{sentence}")
            })?;
            supervisor::make_room();
            let output = output::Output::shown(&app, events)?;
            let instances = (0..app.instances).map(|number| Kept::new(number, number, Rest::Runs));
            let record = Record {
                instances: instances.collect(),
                created_at: now_ms(),
                app,
            };
            Supervisor::new(record, None, folder, branch, output)?
                .with_stats(stats)
                .run(|| {})
        };
        let ended = supervised();
        runtime_folder::remove(&path);
        ended
    }

    fn resolve(self) -> anyhow::Result<App> {
        let here = std::env::current_dir().context("finding the current folder")?;
        let mut entry = self.flags.entry;
        entry.script = Some(self.script);
        entry.args = Some(Words(self.args));
        entry.instances.get_or_insert(Instances::AllBut(0));
        // Its output goes to the terminal, and the process is at hand.
        entry.disable_logs = Some(true);
        entry.pid_file = Some(LogTarget::Nowhere);
        let surroundings = Surroundings {
            folder: &here,
            inherited: &std::env::vars_os().collect(),
            env_name: None,
            processors: config::processors(),
        };
        let mut app = config::resolve(entry, &surroundings)?.app;
        app.pass_through = app.instances == 1 && !app.restart.auto;
        Ok(app)
    }
}
