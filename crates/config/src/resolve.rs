//! From what the user wrote to an app in which nothing means "default" any more. The defaults are
//! all in this file.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::app::{App, Balance, Description, ExecMode, Interpreter, Policy};
use super::called;
use super::concerns;
use super::environment::{self, Environment, FilterEnv};
use super::fields::Entry;
use super::identity;
use super::interpreter::{self, Program};
use super::kind::{Bytes, LogTarget, Millis, MinUptime, Patterns, Schedule, Watched};
use super::metrics::MetricsAddress;
use super::paths::{expand_home, plain_path, without_detours};
use super::programs::{Places, takes_no_library};
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
    let cwd = match &entry.cwd {
        Some(cwd) => {
            let cwd = context.folder.join(expand_home(cwd, context));
            let found = fs::metadata(&cwd).with_context(|| format!("cwd: {}", told(&cwd)))?;
            if !found.is_dir() {
                bail!("cwd: {} is not a folder", told(cwd));
            }
            plain_path(&cwd)
        }
        None => context.folder.to_owned(),
    };
    let script = expand_home(Path::new(&script), context).into_os_string();
    let name = called::name(&entry, &script, context.env_name)?;
    let namespace = called::namespace(&entry)?;
    let rights = identity::rights(entry.uid.as_ref(), entry.gid.as_ref())?;
    let user = rights.as_ref().and_then(|rights| rights.user.as_ref());
    let exec_mode = entry.exec_mode.unwrap_or(match entry.instances {
        Some(_) => ExecMode::Cluster,
        // Requests come over sockets that are the app's.
        None if entry.per == Some(Per::Request) => ExecMode::Cluster,
        None => ExecMode::Fork,
    });
    concerns::check(&entry, exec_mode, &mut warnings)?;
    let requests = Requests::resolve(&entry, &cwd)?;
    let mut own_env = variables::own(&entry, user, &cwd, context, &mut warnings)?;
    let program = program(&entry, &script, &cwd, &own_env, context, &mut warnings)?;
    let python = |interpreter: &Interpreter| is_called(interpreter, "python");
    if program.interpreter.as_ref().is_some_and(python) {
        // Else what it prints is seen only when 8 kB have come together.
        let unbuffered = own_env.entry("PYTHONUNBUFFERED".into());
        unbuffered.or_insert_with(|| "1".into());
    }
    let filter_env = entry
        .filter_env
        .unwrap_or(FilterEnv::Containing(Vec::new()));
    let inherited = context.inherited.iter();
    let inherited = inherited.map(|(name, value)| (name.clone(), value.clone()));
    let env = environment::compose(inherited, &filter_env, &own_env);

    let instances = entry.instances.unwrap_or(Instances::Exactly(1));
    let instances = instances.count(context.processors);
    let place = |target: &Option<LogTarget>, default: Place| match target {
        None => default,
        Some(LogTarget::Nowhere) => Place::Nowhere,
        Some(LogTarget::Home) => Place::Home,
        Some(LogTarget::File(path)) => {
            Place::File(plain_path(&cwd.join(expand_home(Path::new(path), context))))
        }
    };
    let millis = |time: Option<Millis>, default| time.map_or(default, |Millis(time)| time);
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
        increment_var: entry.increment_var.filter(|name| !name.is_empty()),
        instance_var: entry
            .instance_var
            .unwrap_or_else(|| INSTANCE_VAR.to_owned()),
        restart: Restart {
            auto: entry.autorestart.unwrap_or(true),
            autostart: entry.autostart.unwrap_or(true),
            max_unstable: entry.max_restarts.unwrap_or(MAX_RESTARTS),
            min_uptime: entry.min_uptime.map_or(MIN_UPTIME, |MinUptime(time)| time),
            pause: pause(entry.restart_delay, entry.exp_backoff_restart_delay),
            stop_exit_codes: entry
                .stop_exit_codes
                .map_or(BTreeSet::new(), |codes| codes.0),
        },
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
        // As in pm2, 0 is no limit.
        max_memory: entry
            .max_memory_restart
            .map(|Bytes(bytes)| bytes)
            .filter(|it| *it > 0),
        cron: match entry.cron_restart {
            Some(Schedule::At(pattern)) => {
                let zone = entry.cron_timezone.unwrap_or_default();
                Some(Cron::new(&pattern, &zone).context("cron_restart")?)
            }
            Some(Schedule::Off) | None => None,
        },
        watch: watch(
            entry.watch,
            entry.ignore_watch,
            entry.watch_options,
            entry.watch_delay.map_or(WATCH_DELAY, |delay| delay.0),
            &cwd,
        ),
        logs: Logs {
            out: place(&entry.out_file, Place::Home),
            err: place(&entry.error_file, Place::Home),
            combined: place(&entry.log_file, Place::Nowhere),
            merge: entry
                .merge_logs
                .unwrap_or(exec_mode == ExecMode::Fork && instances == 1),
            disabled: entry.disable_logs.unwrap_or(false),
            date_format: match (entry.log_date_format, entry.time) {
                (Some(format), _) => format,
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
        },
        pid_file: place(&entry.pid_file, Place::Home),
        metrics: entry.metrics.map(|MetricsAddress(address)| address),
        identity: rights.map(|rights| rights.identity),
        balance: Balance {
            policy: entry.balance.unwrap_or(Policy::NextAvailable),
            queue: match entry.queue {
                Some(0) => bail!("queue: at least one connection has to have a place to wait"),
                Some(queue) => usize::try_from(queue).unwrap_or(usize::MAX),
                None => QUEUE,
            },
            patience: millis(entry.queue_timeout, PATIENCE),
            max_connections: entry.max_connections.filter(|most| *most > 0),
        },
        requests,
        private_ports: entry.private_ports.map_or(Vec::new(), |ports| ports.0),
        private_paths: entry.private_paths.map_or(Vec::new(), |paths| paths.0),
        privileged_ports: entry.privileged_ports.map_or(Vec::new(), |ports| ports.0),
        pass_through: false,
        described: Some(Box::new(described)),
        cwd,
    };
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
    Ok(Resolved {
        app,
        warnings,
        force: entry.force.unwrap_or(false),
        interpreter_reason: program.reason,
    })
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

/// What is executed, with all its arguments. Programs are looked for in the app's own PATH, where
/// it has one.
fn program(
    entry: &Entry,
    script: &OsStr,
    cwd: &Path,
    own_env: &Environment,
    context: &Surroundings,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Program> {
    let path = OsStr::new("PATH");
    let path = own_env.get(path).or_else(|| context.inherited.get(path));
    let places = Places {
        cwd,
        path: path.map_or(OsStr::new(""), OsString::as_os_str),
    };
    let args = entry.args.clone().unwrap_or_default().0;
    let text = script.to_str().unwrap_or("");
    let serves = own_env
        .keys()
        .find(|name| name.as_bytes().starts_with(b"PM2_SERVE_"));
    if let (Some(variable), "serve") = (serves, text) {
        bail!(
            "script: serve with {} is pm2's own file server, which is not here, and another \
             program of this name would serve another folder; run a file server, and give it the \
             folder and the port in args",
            told(variable)
        );
    }
    if text.contains(char::is_whitespace) && !cwd.join(script).exists() {
        let interpreter = entry.interpreter.as_deref().unwrap_or("none");
        if interpreter != "none" || entry.interpreter_args.is_some() {
            let note = "interpreter and interpreter_args do nothing: the script is a command line, \
                        which a shell runs";
            warnings.push(note.to_owned());
        }
        return command_line(text, args, &places);
    }
    let interpreter_args = entry.interpreter_args.clone().unwrap_or_default().0;
    let interpreter = entry.interpreter.as_deref().filter(|it| !it.is_empty());
    let interpreter = interpreter.map(|it| expand_home(Path::new(it), context));
    let interpreter = interpreter.as_ref().map(|it| it.to_string_lossy());
    let mut program =
        interpreter::resolve(script, &places, interpreter.as_deref(), &interpreter_args)?;
    warnings.extend(program.warning.take());
    program.args.extend(args);
    program.script = without_detours(program.script);
    if let Some(interpreter) = &mut program.interpreter {
        let maps = || {
            let mut path = program.script.clone().into_os_string();
            path.push(".map");
            Path::new(&path).is_file()
        };
        if is_called(interpreter, "node") && entry.source_map_support.unwrap_or_else(maps) {
            interpreter.args.insert(0, "--enable-source-maps".into());
        }
    }
    Ok(program)
}

/// A whole command line, for a shell.
fn command_line(line: &str, args: Vec<OsString>, places: &Places) -> anyhow::Result<Program> {
    let shell = ["bash", "sh"].iter().find_map(|shell| places.find(shell));
    let Some(shell) = shell else {
        bail!("there is no shell in PATH that could run {}", told(line));
    };
    let mut all = vec![OsString::from("-c")];
    if args.is_empty() {
        all.push(line.into());
    } else {
        all.push(format!("{line} \"$@\"").into());
        all.push("sh".into());
        all.extend(args);
    }
    Ok(Program {
        script: shell,
        interpreter: None,
        args: all,
        reason: "a shell runs command lines".to_owned(),
        warning: None,
    })
}

fn is_called(interpreter: &Interpreter, name: &str) -> bool {
    let file = interpreter.path.file_name().and_then(OsStr::to_str);
    file.is_some_and(|file| file.starts_with(name))
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

/// The version in the nearest `package.json` at or above the script; empty where there is none.
fn version(script: &Path) -> String {
    /// Larger files are something else.
    const MOST: u64 = 1 << 20;
    let file = script
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("package.json"))
        .find(|path| {
            path.metadata()
                .is_ok_and(|it| it.is_file() && it.len() <= MOST)
        });
    let text = file.and_then(|path| std::fs::read(path).ok());
    let package: Option<serde_json::Value> =
        text.and_then(|text| serde_json::from_slice(&text).ok());
    let version = package
        .as_ref()
        .and_then(|package| package.get("version")?.as_str());
    let version = version.unwrap_or("").chars().filter(|c| !c.is_control());
    version.take(40).collect()
}
