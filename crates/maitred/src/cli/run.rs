//! `maitred run`: an app in the foreground.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::config::{
    self, App, ExecMode, FilterEnv, Instances, LogFormat, Logs, Pause, Place, Policy, Restart,
};
use crate::events::EventFile;
use crate::home::{Kept, Record, Rest, now_ms};
use crate::runtime_folder::RuntimeFolder;
use crate::supervisor::Supervisor;
use crate::{guard, output};

/// Run an app in the foreground: N copies of it, with its connections divided over them.
///
/// The app is not changed: it opens its port as ever. Ctrl-C stops everything.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to run: a script, whose interpreter follows from its name, or a program.
    pub(super) script: OsString,

    /// How many copies: a number, "max" or 0 for one a processor, -K for all processors but K.
    #[arg(short, long, value_name = "N|max|-K", allow_hyphen_values = true)]
    pub(super) instances: Option<Instances>,

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

    /// Which copy gets the next connection.
    #[arg(long, value_name = "POLICY", default_value = "next_available")]
    balance: Balance,

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
    /// The same client to the same copy.
    IpHash,
}

/// How many connections may wait for a worker; more stay in the kernel's backlog.
const QUEUE: usize = 4096;

/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run that is shorter than this is unstable.
const MIN_UPTIME: Duration = Duration::from_secs(1);

/// The first pause before a restart.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

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
        let app = self.resolve(Instances::AllBut(0))?;
        let folder = RuntimeFolder::create()?;
        let path = folder.path().to_owned();
        let supervised = || -> anyhow::Result<u8> {
            guard::split(folder.path())?;
            let output = output::Output::new(&app, events)?;
            let instances = (0..app.instances).map(|number| Kept::new(number, number, Rest::Runs));
            let record = Record {
                instances: instances.collect(),
                created_at: now_ms(),
                app,
            };
            Supervisor::new(record, None, folder, output)?.run(|| {})
        };
        let ended = supervised();
        let _ = std::fs::remove_dir_all(path);
        ended
    }

    /// The app that the user describes, with so many instances unless told.
    pub(super) fn resolve(self, instances: Instances) -> anyhow::Result<App> {
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
        let interpreter_args: Vec<_> = self
            .interpreter_args
            .iter()
            .flat_map(|args| args.split_whitespace().map(str::to_owned))
            .collect();
        let interpreter = self.interpreter.as_deref();
        let program = config::resolve(&self.script, &cwd, interpreter, &interpreter_args)?;
        let instances = self
            .instances
            .unwrap_or(instances)
            .count(config::processors());
        let filter_env = FilterEnv::Containing(Vec::new());
        let own_env = BTreeMap::new();
        Ok(App {
            name: self.name.unwrap_or_else(|| name_of(&self.script)),
            namespace: "default".to_owned(),
            script: program.script,
            interpreter: program.interpreter,
            args: [program.args, self.args].concat(),
            cwd,
            version: String::new(),
            env: config::compose(std::env::vars_os(), &filter_env, &own_env),
            own_env,
            filter_env,
            instances,
            exec_mode: ExecMode::Cluster,
            increment_var: None,
            instance_var: "NODE_APP_INSTANCE".to_owned(),
            restart: Restart {
                auto: !self.no_autorestart,
                autostart: true,
                max_unstable: self.max_restarts,
                min_uptime: MIN_UPTIME,
                pause: match self.restart_delay {
                    Some(delay) => Pause::Fixed(Duration::from_millis(delay)),
                    None => Pause::Growing(FIRST_PAUSE),
                },
                stop_exit_codes: BTreeSet::new(),
            },
            kill_timeout: Duration::from_millis(self.kill_timeout),
            treekill: true,
            shutdown_with_message: false,
            wait_ready: false,
            listen_timeout: Duration::from_secs(30),
            max_memory: None,
            cron: None,
            watch: None,
            logs: Logs {
                out: Place::Nowhere,
                err: Place::Nowhere,
                combined: Place::Nowhere,
                merge: false,
                disabled: true,
                date_format: String::new(),
                format: LogFormat::Raw,
                rotation: None,
            },
            pid_file: Place::Nowhere,
            identity: None,
            balance: config::Balance {
                policy: match self.balance {
                    Balance::NextAvailable => Policy::NextAvailable,
                    Balance::RoundRobin => Policy::RoundRobin,
                    Balance::IpHash => Policy::IpHash,
                },
                queue: QUEUE,
                patience: PATIENCE,
                max_connections: None,
            },
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
