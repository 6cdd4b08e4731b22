//! What is known of apps at this moment, and of the last minutes; and who hears of changes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Serialize;

use crate::history::{Columns, History};
use crate::stream::{self, Subscriber};
use crate::views::{App, Happened, Seen};

/// How many events are kept.
const EVENTS: usize = 500;

/// A look that is older than this says nothing about now.
const STALE: Duration = Duration::from_secs(15);

/// What is known of apps.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    apps: Vec<App>,
    /// In milliseconds since 1970.
    at: u64,
    seen: Option<Instant>,
    histories: BTreeMap<String, History>,
    /// What each instance was given by then, by its number among all of the home.
    given: HashMap<u32, u64>,
    events: VecDeque<Happened>,
    subscribers: Vec<Subscriber>,
}

/// All apps at a moment.
#[derive(Serialize)]
struct Now<'a> {
    at: u64,
    apps: &'a [App],
}

/// Whether all is ready for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// How many apps are not ready.
    Not(usize),
    /// The last look at the apps is too old.
    Unknown,
}

impl Board {
    /// An empty board.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes in how all apps are at a moment, in milliseconds since 1970, and tells those who listen.
    pub fn see(&self, at: u64, seen: Vec<Seen>) {
        let mut state = self.lock();
        let now = Instant::now();
        let last = state.seen.replace(now);
        let seconds = last.map(|last| (now - last).as_secs_f32().max(0.001));
        state.at = at;
        let before = std::mem::take(&mut state.given);
        let mut histories = std::mem::take(&mut state.histories);
        state.apps.clear();
        for Seen { mut app, steps } in seen {
            let mut history = histories.remove(&app.name).unwrap_or_default();
            for instance in &mut app.instances {
                let (Some(given), id) = (instance.given, instance.id) else {
                    continue;
                };
                state.given.insert(id, given);
                if let (Some(seconds), Some(earlier)) = (seconds, before.get(&id)) {
                    // What a new supervisor has counted is all new.
                    let new = given.checked_sub(*earlier).unwrap_or(given);
                    instance.rate = new as f32 / seconds;
                }
            }
            let figures = &mut app.figures;
            figures.rate = app.instances.iter().map(|it| it.rate).sum();
            figures.cpu = app.instances.iter().map(|it| it.cpu).sum();
            figures.memory = app.instances.iter().map(|it| it.memory).sum();
            figures.open = app.instances.iter().filter_map(|it| it.open).sum();
            figures.waiting = app.listeners.iter().map(|it| it.waiting).sum();
            let restarts = app.instances.iter().map(|it| u64::from(it.restarts));
            figures.restarts = restarts.sum();
            (figures.p50, figures.p99) = history.waited(steps);
            history.push(at, *figures);
            state.histories.insert(app.name.clone(), history);
            state.apps.push(app);
        }
        if !state.subscribers.is_empty() {
            let frame = state.frame();
            state.tell(&frame);
        }
    }

    /// Takes in what has happened, and tells those who listen.
    pub fn happened(&self, event: Happened) {
        let mut state = self.lock();
        if !state.subscribers.is_empty() {
            let frame = stream::frame("happened", &event);
            state.tell(&frame);
        }
        if state.events.len() >= EVENTS {
            state.events.pop_front();
        }
        state.events.push_back(event);
    }

    /// All apps, as JSON.
    pub(crate) fn apps(&self) -> Vec<u8> {
        self.lock().now()
    }

    /// One app; `None` if there is none of this name.
    pub(crate) fn app(&self, name: &str) -> Option<App> {
        let state = self.lock();
        state.apps.iter().find(|app| app.name == name).cloned()
    }

    /// What one app has used and served.
    pub(crate) fn columns(&self, name: &str) -> Option<Columns> {
        self.lock().histories.get(name).map(History::columns)
    }

    /// What has happened of late, the oldest first.
    pub(crate) fn events(&self) -> Vec<Happened> {
        self.lock().events.iter().cloned().collect()
    }

    /// Tells a client how things are now, and of each change from now on.
    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        let mut state = self.lock();
        if state.seen.is_none() || subscriber.tell(&state.frame()) {
            state.subscribers.push(subscriber);
        }
    }

    /// Whether apps are looked at.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().is_live()
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let state = self.lock();
        if !state.is_live() {
            return Readiness::Unknown;
        }
        let not = |app: &&App| app.is_to_run && !app.is_ready;
        match state.apps.iter().filter(not).count() {
            0 => Readiness::Ready,
            count => Readiness::Not(count),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What stands there is whole, whatever ended the thread that wrote it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_live(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < STALE)
    }

    fn now(&self) -> Vec<u8> {
        let now = Now {
            at: self.at,
            apps: &self.apps,
        };
        serde_json::to_vec(&now).unwrap_or_default()
    }

    fn frame(&self) -> Bytes {
        stream::frame_of("apps", &self.now())
    }

    /// Tells all clients, and drops those that are too slow.
    fn tell(&mut self, frame: &Bytes) {
        self.subscribers.retain(|subscriber| subscriber.tell(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{Condition, Instance, Unit};

    fn seen(given: u64, ready: bool) -> Seen {
        let instance = Instance {
            id: 7,
            given: Some(given),
            ..Instance::default()
        };
        Seen {
            app: App {
                name: "api".into(),
                namespace: "default".into(),
                unit: Unit::Requests,
                condition: Condition::Well,
                status: "1 online".into(),
                is_to_run: true,
                is_ready: ready,
                version: String::new(),
                listeners: Vec::new(),
                instances: vec![instance],
                figures: Default::default(),
            },
            steps: Vec::new(),
        }
    }

    #[test]
    fn rates_are_those_since_the_last_look() {
        let board = Board::new();
        board.see(1000, vec![seen(100, true)]);
        assert_eq!(board.app("api").unwrap().figures.rate, 0.0);
        board.see(2000, vec![seen(150, true)]);
        assert!(board.app("api").unwrap().figures.rate > 0.0);
        // A new supervisor counts from zero; no rate is below that.
        board.see(3000, vec![seen(3, true)]);
        assert!(board.app("api").unwrap().instances[0].rate > 0.0);
        let columns = board.columns("api").unwrap();
        assert_eq!(columns.at, [1000, 2000, 3000]);
        board.see(4000, Vec::new());
        assert!(board.columns("api").is_none());
    }

    #[test]
    fn readiness_is_that_of_all_that_is_to_run() {
        let board = Board::new();
        assert_eq!(board.readiness(), Readiness::Unknown);
        board.see(1, vec![seen(0, true)]);
        assert_eq!(board.readiness(), Readiness::Ready);
        let mut stopped = seen(0, false);
        stopped.app.is_to_run = false;
        board.see(2, vec![seen(0, false), stopped]);
        assert_eq!(board.readiness(), Readiness::Not(1));
    }

    #[test]
    fn events_are_bounded() {
        let board = Board::new();
        for at in 0..2000 {
            board.happened(Happened {
                at,
                app: "api".into(),
                event: "started".into(),
                instance: None,
                text: String::new(),
            });
        }
        let events = board.events();
        assert_eq!(events.len(), EVENTS);
        assert_eq!(events[0].at, 1500);
    }
}
