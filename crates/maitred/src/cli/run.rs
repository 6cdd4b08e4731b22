//! `maitred run`: apps in the foreground.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::flags::{RunFlags, StartFlags};
use super::foreground::{self, Foreground};
use super::order::{Order, STARTED_TOO};
use super::what::What;
use super::{Manner, foreground_together, start, together};
use crate::apps::{self, Known};
use config::{App, Instances, Place};
use home::Home;

/// Run apps in the foreground: N copies of each, with its connections divided over them.
///
/// The app is not changed: it opens its port as ever. Ctrl-C stops everything. Several apps of a
/// config file run side by side; the command ends when all of them have ended, with the highest
/// of their exit codes.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to run: a script, whose interpreter follows from its name, a program, a config file, or
    /// "-" for JSON from standard input; by default the ecosystem file of this folder.
    #[arg(value_name = "SCRIPT|FILE|-")]
    targets: Vec<OsString>,

    /// The set of variables to use: env_NAME in the config file.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,

    /// Only these apps of the config file.
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,

    #[command(flatten)]
    flags: RunFlags,

    /// Show what was counted for each listener and worker, so often (every 10 seconds if no number
    /// is given) and at the end.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10"
    )]
    stats: Option<NonZeroU32>,

    /// Append what happens to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,

    /// Arguments for the script.
    #[arg(last = true)]
    args: Vec<OsString>,
}

impl Run {
    /// Runs the apps until they end or are stopped; the exit code.
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let (apps, order) = self.apps(manner)?;
        let events = self.events.map(std::path::absolute).transpose();
        let events = events.context("finding the current folder")?;
        let foreground = |app| Foreground {
            app,
            stats: self.stats,
            events: events.clone(),
            beside_others: None,
        };
        match <[App; 1]>::try_from(apps) {
            Ok([app]) if !order.waits(0) => foreground::run(foreground(app)),
            Ok([app]) => foreground_together::run(vec![foreground(app)], order, manner),
            Err(apps) => {
                let apps = apps.into_iter().map(foreground).collect();
                foreground_together::run(apps, order, manner)
            }
        }
    }

    /// The apps that are to run, and in which order; what there is to say of them is said.
    fn apps(&self, manner: &Manner) -> anyhow::Result<(Vec<App>, Order)> {
        let usual = match self.targets.is_empty() {
            true => Some(start::usual()?),
            false => None,
        };
        let mut apps: Vec<App> = Vec::new();
        for target in self.targets.iter().chain(&usual) {
            let of_file = start::is_config(target);
            let mut entry = self.flags.entry.clone();
            if !of_file {
                // A script is made to use all processors; in a config file one instance is the
                // rule.
                entry.instances.get_or_insert(Instances::AllBut(0));
            }
            let what = What {
                env: self.env.clone(),
                only: self.only.clone(),
                flags: StartFlags { entry },
                args: self.args.clone(),
            };
            let meant = start::resolve(&what, target, manner)?;
            if meant.code != 0 {
                bail!("nothing is run; correct what is wrong, or choose apps with --only");
            }
            let needed = meant.needed.into_iter().inspect(|resolved| {
                let name = &resolved.app.name;
                together::say(manner, &format!("{name}: {STARTED_TOO}"));
            });
            for resolved in meant.apps.into_iter().chain(needed) {
                let app = resolved.app;
                if !app.restart.autostart {
                    let note = format!("{}: not started, for its autostart is false", app.name);
                    together::say(manner, &note);
                    continue;
                }
                let same = |it: &App| it.name == app.name && it.namespace == app.namespace;
                if apps.iter().any(same) {
                    bail!(
                        "two apps are called {}; each needs a name of its own",
                        app.name
                    );
                }
                if let Some(note) = no_log_files(&app) {
                    together::say(manner, &note);
                }
                apps.push(in_foreground(app));
            }
        }
        if apps.is_empty() {
            bail!("there is no app to run");
        }
        let alone = apps.len() == 1;
        for app in &mut apps {
            app.pass_through = alone && app.instances == 1 && !app.restart.auto;
        }
        let own: Vec<_> = apps.iter().collect();
        let order = Order::strict(&own, &[], &managed(&own))?;
        Ok((apps, order))
    }
}

/// The apps that run in the background, if any of these may depend on one.
fn managed(apps: &[&App]) -> Vec<Known> {
    let (_, wrongs) = Order::of(apps, &[], &[]);
    if wrongs.is_empty() {
        return Vec::new();
    }
    let known = Home::find().and_then(|home| apps::all(&home));
    known.unwrap_or_default()
}

/// What is said of an app whose file names logs.
fn no_log_files(app: &App) -> Option<String> {
    let logs = [
        ("out_file", &app.logs.out),
        ("error_file", &app.logs.err),
        ("log_file", &app.logs.combined),
        ("pid_file", &app.pid_file),
    ];
    let named: Vec<_> = logs
        .iter()
        .filter(|(_, place)| matches!(place, Place::File(_)))
        .map(|(name, _)| *name)
        .collect();
    (!named.is_empty()).then(|| {
        format!(
            "{}: {} does nothing with `maitred run`, which shows what apps write and keeps no \
             files",
            app.name,
            named.join(", ")
        )
    })
}

/// Its output goes to the terminal, and the process is at hand.
fn in_foreground(mut app: App) -> App {
    app.logs.disabled = true;
    app.logs.out = Place::Home;
    app.logs.err = Place::Home;
    app.logs.combined = Place::Nowhere;
    app.pid_file = Place::Nowhere;
    app
}
