//! `maitred restart`: apps end, and are started again.

use clap::Args;

use super::{Manner, together};
use crate::apps::Action;
use crate::config;
use crate::home::Home;

/// End apps, and start them again.
#[derive(Debug, Args)]
pub(super) struct Restart {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,

    /// Give them the environment of this command.
    #[arg(long)]
    update_env: bool,
}

impl Restart {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let mut code = 0;
        let selected = together::selected(&home, &self.targets)?;
        if !self.update_env {
            return together::act(
                &home,
                &selected,
                &Action::Restart(None),
                "restarted",
                manner,
            );
        }
        for one in &selected {
            let app = with_new_environment(&one.known.record.app);
            let action = Action::Restart(Some(Box::new(app)));
            let one = std::slice::from_ref(one);
            code = code.max(together::act(&home, one, &action, "restarted", manner)?);
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
