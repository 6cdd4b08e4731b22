//! `maitred monit`: apps, what they use and serve, and what they write, at a terminal.
//!
//! What is shown is a pure function of the [`State`] (`view`); the state changes with each [`Sample`]
//! and key. What is asked of apps goes the same ways as with the other commands: a thread looks at
//! them each second as `ls` does, another one follows logs as `logs` does, and one for each order does
//! what `restart` and the others do. The terminal is never waited for by any of them.

mod keys;
mod order;
mod rows;
mod state;
mod terminal;
mod view;

use std::io::{IsTerminal, stdin, stdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::live::log::AppLog;
use super::live::sample::Sampler;
use super::logs::Form;
use super::{Manner, together};
use home::Home;
use keys::Keys;
use order::Progress;
use state::{Does, State};
use terminal::Terminal;

/// How often is looked whether there is something new to show.
const TICK: Duration = Duration::from_millis(100);

/// How many lines of each log are shown of those that were written before.
const LINES_BEFORE: usize = 30;

/// So many lines are taken at a time: keys have their turn, too.
const LINES_AT_ONCE: usize = 1024;

/// Show apps, what they use and what they write, at a terminal, with keys to restart and scale them.
#[derive(Debug, Args)]
pub(super) struct Monit {}

impl Monit {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            bail!(
                "monit needs a terminal to draw on and to take keys from; `maitred ls`, `maitred \
                 logs` and `maitred events` show the same elsewhere"
            );
        }
        let home = Home::find()?;
        let colours = together::colours(manner, &stdout());
        let terminal = Terminal::open().context("preparing the terminal")?;
        Monitor {
            sampler: Sampler::start(home.clone()).context("starting a thread")?,
            state: State::new(colours),
            log: None,
            progress: channel(),
            home,
        }
        .run(terminal)
    }
}

struct Monitor {
    home: Home,
    state: State,
    sampler: Sampler,
    /// The log of the app that is chosen.
    log: Option<AppLog>,
    progress: (Sender<Progress>, Receiver<Progress>),
}

impl Monitor {
    /// Shows and obeys until the end; the exit code.
    fn run(mut self, mut terminal: Terminal) -> anyhow::Result<u8> {
        let mut changed = true;
        let mut keys = Keys::default();
        loop {
            if let Some(code) = terminal.ended() {
                return Ok(code);
            }
            changed |= self.take_news() | terminal.is_resized();
            if std::mem::take(&mut changed) {
                terminal.draw(&self.state).context("drawing")?;
            }
            let Some(pressed) = keys.wait(TICK).context("reading keys")? else {
                return Ok(terminal::HUNG_UP);
            };
            for key in pressed {
                changed = true;
                match self.state.key(key) {
                    Some(Does::Quit) => return Ok(0),
                    Some(Does::Order(order)) => {
                        order::carry_out(*order, self.home.clone(), self.progress.0.clone());
                    }
                    None => {}
                }
            }
        }
    }

    /// Takes up what has come from the threads; whether there was anything.
    fn take_news(&mut self) -> bool {
        let mut new = false;
        while let Some(sample) = self.sampler.next() {
            self.state.sample(sample);
            new = true;
        }
        while let Ok(progress) = self.progress.1.try_recv() {
            if progress.is_done {
                self.sampler.hurry();
            }
            self.state.message = Some(progress.text);
            new = true;
        }
        let chosen = self.state.chosen_app().map(|app| app.known.folder.clone());
        let followed = self.log.as_ref().map(AppLog::folder);
        if chosen.as_ref() != followed {
            self.state.log.clear();
            self.log = chosen.and_then(|folder| {
                AppLog::follow(self.home.clone(), folder, Form::Pretty, LINES_BEFORE).ok()
            });
            new = true;
        }
        if let Some(log) = &self.log {
            for line in log.new_lines(LINES_AT_ONCE) {
                self.state.log_line(line);
                new = true;
            }
        }
        new
    }
}
