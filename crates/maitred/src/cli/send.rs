//! `maitred send`: a line for the standard input of a process.

use anyhow::bail;
use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use home::Home;
use telemetry::ids::InstanceId;

/// Write a line to the standard input of an instance.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The instance's number.
    #[arg(value_parser = together::instance_number)]
    id: InstanceId,

    /// What to write.
    line: String,
}

impl Send {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let known = crate::apps::all(&home)?;
        let owner = known
            .iter()
            .find(|known| known.record.instances.iter().any(|it| it.id == self.id));
        let Some(owner) = owner else {
            bail!("there is no instance {}", self.id);
        };
        let selected = crate::apps::Selected {
            known: owner.clone(),
            ids: Some(vec![self.id]),
        };
        selected.act(&home, &Action::Send(self.line), &mut |_| {})?;
        together::say(manner, "sent");
        Ok(0)
    }
}
