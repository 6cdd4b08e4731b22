//! `maitred reload`: apps are replaced one instance after the other, and serve on meanwhile.

use clap::Args;

use super::restart::with_new_environment;
use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// Replace instances one after the other. In cluster mode the new one starts first, and the old
/// one goes when the new one listens; one that does not come up leaves the old one serving.
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,

    /// Give them the environment of this command.
    #[arg(long)]
    update_env: bool,
}

impl Reload {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let mut code = 0;
        let selected = together::selected(&home, &self.targets)?;
        if !self.update_env {
            return together::act(&home, &selected, &Action::Reload(None), "reloaded", manner);
        }
        for one in &selected {
            let app = with_new_environment(&one.known.record.app);
            let action = Action::Reload(Some(Box::new(app)));
            let one = std::slice::from_ref(one);
            code = code.max(together::act(&home, one, &action, "reloaded", manner)?);
        }
        Ok(code)
    }
}
