//! Apps and their instances as rows: an app with one instance has one row, others one for each
//! instance below their own.

use anstyle::{AnsiColor, Style};

use super::super::list;
use super::super::live::sample::AppSample;
use super::super::live::summary;
use super::super::shown;
use super::super::table::{Cell, Column};
use super::super::usage::Usage;
use super::state::{Place, State};
use home::control::InstanceView;
use telemetry::ids::{Instance, InstanceId};

/// A row.
pub(super) struct Row<'a> {
    pub(super) place: Place,
    pub(super) app: &'a AppSample,
    /// What it shows, where that is one instance.
    instance: Option<&'a (InstanceView, Usage)>,
}

/// All rows, from the first.
pub(super) fn all(state: &State) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for app in state.sample.iter().flat_map(|sample| &sample.apps) {
        let folder = app.known.folder.path();
        let instances = app.instances.iter();
        let only = match &app.instances[..] {
            [only] => Some(only),
            _ => None,
        };
        rows.push(Row {
            place: (folder.to_owned(), None),
            app,
            instance: only,
        });
        if only.is_none() {
            rows.extend(instances.map(|instance| Row {
                place: (folder.to_owned(), Some(instance.0.id)),
                app,
                instance: Some(instance),
            }));
        }
    }
    rows
}

const fn column(title: &'static str, right: bool, goes: u8) -> Column {
    Column { title, right, goes }
}

/// What goes first where there is no room is what can be done without.
pub(super) const COLUMNS: [Column; 10] = [
    column("name", false, 0),
    column("id", true, 8),
    column("pid", true, 6),
    column("status", false, 0),
    column("cpu", true, 2),
    column("mem", true, 1),
    column("up", true, 5),
    column("restarts", true, 4),
    column("open", true, 3),
    column("waiting", true, 7),
];

impl Row<'_> {
    /// The numbers of the instance that is chosen with this row, if that is not the whole app.
    pub(super) fn instance_numbers(&self) -> Option<(InstanceId, Instance)> {
        self.place.1?;
        self.instance.map(|(view, _)| (view.id, view.instance))
    }

    /// What stands in its columns.
    pub(super) fn cells(&self, now: u64) -> Vec<Cell> {
        let or_none = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
        let views = || self.app.instances.iter().map(|(view, _)| view);
        let shown: Vec<_> = match self.instance {
            Some(one) => vec![one],
            None => self.app.instances.iter().collect(),
        };
        let runs = shown.iter().any(|(view, _)| view.pid.is_some());
        let cpu: f64 = shown.iter().map(|(_, usage)| usage.cpu).sum();
        let memory: u64 = shown.iter().map(|(_, usage)| usage.memory).sum();
        let restarts: u64 = shown.iter().map(|(view, _)| u64::from(view.restarts)).sum();
        let open: Vec<_> = shown.iter().filter_map(|(view, _)| view.open).collect();
        let open = (!open.is_empty()).then(|| open.iter().sum::<u64>());
        let one = self.instance.map(|(view, _)| view);
        let since = one.and_then(|view| view.since).filter(|_| runs);
        let uptime = since.map(|since| shown::duration(now.saturating_sub(since)));
        let is_app = self.place.1.is_none();
        let status = match one {
            Some(view) => status(view),
            None => summary(views()),
        };
        vec![
            self.name(),
            or_none(one.map(|view| view.id.to_string())),
            or_none(one.and_then(|view| view.pid).map(|pid| pid.to_string())),
            status,
            or_none(runs.then(|| format!("{cpu:.1}%"))),
            or_none(runs.then(|| shown::bytes(memory))),
            or_none(uptime),
            restarts.to_string().into(),
            or_none(open.map(|open| open.to_string())),
            or_none(is_app.then(|| self.app.waiting().to_string())),
        ]
    }

    fn name(&self) -> Cell {
        let app = &self.app.known.record.app;
        match (&self.place.1, self.instance) {
            (Some(_), Some((view, _))) => {
                format!("  {}-{}", shown::plain(&app.name), view.instance).into()
            }
            _ => Cell {
                text: shown::plain(&app.name),
                style: Style::new().bold(),
            },
        }
    }
}

fn red() -> Style {
    Style::new().fg_color(Some(AnsiColor::Red.into()))
}

fn status(view: &InstanceView) -> Cell {
    Cell {
        text: shown::status(view),
        style: match (view.blocked, &view.unhealthy) {
            (None, None) => list::style(view.state),
            _ => red(),
        },
    }
}

/// How several instances are, in a few words: what is wrong comes first.
fn summary<'a>(views: impl Iterator<Item = &'a InstanceView> + Clone) -> Cell {
    let summary = summary::summary(views);
    Cell {
        text: summary.text,
        style: match summary.is_unwell {
            true => red(),
            false => list::style(summary.state),
        },
    }
}
