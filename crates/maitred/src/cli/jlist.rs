//! `maitred jlist`: all apps as JSON, for programs.

use clap::Args;

use super::pm2::json;
use super::together;
use crate::apps;
use home::Home;

/// Print all apps as JSON, with pm2's field names. Environments are in there.
#[derive(Debug, Args)]
pub(super) struct Jlist {}

impl Jlist {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let snapshots = apps::snapshots(&apps::all(&home)?);
        let mut text = serde_json::to_vec(&json::all(&home, &snapshots))?;
        text.push(b'\n');
        together::print(text)?;
        Ok(0)
    }
}
