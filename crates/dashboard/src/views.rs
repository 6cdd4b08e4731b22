//! What the API tells of apps.

use std::borrow::Cow;

use serde::Serialize;

use crate::history::Figures;

/// One app, as it is seen, with what was counted of it since it began.
#[derive(Clone, Debug)]
pub struct Seen {
    pub app: App,
    /// How long was waited, for a response to begin or for a worker: step `n` counts what took less than
    /// `2^n` microseconds, and not less than half of that.
    pub steps: Vec<u64>,
}

/// One app.
#[derive(Clone, Debug, Serialize)]
pub struct App {
    pub name: String,
    pub namespace: String,
    /// What its instances are given.
    pub unit: Unit,
    pub condition: Condition,
    /// How its instances are, in a few words.
    pub status: String,
    /// It runs, or is about to, or should.
    pub is_to_run: bool,
    /// An instance can be sent work.
    pub is_ready: bool,
    /// The version of its supervisor; empty where there is none.
    pub version: String,
    pub listeners: Vec<Listener>,
    pub instances: Vec<Instance>,
    /// What was measured last.
    pub figures: Figures,
}

/// What instances are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Connections,
    Requests,
}

/// How an app or an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is not to run.
    #[default]
    Off,
    Well,
    /// It starts or ends.
    Changing,
    /// It is blocked, unhealthy, or crashed.
    Bad,
}

/// An address that instances share.
#[derive(Clone, Debug, Serialize)]
pub struct Listener {
    pub address: String,
    pub workers: usize,
    /// Connections, or requests, that wait for a worker.
    pub waiting: u64,
}

/// One instance.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Instance {
    /// Its number among all of the home.
    pub id: u32,
    /// Its number within the app.
    pub number: u32,
    pub condition: Condition,
    /// How it is, in a few words.
    pub status: Cow<'static, str>,
    /// Why it is so, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// When its process was started, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    pub restarts: u32,
    /// For how long its event loop has stood still, in milliseconds, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<u64>,
    /// Connections, or requests, that it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<u64>,
    /// Connections, or requests, that it was given so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<u64>,
    /// How many it is given a second.
    pub rate: f32,
    /// Percent of one processor.
    pub cpu: f32,
    /// Resident memory, in bytes.
    pub memory: u64,
}

/// Something that has happened to an app.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// In milliseconds since 1970.
    pub at: u64,
    pub app: String,
    /// The event's name, as `maitred events --json` has it.
    pub event: String,
    /// The instance's number within the app, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// The same in words.
    pub text: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When it was read, or written, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub kind: Kind,
    /// The number, among all of the home, of the instance that has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    pub text: String,
}

/// Who has written a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Out,
    Err,
    /// The app's supervisor.
    Maitred,
}
