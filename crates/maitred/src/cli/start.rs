//! `maitred start`: an app in the background.

use std::path::Path;
use std::sync::Mutex;

use anyhow::bail;
use clap::Args;

use super::run::Run;
use super::{Manner, together};
use crate::apps::{self, Action, Known, Selected};
use crate::config::{App, ExecMode, Instances};
use crate::home::Home;

/// Start an app in the background, or apps that are stopped.
#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    run: Run,

    /// Restart it if it runs already.
    #[arg(short, long)]
    force: bool,
}

impl Start {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let known = apps::all(&home)?;
        if let Some(selected) = existing(&known, &self.run.script.to_string_lossy())? {
            return together::act(&home, &selected, &Action::Start, "started", manner);
        }
        let cluster = self.run.instances.is_some();
        let mut app = self.run.resolve(Instances::Exactly(1))?;
        if !cluster {
            app.exec_mode = ExecMode::Fork;
        }
        app.pass_through = false;
        start(&home, &known, app, self.force, manner)
    }
}

/// The apps that a target of `start` means, if it does not mean a script.
fn existing(known: &[Known], target: &str) -> anyhow::Result<Option<Vec<Selected>>> {
    let script = target.contains('/') || Path::new(target).extension().is_some();
    if script && target.parse::<u32>().is_err() {
        return Ok(None);
    }
    let selected = apps::select(known, &[target.to_owned()]);
    Ok(selected.ok().filter(|selected| !selected.is_empty()))
}

/// Starts one app: adds it, or, where it was added already, starts it again.
fn start(
    home: &Home,
    known: &[Known],
    app: App,
    force: bool,
    manner: &Manner,
) -> anyhow::Result<u8> {
    let name = app.name.clone();
    let told = Mutex::new(());
    let mut progress = together::progress(&app, &told, manner);
    let result = match together::find(known, &app) {
        Some(known) => {
            if known.record.app.script != app.script {
                bail!(
                    "an app {name} exists already, which runs {}; choose another name with \
                     --name, or delete that one",
                    known.record.app.script.display()
                );
            }
            if known.folder.is_claimed() && !force {
                bail!("{name} runs already; -f restarts it with what is said here");
            }
            let selected = Selected {
                known: known.clone(),
                ids: None,
            };
            let action = Action::Restart(Some(Box::new(app)));
            selected.act(home, &action, &mut progress)
        }
        None => {
            let (known, claim) = apps::add(home, app)?;
            if known.record.app.restart.autostart {
                known.begin(claim, &mut progress)
            } else {
                Ok(())
            }
        }
    };
    match result {
        Ok(()) => together::say(manner, &format!("{name}: started")),
        // It is added, and its supervisor goes on trying: as with pm2 that is no failure of the
        // command.
        Err(error) => eprintln!("maitred: {error:#}"),
    }
    together::show_list(home, manner)?;
    Ok(0)
}
