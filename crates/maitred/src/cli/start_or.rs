//! `maitred startOrRestart` and `startOrReload`: apps that run are restarted or reloaded, others
//! are started.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// Restart or reload what runs, start what does not.
#[derive(Debug, Args)]
pub(super) struct StartOr {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

/// What happens to an app that runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Otherwise {
    Restart,
    Reload,
}

impl StartOr {
    pub(super) fn execute(self, otherwise: Otherwise, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        let (action, done) = match otherwise {
            Otherwise::Restart => (Action::Restart(None), "restarted"),
            Otherwise::Reload => (Action::Reload(None), "reloaded"),
        };
        together::act(&home, &selected, &action, done, manner)
    }
}
