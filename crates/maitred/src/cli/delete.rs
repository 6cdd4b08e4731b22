//! `maitred delete`: apps end, and leave the list.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use home::Home;

/// End apps, and forget them.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Config files, "-" for JSON from standard input, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,

    /// Only these apps of a config file.
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,
}

impl Delete {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected_with_files(&home, &self.targets, &self.only, manner)?;
        if selected.is_empty() {
            // A config file without apps; that has been said.
            return Ok(0);
        }
        together::act(&home, &selected, &Action::Delete, "deleted", manner)
    }
}
