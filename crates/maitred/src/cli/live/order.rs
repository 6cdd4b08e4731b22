//! What is ordered where apps are shown, and doing it as the command of that name does.

use super::super::scale::scaled;
use super::super::shown;
use crate::apps::{Action, Change, Known, Selected};
use home::Home;
use supervisor::output::Sentences;
use telemetry::ids::{Instance, InstanceId};

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum What {
    Start,
    Restart,
    Reload,
    Stop,
    Scale(Change),
}

/// What is to be done with an app, or an instance of it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Order {
    pub(in crate::cli) what: What,
    pub(in crate::cli) known: Known,
    /// The instance's number among all of the home, and its number within the app.
    pub(in crate::cli) instance: Option<(InstanceId, Instance)>,
    /// How many instances the app has.
    pub(in crate::cli) count: usize,
}

impl Order {
    /// What the user is asked.
    pub(in crate::cli) fn question(&self) -> String {
        let verb = match self.what {
            What::Start => "start",
            What::Restart => "restart",
            What::Reload => "reload",
            What::Stop => "stop",
            What::Scale(change) => {
                let name = shown::plain(&self.known.record.app.name);
                let count = u32::try_from(self.count).unwrap_or(u32::MAX);
                let wanted = change.of(count);
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
            Some((_, instance)) => format!("{name}-{instance}"),
            None => name,
        }
    }

    /// Does it, and tells in words what happens meanwhile; what was done.
    ///
    /// # Errors
    /// If it is not done, or came to nothing good.
    pub(in crate::cli) fn act(
        &self,
        home: &Home,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<String> {
        let mut known = self.known.clone();
        // As it is now.
        known.record = known.folder.record()?;
        let (action, done) = match self.what {
            What::Start => (Action::Start, "started".to_owned()),
            What::Restart => (Action::Restart(None), "restarted".to_owned()),
            What::Reload => (Action::Reload(None), "reloaded".to_owned()),
            What::Stop => (Action::Stop, "stopped".to_owned()),
            What::Scale(change) => {
                let (now, count) = scaled(&known, change)?;
                known.record.app.instances = count;
                let done = format!("scaled from {now} to {count}");
                (Action::Scale(count), done)
            }
        };
        let name = self.name();
        let going = match self.what {
            What::Start => "starting",
            What::Restart => "restarting",
            What::Reload => "reloading",
            What::Stop => "stopping",
            What::Scale(_) => "scaling",
        };
        tell(&format!("{name}: {going} …"));
        let mut sentences = Sentences::new(&known.record.app, false);
        let selected = Selected {
            known,
            ids: self.instance.map(|(id, _)| vec![id]),
        };
        selected.act(home, &action, &mut |event| {
            if let Some(text) = sentences.in_words(&event) {
                tell(&text);
            }
        })?;
        Ok(format!("{name}: {done}"))
    }
}
