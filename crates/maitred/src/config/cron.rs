//! When an app is restarted by the calendar.

use serde::{Deserialize, Serialize};

/// A schedule, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cron {
    /// Five fields (minute to weekday), or six with seconds before them.
    pub(crate) pattern: String,
    /// The time zone by its IANA name; empty for the machine's own.
    pub(crate) zone: String,
}
