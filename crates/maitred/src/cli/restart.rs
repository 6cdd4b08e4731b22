//! `maitred restart`: apps end, and are started again.

use std::ffi::OsString;

use clap::Args;

use super::start::{self, Mode};
use super::start_or::operate;
use super::what::What;
use super::{Manner, together};
use crate::apps::Action;
use crate::config;
use crate::home::Home;

/// End apps, and start them again; those of a config file with what stands there now.
#[derive(Debug, Args)]
pub(super) struct Restart {
    /// Config files, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<OsString>,

    /// Give them the environment of this command.
    #[arg(long)]
    update_env: bool,

    #[command(flatten)]
    what: What,
}

impl Restart {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        const DONE: &str = "restarted";
        let (mode, plain) = (Mode::File, Action::Restart(None));
        if !self.update_env || self.targets.iter().any(start::is_config) {
            return operate(&self.targets, &self.what, mode, &plain, DONE, manner);
        }
        let home = Home::find()?;
        let names: Vec<_> = self
            .targets
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let mut code = 0;
        for one in together::selected(&home, &names)? {
            let app = with_new_environment(&one.known.record.app);
            let action = Action::Restart(Some(Box::new(app)));
            let one = std::slice::from_ref(&one);
            code = code.max(together::act(&home, one, &action, DONE, manner)?);
        }
        Ok(code)
    }
}

/// The app with the environment of this process in the place of the one that it was started in.
pub(super) fn with_new_environment(app: &config::App) -> config::App {
    config::App {
        env: config::compose(std::env::vars_os(), &app.filter_env, &app.own_env),
        ..app.clone()
    }
}
