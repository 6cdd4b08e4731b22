//! `maitred kill`: all apps end, and their supervisors with them.

use std::time::Duration;

use clap::Args;
use rustix::process::{Signal, kill_process};

use super::{Manner, together};
use crate::apps::{self, Known};
use crate::control::{Connection, Fault, Request, Snapshot};
use crate::home::Home;

/// End all apps. What was saved can be brought back with `resurrect`.
#[derive(Debug, Args)]
pub(super) struct Kill {}

impl Kill {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let known = apps::all(&home)?;
        let results = apps::side_by_side(&known, end);
        let (mut code, mut any) = (0, false);
        for (known, result) in known.iter().zip(results) {
            let name = &known.record.app.name;
            match result {
                Ok(true) => {
                    any = true;
                    together::say(manner, &format!("{name}: ended"));
                }
                Ok(false) => {}
                Err(error) => {
                    together::complain(&error.context(name.clone()));
                    code = 1;
                }
            }
        }
        if code == 0 && !any {
            together::say(manner, "nothing runs");
        }
        Ok(code)
    }
}

/// Ends an app; whether it ran.
fn end(known: &Known) -> anyhow::Result<bool> {
    let Ok(socket) = known.folder.connect() else {
        return Ok(false);
    };
    let supervisor = rustix::net::sockopt::socket_peercred(&socket).ok();
    let asked = || -> Result<Snapshot, Fault> {
        Connection::ask(socket, Request::Kill)?
            .wait_for(known.record.app.kill_timeout + Duration::from_secs(5))?
            .finish(|_| {})
    };
    match { asked }() {
        Ok(_) | Err(Fault::Gone) => {}
        Err(fault) => {
            // Its guard ends what is left of the app.
            if let Some(peer) = supervisor {
                kill_process(peer.pid, Signal::KILL)?;
            } else {
                return Err(fault.into());
            }
        }
    }
    // Its guard leaves last; then the app can be started anew.
    drop(known.folder.claim(Duration::from_secs(2))?);
    Ok(true)
}
