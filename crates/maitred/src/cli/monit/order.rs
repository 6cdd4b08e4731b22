//! What a key orders, and doing it as the command of that name does.

use std::sync::mpsc::Sender;

use super::super::scale::scaled;
use super::super::shown;
use crate::apps::{Action, Change, Known, Selected};
use home::Home;
use supervisor::output::Sentences;

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Restart,
    Reload,
    Stop,
    /// So many instances more, or fewer.
    Scale(i64),
}

/// What is to be done with an app, or an instance of it.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) what: What,
    pub(super) known: Known,
    /// The instance's number among all of the home, and its number within the app.
    pub(super) instance: Option<(u32, u32)>,
    /// How many instances the app has.
    pub(super) count: usize,
}

/// How far an order has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) text: String,
    pub(super) is_done: bool,
}

impl Order {
    /// What the user is asked.
    pub(super) fn question(&self) -> String {
        let verb = match self.what {
            What::Restart => "restart",
            What::Reload => "reload",
            What::Stop => "stop",
            What::Scale(more) => {
                let name = shown::plain(&self.known.record.app.name);
                let count = i64::try_from(self.count).unwrap_or(i64::MAX);
                let wanted = count.saturating_add(more);
                return format!("scale {name} from {count} to {wanted}?");
            }
        };
        let all = match (self.instance, self.count) {
            (Some(_), _) | (None, 1) => String::new(),
            (None, count) => format!(" (all {count} instances)"),
        };
        format!("{verb} {}{all}?", self.name())
    }

    fn name(&self) -> String {
        let name = shown::plain(&self.known.record.app.name);
        match self.instance {
            Some((_, number)) => format!("{name}-{number}"),
            None => name,
        }
    }

    /// Does it, in a thread of its own, and tells what comes of it.
    pub(super) fn carry_out(self, home: Home, tell: Sender<Progress>) {
        let failed = tell.clone();
        let thread = std::thread::Builder::new().name("order".into());
        let work = move || {
            let done = match self.act(&home, &tell) {
                Ok(done) => done,
                Err(error) => format!("{error:#}"),
            };
            say(&tell, &done, true);
        };
        if let Err(error) = thread.spawn(work) {
            say(&failed, &format!("starting a thread: {error}"), true);
        }
    }

    fn act(&self, home: &Home, tell: &Sender<Progress>) -> anyhow::Result<String> {
        let mut known = self.known.clone();
        // As it is now.
        known.record = known.folder.record()?;
        let (action, done) = match self.what {
            What::Restart => (Action::Restart(None), "restarted".to_owned()),
            What::Reload => (Action::Reload(None), "reloaded".to_owned()),
            What::Stop => (Action::Stop, "stopped".to_owned()),
            What::Scale(more) => {
                let (now, count) = scaled(&known, Change::By(more))?;
                known.record.app.instances = count;
                let done = format!("scaled from {now} to {count}");
                (Action::Scale(count), done)
            }
        };
        let name = self.name();
        let going = match self.what {
            What::Restart => "restarting",
            What::Reload => "reloading",
            What::Stop => "stopping",
            What::Scale(_) => "scaling",
        };
        say(tell, &format!("{name}: {going} …"), false);
        let mut sentences = Sentences::new(&known.record.app, false);
        let selected = Selected {
            known,
            ids: self.instance.map(|(id, _)| vec![id]),
        };
        selected.act(home, &action, &mut |event| {
            if let Some(text) = sentences.in_words(&event) {
                say(tell, &text, false);
            }
        })?;
        Ok(format!("{name}: {done}"))
    }
}

/// One line of it.
fn say(tell: &Sender<Progress>, text: &str, is_done: bool) {
    let text = text.lines().collect::<Vec<_>>().join("; ");
    let text = shown::plain(&text);
    // At its end the monitor hears nothing more.
    let _ = tell.send(Progress { text, is_done });
}
