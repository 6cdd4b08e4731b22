//! Those who follow what happens to the app.

use std::collections::VecDeque;

use home::control::{Answer, Happened};
use home::now_ms;
use telemetry::events::Event;

/// So much of what has happened is kept for those who have heard of the app only after that.
const RECENT: usize = 64;

/// Those who follow what happens.
#[derive(Debug, Default)]
pub(super) struct Followers {
    recent: VecDeque<Happened>,
    answers: Vec<Answer>,
}

impl Followers {
    /// What has happened lately, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Event> {
        self.recent.iter().map(|it| &it.event)
    }

    /// One more, who hears first what has happened since then.
    pub(super) fn add(&mut self, since: u64, answer: Answer) {
        self.answers.retain(|answer| !answer.is_closed());
        let known = self.recent.iter().filter(|it| it.at >= since);
        known.cloned().for_each(|it| answer.tell(it));
        self.answers.push(answer);
    }

    pub(super) fn tell(&mut self, event: Event) {
        let at = now_ms();
        let happened = Happened { at, event };
        self.answers.retain(|answer| !answer.is_closed());
        for answer in &self.answers {
            answer.tell(happened.clone());
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(happened);
    }

    /// The app has stopped; that is the last thing that they hear.
    pub(super) fn end(&mut self, code: u8) {
        self.tell(Event::Stopped { code });
        self.answers.clear();
    }
}
