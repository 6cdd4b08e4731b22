//! `maitred start`: apps in the background.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, bail};
use clap::Args;

use super::start_or::with_new_environment;
use super::what::{self, What};
use super::{Manner, attached, list, together};
use crate::apps::{self, Action, Known, Selected, Standing};
use config::{self, App, ExecMode, Resolved};
use home::Home;
use home::control::{Fault, State};
use telemetry::events::Event;

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
                    together::complain(&error);
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
            return self.start_again(home, &selected, manner);
        }
        let (apps, code) = resolve(&self.what, target, manner)?;
        let mode = if is_config(target) {
            Mode::File
        } else {
            Mode::Script
        };
        let started = start_all(home, apps, mode, self.update_env, manner)?;
        names.extend(started.names);
        Ok(code.max(started.code))
    }

    /// Starts apps that are there already.
    fn start_again(
        &self,
        home: &Home,
        selected: &[Selected],
        manner: &Manner,
    ) -> anyhow::Result<u8> {
        if let Some(apps) = self.what.changed(selected)? {
            return change(home, apps, Mode::File, self.update_env, manner);
        }
        if !self.update_env {
            return Ok(together::each(
                home,
                selected,
                &Action::Start,
                "runs",
                manner,
            ));
        }
        let mut code = 0;
        for one in selected {
            let app = with_new_environment(&one.known.record.app);
            let action = Action::Restart(Some(Box::new(app)));
            let one = std::slice::from_ref(one);
            code = code.max(together::each(home, one, &action, "restarted", manner));
        }
        Ok(code)
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

/// The apps that a target describes, and the exit code; what there is to say of them is said. Those
/// of a file that cannot be run as they are described are named, and left out.
///
/// # Errors
/// If none can be run.
pub(super) fn resolve(
    what: &What,
    target: &OsString,
    manner: &Manner,
) -> anyhow::Result<(Vec<Resolved>, u8)> {
    let what::Apps {
        apps,
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
    Ok((apps, u8::from(!faults.is_empty())))
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
    Ok(start_all(home, apps, mode, update_env, manner)?.code)
}

/// What has come of a start.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// The exit code.
    pub(super) code: u8,
    /// Apps that run now, or are tried.
    pub(super) names: Vec<String>,
}

/// Starts apps side by side. Apps that exist already keep the environment that they were started
/// with, unless the command updates it (`--update-env`).
///
/// # Errors
/// If the apps that are there cannot be found.
pub(super) fn start_all(
    home: &Home,
    apps: Vec<Resolved>,
    mode: Mode,
    update_env: bool,
    manner: &Manner,
) -> anyhow::Result<Started> {
    let known = apps::all(home)?;
    let told = Mutex::new(());
    // In the order of the file, so that the numbers are too.
    let mut ways = Vec::new();
    let mut started = Started::default();
    for resolved in apps {
        let name = resolved.app.name.clone();
        let app = resolved.app.clone();
        match Way::of(home, &known, resolved, mode, update_env) {
            Ok(way) => ways.push((app, way.done(mode), way.known(), Mutex::new(Some(way)))),
            Err(error) => {
                together::complain(&error.context(name));
                started.code = 1;
            }
        }
    }
    let results = apps::side_by_side(&ways, |(app, _, _, way)| {
        let way = way.lock().ok().and_then(|mut way| way.take());
        let mut progress = together::progress(app, &told, manner);
        way.map_or(Ok(()), |way| way.go(home, &mut progress))
    });
    for ((app, done, known, _), result) in ways.iter().zip(results) {
        let fault = result.as_ref().err().and_then(|error| error.downcast_ref());
        let refusal = match fault {
            Some(Fault::Refused(refusal)) => Some(refusal),
            _ => None,
        };
        if result.is_ok() || refusal.is_some() {
            started.names.push(app.name.clone());
        }
        // A start of which something is up, or may come up yet, is no failure of the command, as
        // with pm2; a reload that has kept the old one is.
        let is_tried = mode != Mode::Reload && refusal.is_some_and(|it| !it.all_crashed);
        match result {
            Ok(()) => {
                let silence = known.as_ref().map_or("", |known| silence(app, known));
                together::say(manner, &format!("{}: {done}{silence}", app.name));
            }
            Err(error) => {
                together::complain(&error);
                started.code = started.code.max(u8::from(!is_tried));
            }
        }
    }
    Ok(started)
}

/// What there is to add of an app that runs, whose sockets would be shared, and which has none: it has
/// come no further, or is no server.
fn silence(app: &App, known: &Known) -> &'static str {
    if app.exec_mode != ExecMode::Cluster {
        return "";
    }
    let now = known.snapshot();
    let runs = now.instances.iter().any(|it| it.state == State::Online);
    match runs && now.listeners.is_empty() {
        true => "; so far it listens on no address that maitred can share",
        false => "",
    }
}

/// How one app gets to run.
enum Way {
    /// It is added, but not started.
    Nothing,
    Begin(Known, apps::Claimed),
    Act(Selected, Vec<Action>),
}

impl Way {
    fn of(
        home: &Home,
        known: &[Known],
        resolved: Resolved,
        mode: Mode,
        update_env: bool,
    ) -> anyhow::Result<Self> {
        let Resolved { mut app, force, .. } = resolved;
        let standing = together::find(known, &app).map(Known::standing);
        let Some(Standing { known, runs }) = standing.transpose()?.flatten() else {
            let autostart = app.restart.autostart;
            let (known, claim) = apps::add(home, app)?;
            return Ok(if autostart {
                Self::Begin(known, claim)
            } else {
                Self::Nothing
            });
        };
        let now = &known.record;
        if mode == Mode::Script {
            if now.app.script != app.script {
                bail!(
                    "an app of this name runs {}; choose another with --name, or delete that one",
                    now.app.script.display()
                );
            }
            if runs && !force {
                bail!("it already runs; -f restarts it with these settings");
            }
        }
        if !update_env {
            let (env, own) = (&now.app.env, &now.app.own_env);
            let caller = std::env::vars_os();
            app.env = config::with_own(env, own, caller, &app.filter_env, &app.own_env);
        }
        let selected = Selected {
            known: known.clone(),
            ids: None,
        };
        let count = u32::try_from(now.instances.len()).unwrap_or(u32::MAX);
        let scaled = app.instances;
        let mut actions = Vec::new();
        let incompatible = known.folder.is_claimed() && !now.app.can_become(&app);
        if incompatible && mode == Mode::Reload {
            bail!(
                "{} cannot be reloaded, as the listening sockets are opened anew; `maitred restart` \
                 with the same arguments does it",
                now.app.changed_for_good(&app)
            );
        }
        if incompatible {
            // A supervisor keeps these as long as it lives.
            actions.push(Action::Stop);
        }
        let app = Box::new(app);
        actions.push(match mode {
            Mode::Script | Mode::File if incompatible && runs => Action::Replace(app),
            Mode::Script | Mode::File => Action::Restart(Some(app)),
            Mode::Reload => Action::Reload(Some(app)),
        });
        if scaled != count {
            actions.push(Action::Scale(scaled));
        }
        Ok(Self::Act(selected, actions))
    }

    /// The app that runs then.
    fn known(&self) -> Option<Known> {
        match self {
            Self::Nothing => None,
            Self::Begin(known, _) => Some(known.clone()),
            Self::Act(selected, _) => Some(selected.known.clone()),
        }
    }

    /// What has become of the app then.
    fn done(&self, mode: Mode) -> &'static str {
        match (self, mode) {
            (Self::Nothing, _) => "added, but not started",
            (Self::Begin(..), _) => "started",
            (Self::Act(..), Mode::Script | Mode::File) => "restarted",
            (Self::Act(..), Mode::Reload) => "reloaded",
        }
    }

    fn go(self, home: &Home, progress: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Begin(known, claim) => {
                let name = known.record.app.name.clone();
                known.begin(claim, progress).context(name)
            }
            Self::Act(selected, actions) => {
                for action in actions {
                    selected.act(home, &action, progress)?;
                }
                Ok(())
            }
        }
    }
}
