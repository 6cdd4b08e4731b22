//! `maitred list`: all apps at a glance.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};

use super::table::{Cell, Column, render, width};
use super::{Manner, last_run, mini_list, shown, together, usage, watch};
use crate::apps::{self, Known};
use config::ExecMode;
use home::control::{InstanceView, Snapshot, State};
use home::{Home, now_ms};

/// Show all apps.
#[derive(Debug, Args)]
pub(super) struct List {
    /// By what to sort: a column, with :desc for the largest first.
    #[arg(long, value_name = "COLUMN[:desc]")]
    sort: Option<String>,
    /// Show them every second, or every SECONDS, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = watch::USUAL)]
    watch: Option<NonZeroU32>,
}

/// What the list can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Key {
    Id,
    Name,
    Namespace,
    Pid,
    Memory,
    Cpu,
    Status,
    Uptime,
    Restarts,
}

/// One line of the list.
struct Row<'a> {
    app: &'a Snapshot,
    instance: &'a InstanceView,
    usage: usage::Usage,
    uptime: u64,
}

impl List {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let sort = self.sort.as_deref().map(parse_sort).transpose()?;
        let sort = sort.unwrap_or(USUAL);
        let look = || Ok(text(&home, &apps::all(&home)?, sort, manner));
        match self.watch {
            Some(every) => watch::watch(every, look)?,
            None => together::print(look()?)?,
        }
        Ok(0)
    }
}

/// By what the list is sorted, and whether the largest comes first.
pub(super) type Order = (Key, bool);

/// The order that is usual.
pub(super) const USUAL: Order = (Key::Id, false);

/// The order that a user writes: a column, and perhaps `:desc`.
///
/// # Errors
/// Names the columns.
pub(super) fn parse_sort(text: &str) -> anyhow::Result<Order> {
    let (key, order) = text.split_once(':').unwrap_or((text, "asc"));
    let key = match key {
        "mem" => "memory",
        other => other,
    };
    let key = Key::from_str(key, true).map_err(|_| {
        let keys = Key::value_variants()
            .iter()
            .filter_map(Key::to_possible_value);
        let names: Vec<_> = keys.map(|key| key.get_name().to_owned()).collect();
        anyhow::anyhow!(
            "--sort: there is no column \"{}\"; expected one of {}",
            key.escape_debug(),
            names.join(", ")
        )
    })?;
    match order {
        "asc" => Ok((key, false)),
        "desc" => Ok((key, true)),
        _ => anyhow::bail!(
            "--sort: expected asc or desc after the colon, not \"{}\"",
            order.escape_debug()
        ),
    }
}

/// Shows the apps as they are now.
///
/// # Errors
/// If it cannot be written.
pub(super) fn show(
    home: &Home,
    known: &[Known],
    order: Order,
    manner: &Manner,
) -> anyhow::Result<()> {
    together::print(text(home, known, order, manner))
}

/// The apps as they are now, as a table.
fn text(home: &Home, known: &[Known], (key, descending): Order, manner: &Manner) -> String {
    let snapshots = apps::snapshots(known);
    let instances = || {
        snapshots
            .iter()
            .flat_map(|app| app.instances.iter().map(move |instance| (app, instance)))
    };
    let usages = usage::of(instances().map(|(_, instance)| instance));
    let now = now_ms();
    let mut rows: Vec<_> = instances()
        .map(|(app, instance)| Row {
            app,
            instance,
            usage: instance
                .pid
                .and_then(|pid| usages.get(&pid).copied())
                .unwrap_or_default(),
            uptime: instance.since.map_or(0, |since| now.saturating_sub(since)),
        })
        .collect();
    rows.sort_by(|a, b| {
        let by_key = match key {
            Key::Id => std::cmp::Ordering::Equal,
            Key::Name => a.app.app.name.cmp(&b.app.app.name),
            Key::Namespace => a.app.app.namespace.cmp(&b.app.app.namespace),
            Key::Pid => a.instance.pid.cmp(&b.instance.pid),
            Key::Memory => a.usage.memory.cmp(&b.usage.memory),
            Key::Cpu => a.usage.cpu.total_cmp(&b.usage.cpu),
            Key::Status => a.instance.state.word().cmp(b.instance.state.word()),
            Key::Uptime => a.uptime.cmp(&b.uptime),
            Key::Restarts => a.instance.restarts.cmp(&b.instance.restarts),
        };
        let by_key = by_key.then(a.instance.id.cmp(&b.instance.id));
        if descending { by_key.reverse() } else { by_key }
    });
    if manner.mini_list {
        let blocks = rows.iter();
        let blocks =
            blocks.map(|row| mini_list::block(home, row.app, row.instance, row.usage, row.uptime));
        return blocks.collect();
    }
    let colours = together::colours(manner, &std::io::stdout());
    let cells: Vec<_> = rows.iter().map(cells).collect();
    render(&COLUMNS, &cells, width(), colours) + &other_versions(&snapshots)
}

/// Which apps run under another version than this command, one line for each version.
fn other_versions(snapshots: &[Snapshot]) -> String {
    let own = env!("CARGO_PKG_VERSION");
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for app in snapshots {
        if app.supervisor != 0 && app.version != own {
            let apps = others.entry(&app.version).or_default();
            apps.push(shown::plain(&app.app.name));
        }
    }
    let lines = others.iter().map(|(version, apps)| {
        let (apps, verb) = (
            apps.join(", "),
            if apps.len() == 1 { "runs" } else { "run" },
        );
        format!(
            "{apps} {verb} under maitred {version}, this is {own}: `maitred update` updates it\n"
        )
    });
    lines.collect()
}

const COLUMNS: [Column; 12] = [
    column("id", true, 0),
    column("name", false, 0),
    column("namespace", false, 8),
    column("mode", false, 6),
    column("pid", true, 4),
    column("uptime", true, 3),
    column("restarts", true, 2),
    column("status", false, 0),
    column("cpu", true, 5),
    column("mem", true, 1),
    column("open", true, 7),
    column("served", true, 9),
];

const fn column(title: &'static str, right: bool, goes: u8) -> Column {
    Column { title, right, goes }
}

fn cells(row: &Row<'_>) -> Vec<Cell> {
    let (app, instance) = (&row.app.app, row.instance);
    let runs = instance.pid.is_some();
    let or_none = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    vec![
        instance.id.to_string().into(),
        Cell {
            text: shown::plain(&app.name),
            style: Style::new().bold(),
        },
        shown::plain(&app.namespace).into(),
        match app.exec_mode {
            ExecMode::Fork => "fork".to_owned().into(),
            ExecMode::Cluster => "cluster".to_owned().into(),
        },
        or_none(instance.pid.map(|pid| pid.to_string())),
        or_none(runs.then(|| shown::duration(row.uptime))),
        instance.restarts.to_string().into(),
        last_run::status(app, instance).unwrap_or_else(|| Cell {
            text: shown::status(instance),
            style: match instance.blocked.is_some() || instance.unhealthy.is_some() {
                true => Style::new().fg_color(Some(AnsiColor::Red.into())),
                false => style(instance.state),
            },
        }),
        or_none(runs.then(|| format!("{}%", row.usage.cpu))),
        or_none(runs.then(|| shown::bytes(row.usage.memory))),
        or_none(instance.open.map(|open| open.to_string())),
        or_none(instance.given.map(|given| given.to_string())),
    ]
}

pub(super) fn style(state: State) -> Style {
    let colour = match state {
        State::Online => AnsiColor::Green,
        State::Launching | State::Waiting | State::Stopping => AnsiColor::Yellow,
        State::Stopped | State::Errored | State::Crashed | State::Unknown => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use home::Record;

    use super::*;

    /// An app under this version of maitred, if it has a supervisor.
    fn app(name: &str, version: &str, supervisor: i32) -> Snapshot {
        let text = format!(r#"{{"name": "{name}", "script": "/bin/sh"}}"#);
        let mut file = config::load_json("test", &text, Path::new("/")).unwrap();
        let surroundings = config::Surroundings {
            folder: Path::new("/"),
            inherited: &config::Environment::new(),
            env_name: None,
            processors: 1,
        };
        let resolved = config::resolve(file.apps.remove(0), &surroundings);
        let record = Record {
            app: resolved.unwrap().app,
            created_at: 0,
            instances: Vec::new(),
        };
        Snapshot {
            version: version.to_owned(),
            supervisor,
            ..Snapshot::at_rest(record)
        }
    }

    /// One that has no supervisor runs under none.
    #[test]
    fn apps_under_another_version_are_named() {
        let own = env!("CARGO_PKG_VERSION");
        let none = [app("api", own, 7), app("old", "0.0.1", 0)];
        assert_eq!(other_versions(&none), "");
        let apps = [
            app("api", "0.0.1", 7),
            app("web", own, 8),
            app("cms", "0.0.1", 9),
        ];
        let see = format!("under maitred 0.0.1, this is {own}: `maitred update` updates it\n");
        assert_eq!(other_versions(&apps), format!("api, cms run {see}"));
        assert_eq!(other_versions(&apps[..1]), format!("api runs {see}"));
    }
}
