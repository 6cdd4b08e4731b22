//! From what the user wrote to an app in which nothing means "default" any more. The defaults are
//! all in this file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::app::{App, Balance, Description, ExecMode, Interpreter, Policy};
use super::called;
use super::concerns;
use super::environment::{self, Environment, FilterEnv};
use super::execution::{is_called, program, version};
use super::fields::Entry;
use super::health::HealthCheck;
use super::identity;
use super::kind::{Bytes, LogTarget, Millis, MinUptime, Patterns, Schedule, Watched};
use super::metrics::MetricsAddress;
use super::paths::{expand_home, plain_path};
use super::programs::takes_no_library;
use super::requests::{Per, Requests};
use super::words::told;
use super::{Cron, Instances, LogFormat, Logs, Pause, Place, Restart, Rotation, Watch, variables};

pub const INSTANCE_VAR: &str = "NODE_APP_INSTANCE";
const MAX_RESTARTS: u32 = 16;
const MIN_UPTIME: Duration = Duration::from_secs(1);
/// The first pause before a restart, of those that an app has earned.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const KILL_TIMEOUT: Duration = Duration::from_millis(1600);
/// Longer than pm2's 3 s: to exceed it is a failure here.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(30);
const WATCH_DELAY: Duration = Duration::from_millis(200);
const NOT_WATCHED: [&str; 2] = ["node_modules", ".*"];
/// What `time` stands for.
const DATE_FORMAT: &str = "YYYY-MM-DDTHH:mm:ss";
const LOG_SIZE: u64 = 10 << 20;
const LOG_COUNT: u32 = 10;
/// How many connections may wait for a worker; more stay in the kernel's backlog.
const QUEUE: usize = 4096;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an app has that was recorded before there was the field.
pub(super) fn drain_timeout() -> Duration {
    DRAIN_TIMEOUT
}

/// What an app's fields are seen against.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Where relative paths start: the folder of the config file, or the current one.
    pub folder: &'a Path,
    /// The environment of whoever starts the app.
    pub inherited: &'a Environment,
    /// The set of variables that was chosen.
    pub env_name: Option<&'a str>,
    /// How many processors there are.
    pub processors: u32,
}

/// An app, with what the user should be told.
#[derive(Debug)]
pub struct Resolved {
    pub app: App,
    pub warnings: Vec<String>,
    /// It is to be started even if it runs already.
    pub force: bool,
    /// Why its interpreter, or none, runs it.
    pub interpreter_reason: String,
}

/// Resolves one entry.
///
/// # Errors
/// Says what is missing or does not fit together, and what would help.
pub fn resolve(entry: Entry, context: &Surroundings) -> anyhow::Result<Resolved> {
    let mut warnings = Vec::new();
    let described = describe(&entry, context);
    let Some(script) = entry.script.clone() else {
        bail!("it has no script: name what to run");
    };
    let cwd = folder(entry.cwd.as_deref(), context)?;
    let script = expand_home(Path::new(&script), context).into_os_string();
    let name = called::name(&entry, &script, context.env_name)?;
    let namespace = called::namespace(&entry)?;
    let rights = identity::rights(entry.uid.as_ref(), entry.gid.as_ref())?;
    let user = rights.as_ref().and_then(|rights| rights.user.as_ref());
    let exec_mode = exec_mode(&entry);
    concerns::check(&entry, exec_mode, &mut warnings)?;
    let requests = Requests::resolve(&entry, &cwd)?;
    let mut own_env = variables::own(&entry, user, &cwd, context, &mut warnings)?;
    let program = program(&entry, &script, &cwd, &own_env, context, &mut warnings)?;
    show_output_at_once(program.interpreter.as_ref(), &mut own_env);
    let inherited = context.inherited.iter();
    let inherited = inherited.map(|(name, value)| (name.clone(), value.clone()));
    let filter_env = entry.filter_env.clone();
    let filter_env = filter_env.unwrap_or(FilterEnv::Containing(Vec::new()));
    let env = environment::compose(inherited, &filter_env, &own_env);

    let instances = entry.instances.unwrap_or(Instances::Exactly(1));
    let instances = instances.count(context.processors);
    let files = Files { cwd: &cwd, context };
    let app = App {
        name,
        namespace,
        version: version(&program.script),
        script: program.script,
        interpreter: program.interpreter,
        args: program.args,
        env,
        own_env,
        filter_env,
        instances,
        exec_mode,
        increment_var: entry.increment_var.clone().filter(|name| !name.is_empty()),
        instance_var: entry
            .instance_var
            .clone()
            .unwrap_or_else(|| INSTANCE_VAR.to_owned()),
        restart: restart(&entry),
        depends_on: entry.depends_on.clone().map_or(Vec::new(), |it| it.0),
        before_start: entry.before_start.clone().filter(|it| !it.is_empty()),
        before_reload: entry.before_reload.clone().filter(|it| !it.is_empty()),
        drain_timeout: millis(entry.drain_timeout, DRAIN_TIMEOUT),
        drain_delay: millis(entry.drain_delay, Duration::ZERO),
        kill_timeout: millis(entry.kill_timeout, KILL_TIMEOUT),
        kill_signal: match entry.kill_signal {
            Some(signal) => signal,
            None => variables::kill_signal(context, &mut warnings),
        },
        treekill: entry.treekill.unwrap_or(true),
        shutdown_with_message: entry
            .shutdown_with_message
            .unwrap_or_else(|| variables::kill_by_message(context)),
        wait_ready: entry.wait_ready.unwrap_or(false),
        listen_timeout: millis(entry.listen_timeout, LISTEN_TIMEOUT),
        hang_timeout: millis(entry.hang_timeout, Duration::ZERO),
        health: entry.health.as_ref().and_then(HealthCheck::resolved),
        max_memory: max_memory(&entry),
        cron: cron(&entry)?,
        cron_overlap: entry.cron_overlap.unwrap_or_default(),
        logs: logs(
            &entry,
            &files,
            exec_mode == ExecMode::Fork && instances == 1,
        ),
        pid_file: files.place(entry.pid_file.as_ref(), Place::Home),
        metrics: entry.metrics.map(|MetricsAddress(address)| address),
        identity: rights.map(|rights| rights.identity),
        balance: balance(&entry)?,
        requests,
        watch: watch(
            entry.watch,
            entry.ignore_watch,
            entry.watch_options,
            entry.watch_delay.map_or(WATCH_DELAY, |delay| delay.0),
            &cwd,
        ),
        private_ports: entry.private_ports.map_or(Vec::new(), |ports| ports.0),
        private_paths: entry.private_paths.map_or(Vec::new(), |paths| paths.0),
        privileged_ports: entry.privileged_ports.map_or(Vec::new(), |ports| ports.0),
        pass_through: false,
        described: Some(Box::new(described)),
        cwd,
    };
    can_have_the_library(&app)?;
    Ok(Resolved {
        app,
        warnings,
        force: entry.force.unwrap_or(false),
        interpreter_reason: program.reason,
    })
}

/// Has Python write what is printed at once; else it is seen only when 8 kB have come together.
fn show_output_at_once(interpreter: Option<&Interpreter>, own_env: &mut Environment) {
    if interpreter.is_some_and(|it| is_called(it, "python")) {
        let unbuffered = own_env.entry("PYTHONUNBUFFERED".into());
        unbuffered.or_insert_with(|| "1".into());
    }
}

fn max_memory(entry: &Entry) -> Option<u64> {
    // As in pm2, 0 is no limit.
    let Bytes(bytes) = entry.max_memory_restart?;
    Some(bytes).filter(|it| *it > 0)
}

/// The folder that an app runs in.
fn folder(cwd: Option<&Path>, context: &Surroundings) -> anyhow::Result<PathBuf> {
    let Some(cwd) = cwd else {
        return Ok(context.folder.to_owned());
    };
    let cwd = context.folder.join(expand_home(cwd, context));
    let found = fs::metadata(&cwd).with_context(|| format!("cwd: {}", told(&cwd)))?;
    if !found.is_dir() {
        bail!("cwd: {} is not a folder", told(cwd));
    }
    Ok(plain_path(&cwd))
}

fn exec_mode(entry: &Entry) -> ExecMode {
    entry.exec_mode.unwrap_or(match entry.instances {
        Some(_) => ExecMode::Cluster,
        // Requests come over sockets that are the app's.
        None if entry.per == Some(Per::Request) => ExecMode::Cluster,
        None => ExecMode::Fork,
    })
}

fn millis(time: Option<Millis>, default: Duration) -> Duration {
    time.map_or(default, |Millis(time)| time)
}

fn restart(entry: &Entry) -> Restart {
    Restart {
        auto: entry.autorestart.unwrap_or(true),
        autostart: entry.autostart.unwrap_or(true),
        max_unstable: entry.max_restarts.unwrap_or(MAX_RESTARTS),
        min_uptime: entry.min_uptime.map_or(MIN_UPTIME, |MinUptime(time)| time),
        pause: pause(entry.restart_delay, entry.exp_backoff_restart_delay),
        stop_exit_codes: entry
            .stop_exit_codes
            .as_ref()
            .map_or(BTreeSet::new(), |codes| codes.0.clone()),
    }
}

fn cron(entry: &Entry) -> anyhow::Result<Option<Cron>> {
    match &entry.cron_restart {
        Some(Schedule::At(pattern)) => {
            let zone = entry.cron_timezone.clone().unwrap_or_default();
            Ok(Some(Cron::new(pattern, &zone).context("cron_restart")?))
        }
        Some(Schedule::Off) | None => Ok(None),
    }
}

/// Where the files of an app are.
struct Files<'a> {
    cwd: &'a Path,
    context: &'a Surroundings<'a>,
}

impl Files<'_> {
    fn place(&self, target: Option<&LogTarget>, default: Place) -> Place {
        match target {
            None => default,
            Some(LogTarget::Nowhere) => Place::Nowhere,
            Some(LogTarget::Home) => Place::Home,
            Some(LogTarget::File(path)) => {
                let path = expand_home(Path::new(path), self.context);
                Place::File(plain_path(&self.cwd.join(path)))
            }
        }
    }
}

/// Where the logs go, and how. With `merges` all instances share their files, unless the entry says otherwise.
fn logs(entry: &Entry, files: &Files<'_>, merges: bool) -> Logs {
    Logs {
        out: files.place(entry.out_file.as_ref(), Place::Home),
        err: files.place(entry.error_file.as_ref(), Place::Home),
        combined: files.place(entry.log_file.as_ref(), Place::Nowhere),
        merge: entry.merge_logs.unwrap_or(merges),
        disabled: entry.disable_logs.unwrap_or(false),
        date_format: match (&entry.log_date_format, entry.time) {
            (Some(format), _) => format.clone(),
            (None, Some(true)) => DATE_FORMAT.to_owned(),
            (None, _) => String::new(),
        },
        format: entry.log_type.unwrap_or(LogFormat::Raw),
        rotation: entry.log_rotate.unwrap_or(true).then(|| Rotation {
            size: entry.log_max_size.map_or(LOG_SIZE, |Bytes(bytes)| bytes),
            count: entry.log_retain.unwrap_or(LOG_COUNT),
            gzip: entry.log_compress.unwrap_or(false),
            interval: millis(entry.log_rotate_interval, Duration::ZERO),
        }),
    }
}

fn balance(entry: &Entry) -> anyhow::Result<Balance> {
    Ok(Balance {
        policy: entry.balance.unwrap_or(Policy::NextAvailable),
        queue: match entry.queue {
            Some(0) => bail!("queue: at least one connection has to have a place to wait"),
            Some(queue) => usize::try_from(queue).unwrap_or(usize::MAX),
            None => QUEUE,
        },
        patience: millis(entry.queue_timeout, PATIENCE),
        keep_alive: millis(entry.keep_alive_timeout, Duration::ZERO),
        max_connections: entry.max_connections.filter(|most| *most > 0),
    })
}

/// Refuses what needs the library for a program that takes none.
fn can_have_the_library(app: &App) -> anyhow::Result<()> {
    if let Some(wanted) = app.needs_library()
        && let Some(reason) = takes_no_library(app.program())
    {
        bail!(
            "{wanted}: {} {reason}, so maitred cannot give it its listening sockets, and this \
             needs them. Leave it out; NODE_APP_INSTANCE tells each instance its number, for a \
             port of its own",
            told(app.program())
        );
    }
    Ok(())
}

/// What an app is resolved from, to be kept.
fn describe(entry: &Entry, context: &Surroundings) -> Description {
    let mut entry = entry.clone();
    entry.force = None;
    entry
        .env_sets
        .retain(|name, _| Some(name.as_str()) == context.env_name);
    Description {
        entry,
        folder: context.folder.to_owned(),
        env_name: context.env_name.map(str::to_owned),
    }
}

fn pause(fixed: Option<Millis>, growing: Option<Millis>) -> Pause {
    match (fixed, growing) {
        // As in pm2, 0 does not switch it on, and with both the growing one counts.
        (_, Some(Millis(first))) if !first.is_zero() => Pause::Growing(first),
        (Some(Millis(pause)), _) => Pause::Fixed(pause),
        (None, _) => Pause::Earned(FIRST_PAUSE),
    }
}

fn watch(
    watched: Option<Watched>,
    ignore: Option<Patterns>,
    options: Option<super::kind::WatchOptions>,
    delay: Duration,
    cwd: &Path,
) -> Option<Watch> {
    let paths = match watched? {
        Watched::Nothing => return None,
        Watched::Folder => vec![cwd.to_owned()],
        Watched::These(paths) => {
            let paths = paths.iter().map(|path| plain_path(&cwd.join(path)));
            paths.collect()
        }
    };
    let (ignored, follow_links) = match options {
        Some(options) => (options.ignored, options.follow_links),
        None => (None, None),
    };
    // pm2 lets its watcher's own setting win.
    let ignore = ignored
        .or(ignore.map(|Patterns(patterns)| patterns))
        .unwrap_or_else(|| NOT_WATCHED.map(str::to_owned).to_vec());
    Some(Watch {
        paths,
        ignore,
        delay,
        follow_links: follow_links.unwrap_or(true),
    })
}
