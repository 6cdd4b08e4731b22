//! `maitred cleardump`: what was saved is forgotten.

use clap::Args;

use super::{Manner, together};
use home::{Dump, Home};

/// Forget what was saved.
#[derive(Debug, Args)]
pub(super) struct Cleardump {}

impl Cleardump {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let any = Dump::clear(&Home::find()?)?;
        together::say(
            manner,
            if any {
                "cleared the saved list"
            } else {
                "nothing was saved"
            },
        );
        Ok(0)
    }
}
