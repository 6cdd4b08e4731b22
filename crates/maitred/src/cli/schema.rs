//! `maitred schema`: the JSON Schema of config files.

use clap::Args;

use super::together;

/// Print the JSON Schema of config files, for editors that complete and check them.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        together::print(format!("{:#}\n", config::schema()).into_bytes())?;
        Ok(0)
    }
}
