//! `maitred reloadLogs`: log files are opened again, after somebody else has moved them.

use clap::Args;

use super::{Manner, together};
use crate::apps::{self, Known};
use home::Home;
use home::control::{Connection, Fault, Request};

/// Open all log files again under their names, as after a rotation by logrotate.
#[derive(Debug, Args)]
pub(super) struct ReloadLogs {}

impl ReloadLogs {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let known = apps::all(&Home::find()?)?;
        let reopen = |known: &Known| -> Result<(), Fault> {
            let Ok(socket) = known.folder.connect() else {
                // Who does not run has no files open.
                return Ok(());
            };
            Connection::ask(socket, Request::ReopenLogs)?.finish(|_| {})?;
            Ok(())
        };
        let mut code = 0;
        for (known, result) in known.iter().zip(apps::side_by_side(&known, reopen)) {
            if let Err(fault) = result {
                eprintln!("maitred: {}: {fault}", known.record.app.name);
                code = 1;
            }
        }
        together::say(manner, "reopened all logs");
        Ok(code)
    }
}
