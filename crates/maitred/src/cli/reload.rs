//! `maitred reload`: apps are replaced one instance after the other, and serve on meanwhile.

use clap::Args;

use super::Manner;
use super::start::Mode;
use super::start_or::Again;

/// Replace instances one after the other. In cluster mode the new one starts first, and the old
/// one goes when the new one listens; one that does not come up leaves the old one serving. Flags
/// beside an app's name change those settings, and no others.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    again: Again,
}

impl Reload {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        self.again.execute(Mode::Reload, manner)
    }
}
