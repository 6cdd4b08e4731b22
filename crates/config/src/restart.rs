//! What becomes of a process that has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encode::millis;

/// When another process follows one that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Whether another one follows at all.
    pub auto: bool,
    /// Whether the app is started when it is added; if not, it stands there stopped.
    pub autostart: bool,
    /// How many unstable runs in a row are tried again.
    pub max_unstable: u32,
    /// A run that is shorter than this is unstable.
    #[serde(with = "millis")]
    pub min_uptime: Duration,
    /// How long it is waited before each restart.
    pub pause: Pause,
    /// Exit codes after which nothing follows.
    pub stop_exit_codes: BTreeSet<i32>,
}

/// The time between the end of a process and the start of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// Always the same.
    Fixed(#[serde(with = "millis")] Duration),
    /// None after runs that have served. After those that never listen, or end soon again and
    /// again, this one first, and longer by half each time.
    Earned(#[serde(with = "millis")] Duration),
    /// This one first, and longer by half each time, until a run is stable; at most 15 s.
    Growing(#[serde(with = "millis")] Duration),
}
