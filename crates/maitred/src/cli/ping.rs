//! `maitred ping`: whether supervisors answer.

use clap::Args;

use super::together;
use crate::apps;
use home::Home;

/// Ask all supervisors whether they are well.
#[derive(Debug, Args)]
pub(super) struct Ping {}

impl Ping {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let known = apps::all(&Home::find()?)?;
        let snapshots = apps::snapshots(&known);
        let answered = snapshots.iter().filter(|it| it.supervisor != 0).count();
        let hang: Vec<_> = known
            .iter()
            .zip(&snapshots)
            .filter(|(known, snapshot)| snapshot.supervisor == 0 && known.folder.is_claimed())
            .map(|(known, _)| known.record.app.name.clone())
            .collect();
        together::print("{ msg: 'pong' }\n")?;
        if !hang.is_empty() {
            eprintln!(
                "maitred: {answered} supervisors answer; these do not: {}",
                hang.join(", ")
            );
            return Ok(1);
        }
        Ok(0)
    }
}
