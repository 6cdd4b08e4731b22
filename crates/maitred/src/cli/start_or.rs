//! `maitred startOrRestart` and `startOrReload`: apps that run are restarted or reloaded, others
//! are started.

use std::ffi::OsString;

use anyhow::bail;
use clap::Args;

use super::start::{self, Mode};
use super::what::What;
use super::{Manner, together};
use crate::apps::Action;
use crate::config::Entry;
use crate::home::Home;

/// Restart or reload what runs, start what does not.
#[derive(Debug, Args)]
pub(super) struct StartOr {
    /// Config files, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<OsString>,

    #[command(flatten)]
    what: What,
}

impl StartOr {
    pub(super) fn execute(self, mode: Mode, manner: &Manner) -> anyhow::Result<u8> {
        let (action, done) = match mode {
            Mode::Script | Mode::File => (Action::Restart(None), "restarted"),
            Mode::Reload => (Action::Reload(None), "reloaded"),
        };
        operate(&self.targets, &self.what, mode, &action, done, manner)
    }
}

/// Acts on apps by their names, and on those of config files with what stands there now.
///
/// # Errors
/// If a target means nothing, or a file is wrong.
pub(super) fn operate(
    targets: &[OsString],
    what: &What,
    mode: Mode,
    action: &Action,
    done: &str,
    manner: &Manner,
) -> anyhow::Result<u8> {
    let home = Home::find()?;
    let mut code = 0;
    let (files, names): (Vec<_>, Vec<_>) = targets.iter().partition(|it| start::is_config(it));
    for file in files {
        let apps = start::resolve(what, file, manner)?;
        code = code.max(start::start_all(&home, apps, mode, manner)?);
    }
    if names.is_empty() {
        together::show_list(&home, manner)?;
        return Ok(code);
    }
    if what.flags.entry != Entry::default() {
        bail!(
            "settings can be changed with a config file, or by `maitred delete` and `maitred \
             start`, not while naming an app"
        );
    }
    let names: Vec<_> = names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let selected = together::selected(&home, &names)?;
    Ok(code.max(together::act(&home, &selected, action, done, manner)?))
}
