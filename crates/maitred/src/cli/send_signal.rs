//! `maitred sendSignal`: a signal for the processes of apps.

use anyhow::bail;
use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use home::Home;

/// Send a signal to the processes of apps.
#[derive(Debug, Args)]
pub(super) struct SendSignal {
    /// The signal: SIGUSR2, USR2 or 12.
    signal: String,

    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

impl SendSignal {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let Some(signal) = config::signal(&self.signal) else {
            bail!("there is no signal \"{}\"", self.signal.escape_debug());
        };
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        let action = Action::Signal(signal.as_raw());
        let done = format!("{} sent", self.signal.to_uppercase());
        together::act(&home, &selected, &action, &done, manner)
    }
}
