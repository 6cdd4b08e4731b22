//! `maitred reload`: apps are replaced one instance after the other, and serve on meanwhile.

use std::ffi::OsString;

use clap::Args;

use super::restart::with_new_environment;
use super::start::{self, Mode};
use super::start_or::operate;
use super::what::What;
use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// Replace instances one after the other. In cluster mode the new one starts first, and the old
/// one goes when the new one listens; one that does not come up leaves the old one serving.
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Config files, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<OsString>,

    /// Give them the environment of this command.
    #[arg(long)]
    update_env: bool,

    #[command(flatten)]
    what: What,
}

impl Reload {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        const DONE: &str = "reloaded";
        let (mode, plain) = (Mode::Reload, Action::Reload(None));
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
            let action = Action::Reload(Some(Box::new(app)));
            let one = std::slice::from_ref(&one);
            code = code.max(together::act(&home, one, &action, DONE, manner)?);
        }
        Ok(code)
    }
}
