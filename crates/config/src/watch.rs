//! Which changes of files restart an app.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encode::{millis, os_list};

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Files and folders, with all that is in these; absolute.
    #[serde(with = "os_list")]
    pub paths: Vec<PathBuf>,
    /// What is not watched: names (`node_modules`), paths or globs (`logs/**`, `*.log`), against
    /// the app's folder. Dot files and `node_modules` are in here unless the user wrote a list.
    pub ignore: Vec<String>,
    /// How long nothing must have changed before the app is restarted.
    #[serde(with = "millis")]
    pub delay: Duration,
    /// Whether links in the folders are followed.
    pub follow_links: bool,
}
