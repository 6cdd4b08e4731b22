//! `maitred stop`: apps end, and stay in the list.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use home::Home;

/// End apps, and keep them in the list.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// Config files, "-" for JSON from standard input, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,

    /// Only these apps of a config file.
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,

    /// Watch their files no more. Those of an app that is stopped are not watched in any case.
    #[arg(long)]
    watch: bool,
}

impl Stop {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        if self.watch {
            let note = "what is stopped is not watched; `start` watches it again, unless the config \
                        file no longer says so";
            together::say(manner, note);
        }
        let home = Home::find()?;
        let selected = together::selected_with_files(&home, &self.targets, &self.only, manner)?;
        if selected.is_empty() {
            // A config file without apps; that has been said.
            return Ok(0);
        }
        together::act(&home, &selected, &Action::Stop, "stopped", manner)
    }
}
