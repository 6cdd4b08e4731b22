//! `maitred env`: the environment of an instance.

use std::os::unix::ffi::OsStrExt;

use anyhow::bail;
use clap::Args;

use super::together;
use crate::apps;
use home::{self, Home};
use telemetry::ids::InstanceId;

/// Print the environment of an instance, secrets and all.
#[derive(Debug, Args)]
pub(super) struct Env {
    /// The instance's number.
    #[arg(value_parser = together::instance_number)]
    id: InstanceId,
}

impl Env {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let known = apps::all(&home)?;
        for known in known {
            let kept = known.record.instances.iter().find(|it| it.id == self.id);
            let Some(kept) = kept else {
                continue;
            };
            let app = &known.record.app;
            let env = home::environment(Some(&home), app, kept.instance, kept.id);
            let lines = env.iter().flat_map(|(name, value)| {
                [name.as_bytes(), b": ", value.as_bytes(), b"\n"].concat()
            });
            together::print(lines.collect::<Vec<_>>())?;
            return Ok(0);
        }
        bail!("there is no instance {}", self.id);
    }
}
