//! `maitred start`: apps in the background.

use std::ffi::OsString;
use std::path::Path;

use anyhow::bail;
use clap::Args;

use super::order::{self, Order};
use super::start_all::{Meant, start_all};
use super::start_or::with_new_environment;
use super::what::{self, What};
use super::{Manner, attached, list, together};
use crate::apps::{self, Action, Known, Selected};
use config::{self, Resolved};
use home::Home;

/// Start apps in the background, new ones or those that are stopped.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Scripts, config files, names, numbers, or "-" for JSON from standard input; by default the
    /// ecosystem file of this folder.
    #[arg(value_name = "SCRIPT|FILE|NAME|ID|-")]
    targets: Vec<OsString>,

    /// Give apps that are there already the environment of this command. New ones have it anyway.
    #[arg(short = 'a', long)]
    update_env: bool,

    /// By what to sort the list at the end: a column, with :desc for the largest first.
    #[arg(long, value_name = "COLUMN[:desc]")]
    sort: Option<String>,

    /// Show what the apps write, until Ctrl-C.
    #[arg(long)]
    attach: bool,

    /// Show what the apps write, and stop them when this command is asked to end.
    #[arg(long)]
    no_daemon: bool,

    #[command(flatten)]
    what: What,
}

impl Start {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let order = self.sort.as_deref().map(list::parse_sort).transpose()?;
        let mut code = 0;
        let mut names = Vec::new();
        let targets = if self.targets.is_empty() {
            vec![usual()?]
        } else {
            self.targets.clone()
        };
        for target in &targets {
            code = code.max(match self.start(&home, target, &mut names, manner) {
                // The others are started all the same.
                Err(error) if targets.len() > 1 => {
                    together::complain_of(&error);
                    1
                }
                started => started?,
            });
        }
        if !manner.silent {
            list::show(
                &home,
                &apps::all(&home)?,
                order.unwrap_or(list::USUAL),
                manner,
            )?;
        }
        // What runs is stayed with, whatever has become of the others.
        if names.is_empty() {
            return Ok(code);
        }
        if self.no_daemon {
            return Ok(code.max(attached::stay(home, names, manner)?));
        }
        if self.attach {
            attached::follow(&names, manner)?;
        }
        Ok(code)
    }

    /// Starts what a target stands for; the exit code.
    fn start(
        &self,
        home: &Home,
        target: &OsString,
        names: &mut Vec<String>,
        manner: &Manner,
    ) -> anyhow::Result<u8> {
        let known = apps::all(home)?;
        if let Some(selected) = existing(&known, target) {
            names.extend(selected.iter().map(|one| one.known.record.app.name.clone()));
            return self.start_again(home, &known, selected, manner);
        }
        let meant = resolve(&self.what, target, manner)?;
        let mode = if is_config(target) {
            Mode::File
        } else {
            Mode::Script
        };
        let started = start_all(home, meant, mode, self.update_env, manner)?;
        names.extend(started.names);
        Ok(started.code)
    }

    /// Starts apps that are there already, and those that they depend on.
    fn start_again(
        &self,
        home: &Home,
        known: &[Known],
        mut selected: Vec<Selected>,
        manner: &Manner,
    ) -> anyhow::Result<u8> {
        let needed = order::needed(known, &selected, manner);
        if let Some(apps) = self.what.changed(&selected)? {
            if !needed.is_empty() {
                let code = together::each(home, &needed, &Action::Start, "runs", manner);
                if code != 0 {
                    bail!("nothing else is started, as it depends on what is not up");
                }
            }
            return change(home, apps, Mode::File, self.update_env, manner);
        }
        let (count, apps) = (selected.len(), needed.len() + selected.len());
        selected.extend(needed);
        let own: Vec<_> = selected.iter().map(|one| &one.known.record.app).collect();
        let order = Order::lenient(&own, known, manner);
        let actions: Vec<_> = (0..apps)
            .zip(&own)
            .map(|(number, app)| match self.update_env && number < count {
                true => Action::Restart(Some(Box::new(with_new_environment(app)))),
                false => Action::Start,
            })
            .collect();
        let done = if self.update_env { "restarted" } else { "runs" };
        Ok(together::in_order(
            home, &selected, &order, &actions, done, manner,
        ))
    }
}

/// What becomes of an app that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It came as a script: if it runs, that is an error, unless it is forced.
    Script,
    /// It came in a config file: it is restarted with what stands there now.
    File,
    /// The same, without a gap.
    Reload,
}

/// The config file of this folder.
///
/// # Errors
/// If there is none.
pub(super) fn usual() -> anyhow::Result<OsString> {
    let here = config::here()?;
    let Some(path) = config::usual(&here) else {
        bail!("name what to start: there is no ecosystem.config.js or the like in this folder");
    };
    Ok(path.into())
}

/// Whether a target is a config file, or a config on standard input.
pub(super) fn is_config(target: &OsString) -> bool {
    target == "-" || config::is_config(Path::new(target))
}

/// The apps that a target describes; what there is to say of them is said. Those of a file that cannot
/// be run as they are described are named, and left out.
///
/// # Errors
/// If none can be run.
pub(super) fn resolve(what: &What, target: &OsString, manner: &Manner) -> anyhow::Result<Meant> {
    let what::Apps {
        apps,
        needed,
        broken,
        faults,
        warnings,
        printed,
    } = if target == "-" {
        what.apps_of_json(&together::read_input()?)?
    } else {
        what.apps(target)?
    };
    eprint!("{printed}");
    for warning in &warnings {
        together::say(manner, warning);
    }
    faults.iter().for_each(together::complain);
    Ok(Meant {
        apps,
        needed,
        broken,
        named: false,
        code: u8::from(!faults.is_empty()),
    })
}

/// The apps that a target of `start` means, if it does not mean a script.
fn existing(known: &[Known], target: &OsString) -> Option<Vec<Selected>> {
    let text = target.to_str()?;
    if target == "-" || together::means_file(known, text) {
        return None;
    }
    // What looks like a path is one, unless an app is called so and there is no such file.
    let called = || known.iter().any(|it| it.record.app.name == text);
    let looks_so = text.contains('/') || Path::new(text).extension().is_some();
    if looks_so && text.parse::<u32>().is_err() && (Path::new(text).is_file() || !called()) {
        return None;
    }
    let selected = apps::find(known, text).ok()?;
    (!selected.is_empty()).then_some(selected)
}

/// Restarts or reloads apps that are there, with other settings. The exit code.
///
/// # Errors
/// If one cannot be started at all.
pub(super) fn change(
    home: &Home,
    mut apps: Vec<Resolved>,
    mode: Mode,
    update_env: bool,
    manner: &Manner,
) -> anyhow::Result<u8> {
    for resolved in &mut apps {
        for warning in &resolved.warnings {
            together::say(manner, &format!("{}: {warning}", resolved.app.name));
        }
        if update_env {
            resolved.app = with_new_environment(&resolved.app);
        }
    }
    let meant = Meant {
        apps,
        named: true,
        ..Meant::default()
    };
    Ok(start_all(home, meant, mode, update_env, manner)?.code)
}
