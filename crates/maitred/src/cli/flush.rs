//! `maitred flush`: empties logs.

use clap::Args;

use super::app_logs::AppLogs;
use crate::logs::view::{self, Catalog};

/// Empty the logs, those of all apps or of one.
///
/// Logs that were rotated stay.
#[derive(Debug, Args)]
pub(super) struct Flush {
    /// Whose: a name, id, namespace, /regex/ or "all".
    #[arg(value_name = "APP", default_value = "all")]
    pub(super) target: String,
}

impl Flush {
    /// Empties the logs; the exit code.
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let mut catalog = AppLogs::of(std::slice::from_ref(&self.target))?;
        for path in view::flush(&catalog.entries()?)? {
            println!("emptied {}", path.display().to_string().escape_debug());
        }
        Ok(0)
    }
}
