//! Where the output of an app goes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encode::{millis, os};

/// How the output of an app's instances is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// What instances write to standard output.
    pub out: Place,
    /// What they write to standard error.
    pub err: Place,
    /// Both together; [`Place::Nowhere`] unless asked for.
    pub combined: Place,
    /// One file for all instances, not one for each.
    pub merge: bool,
    /// Nothing is kept at all, wherever the files would be.
    pub disabled: bool,
    /// What stands before each line: the time in this format, in the spelling of day.js
    /// (`YYYY-MM-DD HH:mm:ss Z`); empty for none.
    pub date_format: String,
    /// How a line is written.
    pub format: LogFormat,
    /// When a file is put aside and a new one begun; `None` for never.
    pub rotation: Option<Rotation>,
}

/// Where a file of an app is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
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
pub enum LogFormat {
    /// As the instance has written it.
    Raw,
    /// One JSON object a line.
    Json,
}

/// When a log file is put aside, and what is kept of the old ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// When it has grown to so many bytes.
    pub size: u64,
    /// How many old files are kept.
    pub count: u32,
    /// Whether old files are compressed.
    pub gzip: bool,
    /// Also whenever so much time has gone by, counted from midnight (UTC) of 1 January 1970;
    /// zero for by size alone.
    #[serde(with = "millis")]
    pub interval: Duration,
}
