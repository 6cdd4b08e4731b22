//! `maitred resurrect`: what was saved runs again.

use std::sync::Mutex;

use anyhow::Context;
use clap::Args;

use super::order::{self, Order};
use super::{Manner, together};
use crate::apps::{self, Action, Known, OfApp, Selected};
use home::{Dump, Home, Kept, Record, Rest, Which};

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
        let mut code = 0;
        let saved = with_good_names(dump.apps, &mut code);
        let own: Vec<_> = saved.iter().map(|record| &record.app).collect();
        let order = Order::lenient(&own, &known, manner);
        // The numbers are given out in the order in which they were.
        let mut turns = Vec::new();
        for (number, record) in saved.into_iter().enumerate() {
            let name = record.app.name.clone();
            let prepared = match prepare(&home, &known, record, order.waits(number)) {
                Ok(Some(one)) => Turn::of(one),
                Ok(None) => {
                    together::say(manner, &format!("{name} runs already"));
                    Turn::nothing(true)
                }
                Err(error) => {
                    together::complain_of(&error.context(OfApp(name)));
                    code = 1;
                    Turn::nothing(false)
                }
            };
            turns.push(prepared);
        }
        let told = Mutex::new(());
        let begin = |number: usize| match turns.get(number) {
            Some(turn) => turn.begin(&home, &told, manner),
            None => (None, None),
        };
        let worked = order.forward(&|number| turns.get(number)?.completes.clone(), &begin);
        for result in worked.results.into_iter().flatten().flatten() {
            match result {
                Ok(name) => together::say(manner, &format!("{name} is back")),
                Err(error) => {
                    together::complain_of(&error);
                    code = 1;
                }
            }
        }
        code = code.max(order.complain(&worked.culprits, "started"));
        together::show_list(&home, manner)?;
        Ok(code)
    }
}

/// The apps whose names commands and lines can have. What is named in lines may not change them, whatever
/// has written the file.
fn with_good_names(saved: Vec<Record>, code: &mut u8) -> Vec<Record> {
    let good = saved.into_iter().filter(|record| {
        let checked = config::check_names(&record.app);
        if let Err(error) = checked {
            together::complain(&error.context("an app of the file"));
            *code = 1;
            return false;
        }
        true
    });
    good.collect()
}

/// An app that has its turn.
struct Turn {
    prepared: Mutex<Option<Prepared>>,
    /// Others may count on it although there is nothing to be done.
    is_there: bool,
    /// The app, if a process of it is started, whose end others may wait for. What had ended when it was
    /// saved had completed, as far as anybody can tell.
    completes: Option<Known>,
}

impl Turn {
    fn of(prepared: Prepared) -> Self {
        let starts = |kept: &&Kept| kept.rest == Rest::Runs && !kept.waits;
        let runs = prepared.saved().iter().any(|kept| starts(&kept));
        Self {
            completes: runs.then(|| prepared.known().clone()),
            prepared: Mutex::new(Some(prepared)),
            is_there: true,
        }
    }

    fn nothing(is_there: bool) -> Self {
        Self {
            prepared: Mutex::new(None),
            is_there,
            completes: None,
        }
    }

    /// Brings it back: its name or what went wrong, and why others should not count on it.
    fn begin(
        &self,
        home: &Home,
        told: &Mutex<()>,
        manner: &Manner,
    ) -> (Option<anyhow::Result<String>>, Option<String>) {
        let prepared = self.prepared.lock().ok().and_then(|mut it| it.take());
        let Some(prepared) = prepared else {
            let fault = (!self.is_there).then(|| "is not back".to_owned());
            return (None, fault);
        };
        let mut progress = together::progress(&prepared.known().record.app, told, manner);
        let result = prepared.bring_back(home, &mut progress);
        let fault = result.as_ref().err().map(order::reason);
        (Some(result), fault)
    }
}

/// An app that is about to come back.
enum Prepared {
    New(Known, home::Claim),
    /// One that is in the list, with its instances as they were.
    Old(Selected, Vec<Kept>),
}

/// What is to be done; nothing if it runs. One that `waits` for others is in the list, stopped, until its
/// turn comes.
fn prepare(
    home: &Home,
    known: &[Known],
    mut saved: Record,
    waits: bool,
) -> anyhow::Result<Option<Prepared>> {
    let Some(known) = together::find(known, &saved.app) else {
        if waits {
            let instances = saved.instances.clone();
            for kept in saved.instances.iter_mut().filter(|it| it.is_supervised()) {
                kept.set_rest(Rest::Stopped);
            }
            let (known, _) = apps::add_again(home, saved)?;
            return Ok(Some(Prepared::Old(
                Selected { known, ids: None },
                instances,
            )));
        }
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

    /// The instances as they were.
    fn saved(&self) -> &[Kept] {
        match self {
            Self::New(known, _) => &known.record.instances,
            Self::Old(_, saved) => saved,
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
                    let begun = known.begin(claim, progress);
                    begun.with_context(|| OfApp(name.clone()))?;
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
