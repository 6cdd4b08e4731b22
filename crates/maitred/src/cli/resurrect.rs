//! `maitred resurrect`: what was saved runs again.

use std::sync::Mutex;

use clap::Args;

use super::{Manner, together};
use crate::apps::{self, Action, Known, Selected};
use crate::home::{Dump, Home, Record, Rest};

/// Bring back the apps that were saved, with their scale, and stopped where they were.
#[derive(Debug, Args)]
pub(super) struct Resurrect {}

impl Resurrect {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let (dump, damage) = Dump::read(&home)?;
        if let Some(damage) = damage {
            eprintln!("maitred: {damage}; the one saved before it is used");
        }
        let known = apps::all(&home)?;
        let told = Mutex::new(());
        // The numbers are given out in the order in which they were.
        let mut prepared = Vec::new();
        let mut code = 0;
        for record in dump.apps {
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
    New(Known, crate::home::Claim),
    Old(Selected),
}

fn prepare(home: &Home, known: &[Known], saved: Record) -> anyhow::Result<Option<Prepared>> {
    let Some(known) = together::find(known, &saved.app) else {
        let (known, claim) = apps::add_again(home, saved)?;
        return Ok(Some(Prepared::New(known, claim)));
    };
    // One that has just lost its supervisor is still claimed, by what clears up after it.
    if known.folder.is_claimed() && known.folder.connect().is_ok() {
        return Ok(None);
    }
    let ran = |number| {
        saved
            .instances
            .iter()
            .any(|kept| kept.number == number && kept.rest == Rest::Runs)
    };
    let ids = known.record.instances.iter();
    let ids = ids.filter(|kept| ran(kept.number)).map(|kept| kept.id);
    Ok(Some(Prepared::Old(Selected {
        known: known.clone(),
        ids: Some(ids.collect()),
    })))
}

impl Prepared {
    fn known(&self) -> &Known {
        match self {
            Self::New(known, _) => known,
            Self::Old(selected) => &selected.known,
        }
    }

    /// Starts what ran; the app's name.
    fn bring_back(
        self,
        home: &Home,
        progress: &mut dyn FnMut(crate::events::Event),
    ) -> anyhow::Result<String> {
        let name = self.known().record.app.name.clone();
        match self {
            Self::New(known, claim) => {
                let any = known
                    .record
                    .instances
                    .iter()
                    .any(|it| it.rest == Rest::Runs);
                if any {
                    known.begin(claim, progress)?;
                }
            }
            Self::Old(selected) => {
                if selected.ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
                    selected.act(home, &Action::Start, progress)?;
                }
            }
        }
        Ok(name)
    }
}
