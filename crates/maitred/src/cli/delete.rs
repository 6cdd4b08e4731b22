//! `maitred delete`: apps end, and leave the list.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// End apps, and forget them.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

impl Delete {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        together::act(&home, &selected, &Action::Delete, "deleted", manner)
    }
}
