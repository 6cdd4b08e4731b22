//! One app, resolved: what a supervisor needs to know to run it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::recreating;
use super::encode::{millis, os, os_list, os_map};
use super::environment::FilterEnv;
use super::fields::Entry;
use super::health::Health;
use super::{Cron, Dependency, KillSignal, Logs, Overlap, Place, Requests, Restart, Watch};
use safe_files::Rights;

/// One app, ready to run. Paths are absolute, and nothing here means "default" any more.
///
/// It is kept as JSON, and given to supervisors in this form. What a version adds has a default
/// for reading, so that the files of an earlier one can still be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// How it is called.
    pub name: String,
    /// The group that it belongs to; "default" for those without.
    pub namespace: String,
    /// What is run: a script, or a program.
    #[serde(with = "os")]
    pub script: PathBuf,
    /// The program that runs the script; `None` where the script runs itself.
    pub interpreter: Option<Interpreter>,
    /// The script's arguments.
    #[serde(with = "os_list")]
    pub args: Vec<OsString>,
    #[serde(with = "os")]
    pub cwd: PathBuf,
    /// The version in the nearest `package.json`; empty where there is none.
    pub version: String,
    /// The environment of a worker, complete but for what [`App::instance_env`] and the
    /// supervisor add.
    #[serde(with = "os_map")]
    pub env: BTreeMap<OsString, OsString>,
    /// What of it the user wrote for this app; the rest was inherited.
    #[serde(with = "os_map")]
    pub own_env: BTreeMap<OsString, OsString>,
    /// What is not inherited.
    pub filter_env: FilterEnv,
    /// How many processes; at least one.
    pub instances: u32,
    pub exec_mode: ExecMode,
    /// A variable that each instance gets: the number in its place in [`App::env`] (or 0) plus
    /// the instance's own.
    pub increment_var: Option<String>,
    /// The variable that holds an instance's number.
    pub instance_var: String,
    pub restart: Restart,
    /// What has to be there before it starts.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// A command line that runs before the first instance starts.
    #[serde(default)]
    pub before_start: Option<String>,
    /// One that runs before a reload.
    #[serde(default)]
    pub before_reload: Option<String>,
    /// How long a process that another one replaces may serve on before it is asked to end.
    #[serde(with = "millis", default = "super::resolve::drain_timeout")]
    pub drain_timeout: Duration,
    /// How long newcomers are served after SIGTERM, while the app says that it is not ready.
    #[serde(with = "millis", default)]
    pub drain_delay: Duration,
    /// From the first signal to SIGKILL.
    #[serde(with = "millis")]
    pub kill_timeout: Duration,
    /// That first signal.
    #[serde(default)]
    pub kill_signal: KillSignal,
    /// Whether a stop asks all processes of an instance to end, or its first one alone.
    pub treekill: bool,
    /// A stop sends "shutdown" over Node's IPC channel, and no signal.
    pub shutdown_with_message: bool,
    /// An instance is up when it has sent "ready" over Node's IPC channel, not before.
    pub wait_ready: bool,
    /// How long an instance may take until it is up.
    #[serde(with = "millis")]
    pub listen_timeout: Duration,
    /// An instance that uses more bytes than this is restarted.
    pub max_memory: Option<u64>,
    /// An instance whose event loop stands still for longer than this is replaced; none is if it is zero.
    #[serde(with = "millis", default)]
    pub hang_timeout: Duration,
    /// How each instance is checked.
    #[serde(default)]
    pub health: Option<Health>,
    /// When all instances are restarted.
    pub cron: Option<Cron>,
    /// What the calendar does with a job that still runs.
    #[serde(default)]
    pub cron_overlap: Overlap,
    pub watch: Option<Watch>,
    pub logs: Logs,
    /// Where each instance's pid is written.
    pub pid_file: Place,
    /// Where its metrics are served.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Whose rights the processes have; `None` for the supervisor's own.
    pub identity: Option<Identity>,
    pub balance: Balance,
    /// Each request is placed by itself; `None` where each connection is.
    #[serde(default)]
    pub requests: Option<Requests>,
    /// TCP ports that each worker opens for itself.
    pub private_ports: Vec<u16>,
    /// Unix sockets that each worker opens for itself.
    #[serde(default)]
    pub private_paths: Vec<String>,
    /// TCP ports that workers may listen on although only root may.
    #[serde(default)]
    pub privileged_ports: Vec<u16>,
    /// One instance without restart: its input and output are the caller's.
    pub pass_through: bool,
    /// What it was resolved from, so that single settings can be changed later; `None` in what an
    /// earlier version has kept.
    #[serde(default)]
    pub described: Option<Box<Description>>,
}

/// An app as its user described it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The fields of its config file, with the flags over them. Of the sets of variables it has the
    /// chosen one alone.
    pub(crate) entry: Entry,
    /// Where relative paths start.
    #[serde(with = "os")]
    pub(crate) folder: PathBuf,
    /// The set of variables that was chosen.
    pub(crate) env_name: Option<String>,
}

impl App {
    /// What the calendar does while a run goes on, if the app is a job: the calendar starts its runs, and
    /// nothing follows when one ends.
    pub fn job(&self) -> Option<Overlap> {
        (self.cron.is_some() && !self.restart.auto).then_some(self.cron_overlap)
    }

    /// With whose rights the files that it names are used.
    pub fn file_rights(&self) -> Rights {
        Rights::of(self.identity.as_ref().map(sys::Identity::from))
    }

    /// The field in which the patterns stand that keep files from being watched.
    pub fn ignoring_field(&self) -> &'static str {
        let described = self.described.as_ref();
        let options = described.and_then(|it| it.entry.watch_options.as_ref());
        match options.and_then(|options| options.ignored.as_ref()) {
            Some(_) => "watch_options.ignored",
            None => "ignore_watch",
        }
    }

    /// Whether a supervisor that runs this app can take the other description of it over: these
    /// things it keeps as long as it lives.
    pub fn can_become(&self, other: &Self) -> bool {
        self.exec_mode == other.exec_mode
            && self.balance == other.balance
            && self.requests == other.requests
            && self.private_ports == other.private_ports
            && self.private_paths == other.private_paths
            && (!self.has_access_log() || self.logs.rotation == other.logs.rotation)
            && self.identity == other.identity
            && self.privileged_ports == other.privileged_ports
            // With another user's rights, the port in the environment is one of them.
            && (self.identity.is_none() || self.privileged_ports() == other.privileged_ports())
    }

    /// What keeps a supervisor that runs this app from taking the other description of it over: "a
    /// changed queue".
    pub fn changed_for_good(&self, other: &Self) -> String {
        let described = (&self.described, &other.described);
        let mut fields = match described {
            (Some(now), Some(then)) => recreating(&now.entry, &then.entry),
            _ => Vec::new(),
        };
        // The first change by flags writes down which mode follows from the other fields.
        fields.retain(|name| *name != "exec_mode" || self.exec_mode != other.exec_mode);
        if !fields.is_empty() {
            return format!("a changed {}", fields.join(", "));
        }
        if self.has_access_log() && self.logs.rotation != other.logs.rotation {
            return "another rotation of the access log".to_owned();
        }
        if self.identity.is_some() && self.privileged_ports() != other.privileged_ports() {
            return "another privileged PORT".to_owned();
        }
        "a setting that changes with the supervisor (exec_mode, per, balance, ports, users)"
            .to_owned()
    }

    /// The app's own variables that were given as a number, true or false, with that value.
    pub fn given_values(&self) -> BTreeMap<&str, Value> {
        let Some(described) = &self.described else {
            return BTreeMap::new();
        };
        let chosen = described.env_name.as_ref();
        let chosen = chosen.and_then(|name| described.entry.env_sets.get(name));
        let sets = described.entry.env.iter().chain(chosen);
        let given = sets.flat_map(|set| set.0.iter());
        let given = given.map(|(name, value)| (name.as_str(), value.clone()));
        let port = described.entry.port.map(|port| ("PORT", port.into()));
        given.chain(port).collect()
    }

    fn has_access_log(&self) -> bool {
        let requests = self.requests.as_ref();
        requests.is_some_and(|requests| requests.access_log.is_some())
    }

    /// What was asked for that cannot be had of a program which is not given its sockets.
    pub fn needs_library(&self) -> Option<&'static str> {
        if self.exec_mode != ExecMode::Cluster {
            None
        } else if self.requests.is_some() {
            Some("per: request")
        } else if self
            .health
            .as_ref()
            .is_some_and(Health::goes_over_listeners)
        {
            Some("health")
        } else {
            let limited = self.balance.max_connections.is_some();
            limited.then_some("max_connections")
        }
    }

    /// Ports that workers may listen on although only root may: those that were named.
    pub fn privileged_ports(&self) -> Vec<u16> {
        let port = self.env.get(OsStr::new("PORT"));
        let port = port.and_then(|port| port.to_str()?.parse().ok());
        self.privileged_ports.iter().copied().chain(port).collect()
    }

    /// What to do to find out why an instance has ended, as the end of a sentence.
    pub fn see_logs(&self) -> String {
        if self.logs.disabled {
            return String::new();
        }
        format!("; `maitred logs {}` shows what it wrote", self.name)
    }

    /// The program to execute.
    pub fn program(&self) -> &Path {
        match &self.interpreter {
            Some(interpreter) => &interpreter.path,
            None => &self.script,
        }
    }

    /// The program's arguments: the interpreter's, the script, and the script's own.
    pub fn program_args(&self) -> impl Iterator<Item = &OsStr> {
        let interpreter = self.interpreter.iter();
        let before = interpreter.flat_map(|interpreter| {
            let args = interpreter.args.iter().map(OsString::as_os_str);
            args.chain([self.script.as_os_str()])
        });
        before.chain(self.args.iter().map(OsString::as_os_str))
    }
}

/// The program that runs a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    #[serde(with = "os")]
    pub path: PathBuf,
    /// Its own arguments, before the script.
    #[serde(with = "os_list")]
    pub args: Vec<OsString>,
}

/// Whose listening sockets the instances use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// Each its own.
    Fork,
    /// They share those of the app.
    Cluster,
}

/// The rights of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// All groups of the user, `gid` among them.
    pub(crate) groups: Vec<u32>,
}

impl From<&Identity> for sys::Identity {
    fn from(identity: &Identity) -> Self {
        Self {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
        }
    }
}

/// How connections are divided over the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub policy: Policy,
    /// How many connections may wait for a worker; more stay in the kernel's backlog.
    pub queue: usize,
    /// How long one may wait there.
    #[serde(with = "millis")]
    pub patience: Duration,
    /// How long a connection may be idle that the app closes between two requests; 0: it is closed.
    #[serde(default, with = "millis")]
    pub keep_alive: Duration,
    /// How many connections one worker may hold at a time; `None` for any number.
    pub(crate) max_connections: Option<u32>,
}

impl From<Balance> for balance::ConnectionSettings {
    fn from(from: Balance) -> Self {
        Self {
            policy: match from.policy {
                // Requests have a balancer of their own; only connections come here.
                Policy::NextAvailable | Policy::Sticky => balance::ConnectionPolicy::NextAvailable,
                Policy::RoundRobin => balance::ConnectionPolicy::RoundRobin,
                Policy::LeastConn => balance::ConnectionPolicy::LeastConn,
                Policy::IpHash => balance::ConnectionPolicy::IpHash,
            },
            queue: from.queue,
            queue_timeout: u64::try_from(from.patience.as_nanos()).unwrap_or(u64::MAX),
            max_connections: from
                .max_connections
                .and_then(|most| NonZeroUsize::new(usize::try_from(most).ok()?)),
        }
    }
}

/// Which worker gets the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The first that is free.
    NextAvailable,
    /// Strictly in turn.
    RoundRobin,
    /// The one with the fewest open connections.
    LeastConn,
    /// The same client to the same worker.
    IpHash,
    /// A client to the worker that its cookie names; requests only.
    Sticky,
}
