//! `maitred id`: the numbers of an app's instances.

use clap::Args;

use super::together;
use crate::apps::Selected;
use home::Home;

/// Print the numbers of an app's instances.
#[derive(Debug, Args)]
pub(super) struct Id {
    /// The app's name.
    name: String,
}

impl Id {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let selected = together::selected(&Home::find()?, &[self.name]).unwrap_or_default();
        let ids: Vec<_> = selected
            .iter()
            .flat_map(Selected::ids)
            .map(|id| id.to_string())
            .collect();
        // As pm2 prints an array, and an empty one for a name that it does not know.
        if ids.is_empty() {
            together::print("[]\n")?;
        } else {
            together::print(format!("[ {} ]\n", ids.join(", ")))?;
        }
        Ok(0)
    }
}
