//! `maitred flush`: empties logs.

use clap::Args;

use super::app_logs::AppLogs;
use super::{Manner, together};
pub(super) use logs::view::{self, Catalog};

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
    pub(super) fn execute(&self, manner: &Manner) -> anyhow::Result<u8> {
        let mut catalog = match AppLogs::of(std::slice::from_ref(&self.target)) {
            Ok(catalog) => catalog,
            // Scripts flush before they start an app; for pm2 too that is no error.
            Err(error) => {
                together::say(manner, &format!("{error:#}; nothing is emptied"));
                return Ok(0);
            }
        };
        for path in view::flush(&catalog.entries()?)? {
            let path = path.display().to_string();
            together::print(format!("emptied {}\n", path.escape_debug()))?;
        }
        Ok(0)
    }
}
