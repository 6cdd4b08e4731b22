//! `maitred stop`: apps end, and stay in the list.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// End apps, and keep them in the list.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

impl Stop {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        together::act(&home, &selected, &Action::Stop, "stopped", manner)
    }
}
