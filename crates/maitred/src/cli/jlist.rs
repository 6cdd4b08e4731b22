//! `maitred jlist`: all apps as JSON, for programs.

use std::io::Write;

use clap::Args;

use super::pm2::json;
use crate::apps;
use crate::home::Home;

/// Print all apps as JSON, with pm2's field names. Environments are in there.
#[derive(Debug, Args)]
pub(super) struct Jlist {}

impl Jlist {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let snapshots = apps::snapshots(&apps::all(&home)?);
        let mut text = serde_json::to_vec(&json::all(&home, &snapshots))?;
        text.push(b'\n');
        // A reader who is gone does not matter.
        let _ = std::io::stdout().write_all(&text);
        Ok(0)
    }
}
