//! `maitred pid`: the processes of an app.

use clap::Args;

use super::together;
use crate::apps;
use home::Home;

/// Print the process ids of an app, or of all apps, one a line.
#[derive(Debug, Args)]
pub(super) struct Pid {
    /// The app's name, or a number.
    target: Option<String>,
}

impl Pid {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let target = self.target.unwrap_or_else(|| "all".to_owned());
        // As pm2, a name that is not known is no error here.
        let selected = together::selected(&home, &[target]).unwrap_or_default();
        for selected in selected {
            let ids = selected.ids();
            for instance in apps::Known::snapshot(&selected.known).instances {
                if ids.contains(&instance.id) {
                    together::print(format!("{}\n", instance.pid.unwrap_or(0)))?;
                }
            }
        }
        Ok(0)
    }
}
