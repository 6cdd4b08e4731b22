//! `maitred resurrect`: what was saved runs again.

use std::sync::Mutex;

use clap::Args;

use super::{Manner, together};
use crate::apps::{self, Action, Known, Selected};
use home::{Dump, Home, Kept, Record, Which};

/// Bring back the apps that were saved, with their scale, and stopped where they were.
#[derive(Debug, Args)]
pub(super) struct Resurrect {
    /// Bring back the apps that the last `kill` has ended. The same is done where nothing was
    /// saved.
    #[arg(long)]
    killed: bool,
}

impl Resurrect {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let nothing_saved = !Dump::exists(&home, Which::Saved);
        let which = match self.killed {
            false if nothing_saved && Dump::exists(&home, Which::Killed) => {
                let sentence =
                    "nothing was saved; the apps that `maitred kill` has ended come back";
                together::say(manner, sentence);
                Which::Killed
            }
            false => Which::Saved,
            true => Which::Killed,
        };
        let (dump, damage) = Dump::read(&home, which)?;
        if let Some(damage) = damage {
            eprintln!("maitred: {damage}; the one saved before it is used");
        }
        let known = apps::all(&home)?;
        let told = Mutex::new(());
        // The numbers are given out in the order in which they were.
        let mut prepared = Vec::new();
        let mut code = 0;
        for record in dump.apps {
            // What is named in lines may not change them, whatever has written the file.
            if let Err(error) = config::check_names(&record.app) {
                together::complain(&error.context("an app of the file"));
                code = 1;
                continue;
            }
            let name = record.app.name.clone();
            match prepare(&home, &known, record) {
                Ok(Some(one)) => prepared.push(Mutex::new(Some(one))),
                Ok(None) => together::say(manner, &format!("{name} runs already")),
                Err(error) => {
                    together::complain(&error.context(name.clone()));
                    code = 1;
                }
            }
        }
        let results = apps::side_by_side(&prepared, |one| {
            let Some(one) = one.lock().ok().and_then(|mut one| one.take()) else {
                return Ok(String::new());
            };
            let mut progress = together::progress(&one.known().record.app, &told, manner);
            one.bring_back(&home, &mut progress)
        });
        for result in results {
            match result {
                Ok(name) => together::say(manner, &format!("{name} is back")),
                Err(error) => {
                    together::complain(&error);
                    code = 1;
                }
            }
        }
        together::show_list(&home, manner)?;
        Ok(code)
    }
}

/// An app that is about to come back.
enum Prepared {
    New(Known, home::Claim),
    /// One that is in the list, with its instances as they were.
    Old(Selected, Vec<Kept>),
}

fn prepare(home: &Home, known: &[Known], saved: Record) -> anyhow::Result<Option<Prepared>> {
    let Some(known) = together::find(known, &saved.app) else {
        let (known, claim) = apps::add_again(home, saved)?;
        return Ok(Some(Prepared::New(known, claim)));
    };
    // One that has just lost its supervisor is still claimed, by what clears up after it.
    if known.has_supervisor() {
        return Ok(None);
    }
    Ok(Some(Prepared::Old(
        Selected {
            known: known.clone(),
            ids: None,
        },
        saved.instances,
    )))
}

impl Prepared {
    fn known(&self) -> &Known {
        match self {
            Self::New(known, _) => known,
            Self::Old(selected, _) => &selected.known,
        }
    }

    /// Starts what ran; the app's name.
    fn bring_back(
        self,
        home: &Home,
        progress: &mut dyn FnMut(telemetry::events::Event),
    ) -> anyhow::Result<String> {
        let name = self.known().record.app.name.clone();
        match self {
            Self::New(known, claim) => {
                if known.record.instances.iter().any(Kept::is_supervised) {
                    known.begin(claim, progress)?;
                }
            }
            Self::Old(selected, saved) => {
                if saved.iter().any(Kept::is_supervised) {
                    selected.act(home, &Action::BringBack(saved), progress)?;
                }
            }
        }
        Ok(name)
    }
}
