//! Apps that are to run anew: `restart` and `reload`, and with them `startOrRestart` and
//! `startOrReload`. Those of a config file are taken as they stand there now, and started if they
//! were not there.

use std::ffi::OsString;

use clap::Args;

use super::order::Order;
use super::start::{self, Mode};
use super::start_all::start_all;
use super::what::What;
use super::{Manner, attached, together};
use crate::apps::{self, Action};
use config::{self, App};
use home::Home;

/// What both do alike.
#[derive(Debug, Args)]
pub(super) struct StartOr {
    #[command(flatten)]
    again: Again,
}

impl StartOr {
    pub(super) fn execute(self, mode: Mode, manner: &Manner) -> anyhow::Result<u8> {
        self.again.execute(mode, manner)
    }
}

/// Which apps, and with what.
#[derive(Debug, Args)]
pub(super) struct Again {
    /// Config files, names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<OsString>,

    /// Give them the environment of this command.
    #[arg(short = 'a', long)]
    update_env: bool,

    /// Show what the apps write afterwards, until Ctrl-C.
    #[arg(long)]
    attach: bool,

    #[command(flatten)]
    what: What,
}

impl Again {
    /// Acts on apps by their names, and on those of config files with what stands there now.
    ///
    /// # Errors
    /// If a target means nothing, or a file is wrong.
    pub(super) fn execute(self, mode: Mode, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let mut code = 0;
        let known = apps::all(&home)?;
        let is_file = |target: &&OsString| {
            *target == "-" || together::means_file(&known, &target.to_string_lossy())
        };
        let (files, names): (Vec<_>, Vec<_>) = self.targets.iter().partition(is_file);
        if !names.is_empty() && files.is_empty() && self.what.env.is_some() {
            let note =
                "--env chooses variables of a config file, and none is named: it does nothing";
            together::say(manner, note);
        }
        let mut followed = names_of(&names);
        for file in files {
            let meant = start::resolve(&self.what, file, manner)?;
            followed.extend(meant.apps.iter().map(|it| it.app.name.clone()));
            let started = start_all(&home, meant, mode, self.update_env, manner)?;
            code = code.max(started.code);
        }
        if !names.is_empty() {
            code = code.max(self.by_name(&home, &names, mode, manner)?);
        }
        together::show_list(&home, manner)?;
        if code == 0 && self.attach {
            attached::follow(&followed, manner)?;
        }
        Ok(code)
    }

    fn by_name(
        &self,
        home: &Home,
        names: &[&OsString],
        mode: Mode,
        manner: &Manner,
    ) -> anyhow::Result<u8> {
        let selected = together::selected(home, &names_of(names))?;
        if let Some(apps) = self.what.changed(&selected)? {
            return start::change(home, apps, mode, self.update_env, manner);
        }
        let (action, done): (fn(_) -> _, _) = match mode {
            Mode::Script | Mode::File => (Action::Restart, "restarted"),
            Mode::Reload => (Action::Reload, "reloaded"),
        };
        let own: Vec<_> = selected.iter().map(|one| &one.known.record.app).collect();
        let with = |app: &&App| Some(Box::new(with_new_environment(app)));
        let new = |app| if self.update_env { with(app) } else { None };
        let actions: Vec<_> = own.iter().map(|app| action(new(app))).collect();
        let order = Order::among(&own);
        Ok(together::in_order(
            home, &selected, &order, &actions, done, manner,
        ))
    }
}

fn names_of(targets: &[&OsString]) -> Vec<String> {
    let targets = targets.iter();
    targets
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

/// The app with the environment of this process in the place of the one that it was started in.
pub(super) fn with_new_environment(app: &App) -> App {
    App {
        env: config::compose(std::env::vars_os(), &app.filter_env, &app.own_env),
        ..app.clone()
    }
}
