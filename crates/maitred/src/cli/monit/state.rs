//! What is shown, and what keys change of it: no clock, no terminal, no app is touched here.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::super::live::order::{Order, What};
use super::super::live::sample::{AppSample, Sample};
use super::keys::Key;
use super::rows::{self, Row};
use crate::apps::Change;
use telemetry::ids::InstanceId;

/// How many seconds sparklines go back.
const SECONDS: usize = 600;

/// How many lines of the log are kept.
const LINES: usize = 1000;

/// How far one page goes.
const PAGE: isize = 10;

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) colours: bool,
    pub(super) sample: Option<Sample>,
    /// The row that is chosen; the first one, if it is gone.
    pub(super) chosen: Option<Place>,
    pub(super) histories: BTreeMap<PathBuf, History>,
    pub(super) log: VecDeque<String>,
    /// What the user is asked.
    pub(super) asked: Option<Box<Order>>,
    /// What has come of an order.
    pub(super) message: Option<String>,
}

/// An app by its folder, or an instance of it by its number among all of the home.
pub(super) type Place = (PathBuf, Option<InstanceId>);

/// What an app has used and served, a value for each second.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In thousandths of a processor.
    pub(super) cpu: VecDeque<u64>,
    /// Connections, or requests, in that second.
    pub(super) served: VecDeque<u64>,
    /// What its instances had served by then, and when that was.
    before: Option<(Duration, BTreeMap<InstanceId, u64>)>,
}

/// What a key asks for beyond what is shown.
#[derive(Debug)]
pub(super) enum Does {
    Quit,
    Order(Box<Order>),
}

impl State {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            sample: None,
            chosen: None,
            histories: BTreeMap::new(),
            log: VecDeque::new(),
            asked: None,
            message: None,
        }
    }

    /// How apps are now.
    pub(super) fn sample(&mut self, sample: Sample) {
        let mut histories = std::mem::take(&mut self.histories);
        for app in &sample.apps {
            let folder = app.known.folder.path().to_owned();
            let mut history = histories.remove(&folder).unwrap_or_default();
            history.add(sample.at, app);
            self.histories.insert(folder, history);
        }
        if let Some(fault) = sample.faults.first() {
            self.message = Some(super::super::shown::plain(fault));
        }
        self.sample = Some(sample);
        // One that is gone is not chosen again when it comes back.
        self.chosen = rows::all(self)
            .into_iter()
            .nth(self.at())
            .map(|it| it.place);
    }

    pub(super) fn log_line(&mut self, line: String) {
        if self.log.len() >= LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// The index of the row that is chosen.
    pub(super) fn at(&self) -> usize {
        let Some(chosen) = &self.chosen else {
            return 0;
        };
        let rows = rows::all(self);
        let place = |place: &Place| rows.iter().position(|row| row.place == *place);
        // Where an instance is gone its app stays chosen.
        let found = place(chosen).or_else(|| place(&(chosen.0.clone(), None)));
        found.unwrap_or(0)
    }

    fn chosen_row(&self) -> Option<Row<'_>> {
        rows::all(self).into_iter().nth(self.at())
    }

    /// The app that is chosen, or of which an instance is.
    pub(super) fn chosen_app(&self) -> Option<&AppSample> {
        self.chosen_row().map(|row| row.app)
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key) -> Option<Does> {
        if key == Key::Interrupt {
            return Some(Does::Quit);
        }
        if let Some(order) = self.asked.take() {
            return match key {
                Key::Char('y' | 'Y') => Some(Does::Order(order)),
                _ => {
                    self.message = Some("nothing done".to_owned());
                    None
                }
            };
        }
        self.message = None;
        match key {
            Key::Char('q') => return Some(Does::Quit),
            Key::Up | Key::Char('k') => self.go(-1),
            Key::Down | Key::Char('j') => self.go(1),
            Key::PageUp => self.go(-PAGE),
            Key::PageDown => self.go(PAGE),
            Key::Home => self.go(isize::MIN),
            Key::End => self.go(isize::MAX),
            Key::Char('r') => self.ask(What::Restart),
            Key::Char('l') => self.ask(What::Reload),
            Key::Char('s') => self.ask(What::Stop),
            Key::Char('+' | '=') => self.ask(What::Scale(Change::By(1))),
            Key::Char('-') => self.ask(What::Scale(Change::By(-1))),
            _ => {}
        }
        None
    }

    fn go(&mut self, steps: isize) {
        let at = self.at();
        let mut rows = rows::all(self);
        let last = rows.len().saturating_sub(1);
        let to = at.saturating_add_signed(steps).min(last);
        let place = (to < rows.len()).then(|| rows.swap_remove(to).place);
        self.chosen = place;
    }

    /// Asks whether that is to be done with what is chosen.
    fn ask(&mut self, what: What) {
        let order = self.chosen_row().map(|row| Order {
            what,
            known: row.app.known.clone(),
            instance: match what {
                // An app is scaled as a whole.
                What::Scale(_) => None,
                What::Start | What::Restart | What::Reload | What::Stop => row.instance_numbers(),
            },
            count: row.app.instances.len(),
        });
        self.asked = order.map(Box::new);
        if let Some(order) = &self.asked
            && order.what == What::Scale(Change::By(-1))
            && order.count <= 1
        {
            self.message = Some("the last instance stays; s stops it".to_owned());
            self.asked = None;
        }
    }
}

impl History {
    fn add(&mut self, at: Duration, app: &AppSample) {
        let cpu: f64 = app.instances.iter().map(|(_, usage)| usage.cpu).sum();
        // A percentage of up to some thousands.
        push(&mut self.cpu, (cpu * 10.0).max(0.0) as u64);
        let given = app.instances.iter();
        let given: BTreeMap<_, _> = given
            .filter_map(|(view, _)| Some((view.id, view.given?)))
            .collect();
        let before = self.before.replace((at, given.clone()));
        let Some((then, before)) = before else {
            return push(&mut self.served, 0);
        };
        let served: u64 = given
            .iter()
            .map(|(id, count)| match before.get(id) {
                // What a new supervisor has counted is all new.
                Some(earlier) => count.checked_sub(*earlier).unwrap_or(*count),
                None => 0,
            })
            .sum();
        let seconds = at.saturating_sub(then).as_secs_f64().max(0.001);
        push(&mut self.served, (served as f64 / seconds).round() as u64);
    }
}

fn push(values: &mut VecDeque<u64>, value: u64) {
    if values.len() >= SECONDS {
        values.pop_front();
    }
    values.push_back(value);
}
