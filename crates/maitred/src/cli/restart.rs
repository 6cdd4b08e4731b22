//! `maitred restart`: apps end, and are started again.

use clap::Args;

use super::Manner;
use super::start::Mode;
use super::start_or::Again;

/// End apps, and start them again; those of a config file with what stands there now. Flags beside
/// an app's name change those settings, and no others.
#[derive(Debug, Args)]
pub(super) struct Restart {
    #[command(flatten)]
    again: Again,
}

impl Restart {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        self.again.execute(Mode::File, manner)
    }
}
