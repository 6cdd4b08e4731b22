//! What is measured of apps, as a supervisor tells it, and as Prometheus reads it.
//!
//! A supervisor counts ([`Tally`]); [`AppMetrics`] is all that is known of an app at one moment;
//! [`open_metrics`] and [`prometheus`] write that of several apps as text.

mod carried;
mod encode;
mod families;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use carried::Carried;
pub use encode::{OPEN_METRICS, PROMETHEUS, open_metrics, prometheus};
pub use tally::{Cause, Tally};

use crate::figures::ListenerFigures;
use crate::ids::Instance;

/// What is measured of one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppMetrics {
    pub app: String,
    pub namespace: String,
    /// The version of its supervisor.
    pub version: String,
    pub supervisor: ProcessMetrics,
    pub instances: Vec<InstanceMetrics>,
    pub listeners: Vec<ListenerFigures>,
    /// Bytes that its instances have written, by the stream.
    #[serde(default)]
    pub output: ByWord,
    /// What its supervisor has counted.
    #[serde(default)]
    pub tally: Tally,
    /// What the supervisors before that one have told.
    #[serde(default)]
    pub before: Carried,
}

/// What is measured of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceMetrics {
    #[serde(rename = "number")]
    pub instance: Instance,
    /// Its process runs.
    pub up: bool,
    /// It is ready for work: it listens where it should, and has said so where it is to say so.
    pub ready: bool,
    /// Its health check passes; `None` where there is no check or no process.
    #[serde(default)]
    pub healthy: Option<bool>,
    /// Its event loop stands still.
    #[serde(default)]
    pub blocked: bool,
    /// For how long it has, with those of the processes before it.
    #[serde(default)]
    pub blocked_for: Duration,
    /// Processor time so far, in seconds, with that of the processes before it.
    #[serde(default)]
    pub cpu: f64,
    /// When its process was started, in milliseconds since 1970.
    pub started_at: Option<u64>,
    /// What the process uses, while there is one.
    #[serde(default)]
    pub process: ProcessMetrics,
}

/// What a process uses; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessMetrics {
    /// Processor time so far, in seconds.
    pub cpu: Option<f64>,
    /// Resident memory, in bytes.
    pub memory: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
}

/// Totals by a word.
pub type ByWord = BTreeMap<String, u64>;
