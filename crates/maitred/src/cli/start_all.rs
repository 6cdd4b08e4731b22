//! Apps that a config or a script describes are started or changed, those that others depend on
//! first.

use std::sync::Mutex;

use anyhow::{Context, bail};

use super::order::{self, Called, Order, STARTED_TOO};
use super::start::Mode;
use super::{Manner, together};
use crate::apps::{self, Action, Deleted, Known, OfApp, Selected, Standing};
use config::{self, App, ExecMode, Resolved};
use home::Home;
use home::control::{Fault, State};
use telemetry::events::Event;

/// What has come of a start.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// The exit code.
    pub(super) code: u8,
    /// Apps that run now, or are tried.
    pub(super) names: Vec<String>,
}

/// Apps that are to be started.
#[derive(Debug, Default)]
pub(super) struct Meant {
    pub(super) apps: Vec<Resolved>,
    /// Others of the same file that they depend on.
    pub(super) needed: Vec<Resolved>,
    /// Those of the file that cannot be run as they are described.
    pub(super) broken: Vec<Called>,
    /// Only the order among themselves matters: they were there already, and were named.
    pub(super) named: bool,
    /// The exit code so far.
    pub(super) code: u8,
}

/// An app that is about to have its turn.
struct Turn {
    app: App,
    done: &'static str,
    known: Option<Known>,
    way: Mutex<Option<Way>>,
}

/// Starts apps, as far side by side as they do not depend on each other. Apps that exist already keep
/// the environment that they were started with, unless the command updates it (`--update-env`).
///
/// # Errors
/// If the apps that are there cannot be found, or they cannot be put in order.
pub(super) fn start_all(
    home: &Home,
    meant: Meant,
    mode: Mode,
    update_env: bool,
    manner: &Manner,
) -> anyhow::Result<Started> {
    let known = apps::all(home)?;
    let apps = with_needed(meant.apps, meant.needed, &known, manner);
    let own: Vec<_> = apps.iter().map(|resolved| &resolved.app).collect();
    let order = match meant.named {
        true => Order::among(&own),
        false => Order::strict(&own, &meant.broken, &known)?,
    };
    let mut started = Started {
        code: meant.code,
        names: Vec::new(),
    };
    // In the order of the file, so that the numbers are too.
    let mut turns = Vec::new();
    for (number, resolved) in apps.into_iter().enumerate() {
        let app = resolved.app.clone();
        let way = Way::of(
            home,
            &known,
            resolved,
            mode,
            update_env,
            order.waits(number),
        );
        let way = way.map_err(|error| {
            together::complain_of(&error.context(OfApp(app.name.clone())));
            started.code = 1;
        });
        let way = way.ok();
        turns.push(Turn {
            done: way.as_ref().map_or("", |way| way.done(mode)),
            known: way.as_ref().and_then(Way::known),
            app,
            way: Mutex::new(way),
        });
    }
    let told = Mutex::new(());
    let worked = order.forward(
        &|number| turns.get(number)?.known.clone(),
        &|number| match turns.get(number) {
            Some(turn) => turn.begin(home, &told, mode, manner),
            None => (None, None),
        },
    );
    for (turn, result) in turns.iter().zip(worked.results) {
        if let Some(result) = result.flatten() {
            started.add(turn, result, mode, manner);
        }
    }
    let code = order.complain(&worked.culprits, not_done(mode));
    started.code = started.code.max(code);
    Ok(started)
}
/// The apps that were chosen, and of those that they depend on the ones that do not run.
fn with_needed(
    mut apps: Vec<Resolved>,
    needed: Vec<Resolved>,
    known: &[Known],
    manner: &Manner,
) -> Vec<Resolved> {
    for resolved in needed {
        let found = together::find(known, &resolved.app);
        if found.is_some_and(|known| known.snapshot().is_to_run()) {
            continue;
        }
        let name = &resolved.app.name;
        together::say(manner, &format!("{name}: {STARTED_TOO}"));
        apps.push(resolved);
    }
    apps
}

fn not_done(mode: Mode) -> &'static str {
    match mode {
        Mode::Script | Mode::File => "started",
        Mode::Reload => "reloaded",
    }
}

impl Turn {
    /// Begins; what came of it, if it could be begun at all, and why others should not count on it.
    fn begin(
        &self,
        home: &Home,
        told: &Mutex<()>,
        mode: Mode,
        manner: &Manner,
    ) -> (Option<anyhow::Result<()>>, Option<String>) {
        let way = self.way.lock().ok().and_then(|mut way| way.take());
        let Some(way) = way else {
            return (None, Some("could not be started".to_owned()));
        };
        if matches!(way, Way::Nothing) {
            let reason = "is not started, as its autostart is false";
            return (Some(Ok(())), Some(reason.to_owned()));
        }
        let mut progress = together::progress(&self.app, told, manner);
        let result = way.go(home, &mut progress);
        let fault = result.as_ref().err().map(|error| match mode {
            Mode::Script | Mode::File => order::reason(error),
            Mode::Reload => "was not reloaded".to_owned(),
        });
        (Some(result), fault)
    }
}

impl Started {
    /// Takes in what has come of one app, and says it.
    fn add(&mut self, turn: &Turn, result: anyhow::Result<()>, mode: Mode, manner: &Manner) {
        let app = &turn.app;
        let fault = result.as_ref().err().and_then(|error| error.downcast_ref());
        let refusal = match fault {
            Some(Fault::Refused(refusal)) => Some(refusal),
            _ => None,
        };
        if result.is_ok() || refusal.is_some() {
            self.names.push(app.name.clone());
        }
        // A start of which something is up, or may come up yet, is no failure of the command, as
        // with pm2; a reload that has kept the old one is.
        let is_tried = mode != Mode::Reload && refusal.is_some_and(|it| !it.all_broken);
        match result {
            Ok(()) => {
                let known = turn.known.as_ref();
                let silence = known.map_or("", |known| silence(app, known));
                together::say(manner, &format!("{}: {}{silence}", app.name, turn.done));
            }
            Err(error) => {
                together::complain_of(&error);
                self.code = self.code.max(u8::from(!is_tried));
            }
        }
    }
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
    /// It is added, and started in its turn.
    Later(Selected),
    Act(Selected, Vec<Action>),
}

impl Way {
    fn of(
        home: &Home,
        known: &[Known],
        resolved: Resolved,
        mode: Mode,
        update_env: bool,
        waits: bool,
    ) -> anyhow::Result<Self> {
        let Resolved { mut app, force, .. } = resolved;
        let standing = together::find(known, &app).map(Known::standing);
        let Some(Standing { known, runs }) = standing.transpose()?.flatten() else {
            let autostart = app.restart.autostart;
            if autostart && waits {
                // Until its turn comes it is an app as others are, which any command may start.
                let known = apps::add_stopped(home, app)?;
                return Ok(Self::Later(Selected { known, ids: None }));
            }
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
            Self::Later(selected) | Self::Act(selected, _) => Some(selected.known.clone()),
        }
    }

    /// What has become of the app then.
    fn done(&self, mode: Mode) -> &'static str {
        match (self, mode) {
            (Self::Nothing, _) => "added, but not started",
            (Self::Begin(..) | Self::Later(_), _) => "started",
            (Self::Act(..), Mode::Script | Mode::File) => "restarted",
            (Self::Act(..), Mode::Reload) => "reloaded",
        }
    }

    fn go(self, home: &Home, progress: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Begin(known, claim) => {
                let name = known.record.app.name.clone();
                known.begin(claim, progress).context(OfApp(name))
            }
            Self::Later(selected) => selected.act(home, &Action::Start, progress),
            Self::Act(selected, actions) => {
                for action in &actions {
                    let acted = selected.act(home, action, progress);
                    match (acted, action) {
                        // It is to run, and not to go on.
                        (Err(error), Action::Restart(Some(app)) | Action::Replace(app))
                            if error.is::<Deleted>() =>
                        {
                            return begin_anew(home, app, progress);
                        }
                        (acted, _) => acted?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Adds an app once more, which another command has deleted while it was to be started.
fn begin_anew(home: &Home, app: &App, progress: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
    let (known, claim) = apps::add(home, app.clone())?;
    match known.record.app.restart.autostart {
        true => known
            .begin(claim, progress)
            .context(OfApp(app.name.clone())),
        false => Ok(()),
    }
}
