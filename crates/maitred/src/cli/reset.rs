//! `maitred reset`: the counts of restarts begin anew.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use home::Home;

/// Forget how often apps were restarted.
#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

impl Reset {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        together::act(&home, &selected, &Action::Reset, "counts are reset", manner)
    }
}
