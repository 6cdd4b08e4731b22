//! `maitred flush`: empties logs.

use clap::Args;

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
    /// Empties the logs of the catalog; the exit code.
    pub(super) fn execute(&self, catalog: &mut dyn Catalog) -> anyhow::Result<u8> {
        for path in view::flush(&catalog.entries()?)? {
            println!("emptied {}", path.display().to_string().escape_debug());
        }
        Ok(0)
    }
}
