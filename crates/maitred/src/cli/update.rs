//! `maitred update`: this version is put under apps that run.

use clap::Args;

use super::{Manner, together};
use crate::apps::{self, Action};
use home::Home;

/// Put this version of maitred under running apps. Their processes, connections and listening sockets stay
/// as they are. If this version cannot take over an app, the app keeps its version, and the command fails.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(default_value = "all", value_name = "TARGET")]
    targets: Vec<String>,
}

impl Update {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let action = Action::Update(apps::own_program()?);
        let all = self.targets == ["all"];
        let mut selected = together::selected(&home, &self.targets)?;
        // A supervisor belongs to a whole app.
        for one in &mut selected {
            one.ids = None;
        }
        if all {
            selected.retain(|one| one.known.folder.is_claimed());
        }
        if selected.is_empty() {
            together::say(manner, "no app is running: nothing to update");
            return Ok(0);
        }
        let done = format!("runs under maitred {}", env!("CARGO_PKG_VERSION"));
        together::act(&home, &selected, &action, &done, manner)
    }
}
