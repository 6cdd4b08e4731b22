//! `maitred run`: an app in the foreground.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use balance::RequestPolicy;
use clap::{Args, ValueEnum};

use super::requests::Requests;
use crate::config::{self, App, Instances, Restart};
use crate::events::EventFile;
use crate::runtime_folder::RuntimeFolder;
use crate::supervisor::Supervisor;
use crate::{guard, output};

/// Run an app in the foreground: N copies of it, with its connections divided over them.
///
/// The app is not changed: it opens its port as ever. Ctrl-C stops everything.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to run: a script, whose interpreter follows from its name, or a program.
    script: OsString,

    /// How many copies: a number, "max" or 0 for one a processor, -K for all processors but K.
    #[arg(
        short,
        long,
        value_name = "N|max|-K",
        default_value = "max",
        allow_hyphen_values = true
    )]
    instances: Instances,

    /// The app's name in output; by default the script's.
    #[arg(short, long)]
    name: Option<String>,

    /// The folder to run in; by default this one.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// The program that runs the script; "none" for the script itself.
    #[arg(long, value_name = "PROGRAM")]
    interpreter: Option<String>,

    /// Arguments for the interpreter, before the script; split at spaces.
    #[arg(
        long,
        alias = "node-args",
        value_name = "ARGS",
        allow_hyphen_values = true
    )]
    interpreter_args: Option<String>,

    #[command(flatten)]
    requests: Requests,

    /// Which copy gets the next connection, or request.
    #[arg(long, value_name = "POLICY", default_value = "next_available")]
    balance: Balance,

    /// How many connections a copy may have open at a time; more wait for the first that can.
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// How many connections may wait for a copy; more wait in the kernel's backlog.
    #[arg(long, value_name = "N", default_value = "4096")]
    queue: NonZeroUsize,

    /// How long a connection may wait for a copy before it is closed, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    queue_timeout: u64,

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

    /// How long a copy may take to stop before it is killed, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1600)]
    kill_timeout: u64,

    /// How many runs of less than a second, in a row, are tried again.
    #[arg(long, value_name = "N", default_value_t = 16)]
    max_restarts: u32,

    /// A fixed pause before each restart, in milliseconds, instead of one that grows.
    #[arg(long, value_name = "MS")]
    restart_delay: Option<u64>,

    /// Do not restart a copy that ends; end with the last one, with its exit code.
    #[arg(long)]
    no_autorestart: bool,

    /// A TCP port that each copy opens for itself, not shared (a debugger's, say). Repeatable.
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    private_port: Vec<u16>,

    /// Append what happens to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,

    /// Arguments for the script.
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// The policies by the names that users write.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Balance {
    /// The first that is free.
    NextAvailable,
    /// Strictly in turn.
    RoundRobin,
    /// The one with the fewest open connections.
    LeastConn,
    /// The same client to the same copy.
    IpHash,
    /// With --per request: a client to the copy that its cookie names.
    Sticky,
}

/// A run that is shorter than this is unstable.
const MIN_UPTIME: Duration = Duration::from_secs(1);

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
        let supervised = || -> anyhow::Result<u8> {
            guard::split(folder.path())?;
            let output = output::Output::new(&app, events)?;
            Supervisor::new(app, &folder, output)?
                .with_stats(stats)
                .run()
        };
        let ended = supervised();
        folder.remove();
        ended
    }

    fn resolve(self) -> anyhow::Result<App> {
        let here = std::env::current_dir().context("finding the current folder")?;
        let cwd = match self.cwd {
            Some(cwd) => {
                let cwd = here.join(cwd);
                if !cwd.is_dir() {
                    bail!("--cwd: {} is not a folder", cwd.display());
                }
                cwd
            }
            None => here,
        };
        let requests = self.requests.resolve(
            match self.balance {
                Balance::NextAvailable => RequestPolicy::NextAvailable,
                Balance::RoundRobin => RequestPolicy::RoundRobin,
                Balance::LeastConn => RequestPolicy::LeastConn,
                Balance::IpHash => RequestPolicy::IpHash,
                Balance::Sticky => RequestPolicy::Sticky,
            },
            self.queue.get(),
            self.queue_timeout.saturating_mul(1_000_000),
        );
        let interpreter_args: Vec<_> = self
            .interpreter_args
            .iter()
            .flat_map(|args| args.split_whitespace().map(str::to_owned))
            .collect();
        let interpreter = self.interpreter.as_deref();
        let program = config::resolve(&self.script, &cwd, interpreter, &interpreter_args)?;
        let instances = self.instances.count(config::processors());
        Ok(App {
            name: self.name.unwrap_or_else(|| name_of(&self.script)),
            program: program.path,
            args: [program.args, self.args].concat(),
            cwd,
            instances,
            restart: Restart {
                auto: !self.no_autorestart,
                max_unstable: self.max_restarts,
                min_uptime: MIN_UPTIME,
                delay: self.restart_delay.map(Duration::from_millis),
            },
            kill_timeout: Duration::from_millis(self.kill_timeout),
            balance: balance::Settings {
                policy: match self.balance {
                    Balance::NextAvailable => balance::Policy::NextAvailable,
                    Balance::RoundRobin => balance::Policy::RoundRobin,
                    Balance::LeastConn => balance::Policy::LeastConn,
                    Balance::IpHash => balance::Policy::IpHash,
                    // What is not a request goes to whoever is free.
                    Balance::Sticky if requests.is_some() => balance::Policy::NextAvailable,
                    Balance::Sticky => bail!(
                        "--balance sticky reads a cookie in each request: it needs --per request"
                    ),
                },
                queue: self.queue.get(),
                patience: self.queue_timeout.saturating_mul(1_000_000),
                max_connections: self.max_connections,
            },
            requests,
            private_ports: self.private_port,
            pass_through: instances == 1 && self.no_autorestart,
        })
    }
}

/// The script's name without folder and extension.
fn name_of(script: &OsString) -> String {
    let stem = Path::new(script).file_stem().unwrap_or(script);
    stem.to_string_lossy().into_owned()
}
