//! How an app is at one moment.

use serde::{Deserialize, Serialize};

use crate::{Exit, Kept, LastRun, Record, Rest};
use config::App;
use telemetry::figures::Foreign;
use telemetry::ids::{Instance, InstanceId};

/// An app at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of the supervisor; empty if there is none.
    pub version: String,
    /// The supervisor's process; 0 if there is none.
    pub supervisor: i32,
    /// The version whose place this supervisor has taken in an update.
    #[serde(default)]
    pub follows: Option<String>,
    pub app: App,
    /// It is being deleted, or its supervisor is about to end.
    #[serde(default)]
    pub leaves: bool,
    /// When it was added, in milliseconds since 1970.
    pub created_at: u64,
    pub instances: Vec<InstanceView>,
    #[serde(default)]
    pub listeners: Vec<ListenerView>,
    /// How many files its supervisor may have open, and how many it needs, where that is more.
    #[serde(default)]
    pub descriptors: Option<(u64, u64)>,
}

/// One instance at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its number among all of this home.
    pub id: InstanceId,
    /// Its number within the app.
    #[serde(rename = "number")]
    pub instance: Instance,
    pub state: State,
    /// Its process.
    pub pid: Option<i32>,
    /// Since when that runs, in milliseconds since 1970.
    pub since: Option<u64>,
    /// No process of it runs, and its schedule or a changed file starts the next one.
    #[serde(default)]
    pub waits: bool,
    /// What its newest process has still to do to be up, in words; none where it is up.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// For how long its event loop has stood still, in milliseconds, if it does.
    #[serde(default)]
    pub blocked: Option<u64>,
    /// Why it is unhealthy by its check, in words, if it is.
    #[serde(default)]
    pub unhealthy: Option<String>,
    pub restarts: u32,
    pub unstable: u32,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// The bound of memory, in bytes, that its last process was killed at, if it was.
    #[serde(default)]
    pub out_of_memory: Option<u64>,
    /// How much memory the kernel lets its process have, in bytes, if it has a bound of its own.
    #[serde(default)]
    pub bound: Option<u64>,
    /// Why its last process could not be started, if it could not.
    #[serde(default)]
    pub not_started: Option<String>,
    /// When its last process ran that has ended.
    #[serde(default)]
    pub last_run: Option<LastRun>,
    /// Why its connections are not distributed, if they are not and could be expected to.
    #[serde(default)]
    pub not_preloaded: Option<String>,
    /// Connections that it holds now, where that is known; or requests, where each is placed by
    /// itself.
    #[serde(default)]
    pub open: Option<u64>,
    /// Connections, or requests, that it was given.
    #[serde(default)]
    pub given: Option<u64>,
    /// Requests that have failed with it; none where connections are placed.
    #[serde(default)]
    pub failed: Option<u64>,
}

/// An address that workers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    pub address: String,
    /// How many workers listen there.
    pub workers: usize,
    /// What is spoken there, where it is not the HTTP that it should be.
    #[serde(default)]
    pub foreign: Option<Foreign>,
    /// Connections, or requests, that wait for a worker now.
    #[serde(default)]
    pub waiting: u64,
}

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its process runs.
    Online,
    /// Its process runs, and has not said yet that it is ready.
    Launching,
    /// It is restarted after a pause.
    Waiting,
    /// Its process has been asked to end.
    Stopping,
    Stopped,
    /// It crashed too often.
    Errored,
    /// Its supervisor was killed.
    Crashed,
    /// Its supervisor does not answer, or does not understand.
    #[serde(other)]
    Unknown,
}

impl State {
    /// The word for it: pm2's, where that has one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Launching => "launching",
            Self::Waiting => "waiting restart",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Errored => "errored",
            Self::Crashed => "crashed",
            Self::Unknown => "unknown",
        }
    }
}

impl Snapshot {
    /// An app without a supervisor, from what is kept of it.
    pub fn at_rest(record: Record) -> Self {
        let instances = record.instances.iter().map(InstanceView::at_rest);
        Self {
            version: String::new(),
            supervisor: 0,
            follows: None,
            leaves: false,
            created_at: record.created_at,
            instances: instances.collect(),
            app: record.app,
            listeners: Vec::new(),
            descriptors: None,
        }
    }
}

impl Snapshot {
    /// Whether a process of it runs, or is about to.
    pub fn is_to_run(&self) -> bool {
        self.instances.iter().any(|instance| match instance.state {
            State::Online | State::Launching | State::Waiting | State::Unknown => true,
            State::Stopping | State::Stopped | State::Errored | State::Crashed => false,
        })
    }
}

impl From<Snapshot> for Record {
    /// What is to be kept of an app that is so.
    fn from(snapshot: Snapshot) -> Self {
        let instances = snapshot.instances.iter().map(InstanceView::kept);
        Self {
            created_at: snapshot.created_at,
            instances: instances.collect(),
            app: snapshot.app,
        }
    }
}

impl InstanceView {
    fn kept(&self) -> Kept {
        Kept {
            rest: match self.state {
                State::Stopped if self.waits => Rest::Runs,
                State::Stopped | State::Stopping => Rest::Stopped,
                State::Errored => Rest::Errored,
                State::Online
                | State::Launching
                | State::Waiting
                | State::Crashed
                | State::Unknown => Rest::Runs,
            },
            waits: self.waits,
            restarts: self.restarts,
            unstable: self.unstable,
            exit: self.exit,
            out_of_memory: self.out_of_memory,
            last_run: self.last_run,
            ..Kept::new(self.id, self.instance, Rest::Runs)
        }
    }

    fn at_rest(kept: &Kept) -> Self {
        Self {
            id: kept.id,
            instance: kept.instance,
            state: match kept.rest {
                // What starts it is gone with its supervisor.
                _ if kept.waits => State::Crashed,
                Rest::Runs => State::Crashed,
                Rest::Stopped => State::Stopped,
                Rest::Errored => State::Errored,
            },
            pid: None,
            since: None,
            waits: false,
            waits_for: None,
            blocked: None,
            unhealthy: None,
            restarts: kept.restarts,
            unstable: kept.unstable,
            exit: kept.exit,
            out_of_memory: kept.out_of_memory,
            bound: None,
            not_started: kept.not_started.clone(),
            last_run: kept.last_run,
            not_preloaded: None,
            open: None,
            given: None,
            failed: None,
        }
    }
}
