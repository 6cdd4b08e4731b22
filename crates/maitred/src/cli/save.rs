//! `maitred save`: what runs now is noted, for `resurrect`.

use clap::Args;

use super::{Manner, together};
use crate::apps;
use home::{Dump, Home, Which};

/// Note which apps there are, for `resurrect`.
#[derive(Debug, Args)]
pub(super) struct Save {
    /// Note it also if there are none.
    #[arg(short, long)]
    force: bool,
}

impl Save {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let records: Vec<_> = apps::all(&home)?
            .into_iter()
            .map(|known| known.record)
            .collect();
        if records.is_empty() && !self.force {
            let sentence =
                "there are no apps, so the saved list stays as it is; --force saves an empty one";
            together::say(manner, sentence);
            return Ok(0);
        }
        let count = records.len();
        let path = Dump::new(records).write(&home, Which::Saved)?;
        let apps = match count {
            1 => "1 app".to_owned(),
            count => format!("{count} apps"),
        };
        together::say(manner, &format!("{apps} saved in {}", path.display()));
        Ok(0)
    }
}
