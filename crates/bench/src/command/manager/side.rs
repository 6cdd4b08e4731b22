//! A process manager under measurement, with a home of its own in the scratch
//! folder. Its apps and its daemon end on drop, and on a signal.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde_json::Value;

use crate::scratch::Scratch;
use crate::{child, tools, tree};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Maitred,
    Pm2,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Maitred => "maitred",
            Self::Pm2 => "pm2",
        }
    }

    pub(crate) fn program(self, maitred: Option<&Path>) -> Result<PathBuf> {
        match self {
            Self::Maitred => tools::maitred(maitred),
            Self::Pm2 => tools::find("pm2"),
        }
    }
}

pub(crate) struct Side {
    pub(crate) kind: Kind,
    program: PathBuf,
    home: PathBuf,
}

impl Side {
    pub(crate) fn new(kind: Kind, maitred: Option<&Path>, scratch: &Scratch) -> Result<Self> {
        let side = Self {
            kind,
            program: kind.program(maitred)?,
            home: scratch.path().join(format!("{}-home", kind.name())),
        };
        child::run_at_end(side.command(["kill"]));
        Ok(side)
    }

    /// Runs a command; how long it took until it was back.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Duration> {
        self.run_with(args, &[])
    }

    /// The same, with further variables in the command's environment.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        variables: &[(&str, &str)],
    ) -> Result<Duration> {
        let begun = Instant::now();
        let command = self.begin(args, variables)?;
        self.ended(command)?;
        Ok(begun.elapsed())
    }

    /// Begins a command.
    pub(crate) fn begin<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        variables: &[(&str, &str)],
    ) -> Result<Child> {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().context("running the manager")
    }

    /// Waits until a command has ended, which has to be well.
    pub(crate) fn ended(&self, command: Child) -> Result<()> {
        let output = command.wait_with_output().context("running the manager")?;
        if !output.status.success() {
            bail!(
                "a command of {} {}: {}{}",
                self.kind.name(),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// The processes of all apps that are online.
    pub(crate) fn workers(&self) -> Result<Vec<Pid>> {
        let output = self.command(["jlist"]).output().context("running jlist")?;
        // pm2 may say before it that it has started its daemon.
        let text = String::from_utf8_lossy(&output.stdout);
        let json = text
            .lines()
            .find(|line| line.starts_with("[{") || *line == "[]")
            .context("finding the list in what jlist wrote")?;
        let list: Vec<Value> = serde_json::from_str(json).context("reading what jlist wrote")?;
        let pids = list
            .iter()
            .filter(|one| one["pm2_env"]["status"] == "online")
            .filter_map(|one| one["pid"].as_i64())
            .filter_map(|pid| i32::try_from(pid).ok())
            .filter(|&pid| pid > 0);
        Ok(pids.map(Pid::from_raw).collect())
    }

    /// The manager's own processes: pm2's daemon, and of maitred each app's
    /// supervisor and guard, which are the ancestors of its workers.
    pub(crate) fn managers(&self, workers: &[Pid]) -> Result<Vec<Pid>> {
        match self.kind {
            Kind::Pm2 => {
                let path = self.home.join("pm2.pid");
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                let pid = text.trim().parse().context("reading pm2's pid")?;
                Ok(vec![Pid::from_raw(pid)])
            }
            Kind::Maitred => Ok(tree::ancestors_that_run(&self.program, workers)),
        }
    }

    /// Ends all apps, and the manager.
    pub(crate) fn kill(&self) -> Result<()> {
        self.run(["kill"]).map(drop)
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("MAITRED_HOME", &self.home)
            .env("PM2_HOME", &self.home)
            .env("PATH", tools::search_path())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("warning: {} may still run: {error:#}", self.kind.name());
        }
    }
}
