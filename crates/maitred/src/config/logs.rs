//! Where the output of an app goes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encode::{millis, os};

/// How the output of an app's instances is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logs {
    /// What instances write to standard output.
    pub(crate) out: Place,
    /// What they write to standard error.
    pub(crate) err: Place,
    /// Both together; [`Place::Nowhere`] unless asked for.
    pub(crate) combined: Place,
    /// One file for all instances, not one for each.
    pub(crate) merge: bool,
    /// Nothing is kept at all, wherever the files would be.
    pub(crate) disabled: bool,
    /// What stands before each line: the time in this format, in the spelling of day.js
    /// (`YYYY-MM-DD HH:mm:ss Z`); empty for none.
    pub(crate) date_format: String,
    /// How a line is written.
    pub(crate) format: LogFormat,
    /// When a file is put aside and a new one begun; `None` for never.
    pub(crate) rotation: Option<Rotation>,
}

/// Where a file of an app is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// In the home folder, under the app's name.
    Home,
    /// This absolute path. With several instances, each but a merged log has its number before
    /// the extension.
    File(#[serde(with = "os")] PathBuf),
    /// There is none.
    Nowhere,
}

/// The form of a line in a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// As the instance has written it.
    Raw,
    /// One JSON object a line.
    Json,
}

/// When a log file is put aside, and what is kept of the old ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    /// When it has grown to so many bytes.
    pub(crate) size: u64,
    /// How many old files are kept.
    pub(crate) count: u32,
    /// Whether old files are compressed.
    pub(crate) gzip: bool,
    /// Also whenever so much time has gone by, counted from midnight (UTC) of 1 January 1970;
    /// zero for by size alone.
    #[serde(with = "millis")]
    pub(crate) interval: Duration,
}
