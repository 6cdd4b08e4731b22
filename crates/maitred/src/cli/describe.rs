//! `maitred describe`: all about an app's instances.

use anstyle::Style;
use anyhow::bail;
use clap::Args;
use rustix::process::Pid;

use super::{Manner, last_run, shown, together, usage};
pub(super) use config::{self, App, Cron, ExecMode, Until};
use home::control::{InstanceView, Snapshot};
use home::{Exit, Home, now_ms};

/// Show all about an app. Values of variables that look like secrets are not shown.
#[derive(Debug, Args)]
pub(super) struct Describe {
    /// A name, a number, a namespace, /regex/, or "all".
    target: String,
}

impl Describe {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let selected = together::selected(&home, &[self.target])?;
        let colours = together::colours(manner, &std::io::stdout());
        let mut text = String::new();
        for selected in selected {
            let ids = selected.ids();
            let snapshot = selected.known.snapshot();
            let meant = |view: &&InstanceView| ids.contains(&view.id);
            for view in snapshot.instances.iter().filter(meant) {
                describe(&home, &snapshot, view, colours, &mut text);
            }
        }
        if text.is_empty() {
            bail!("there are no apps");
        }
        together::print(text)?;
        Ok(0)
    }
}

fn planned(cron: &Cron) -> String {
    match cron.zone.as_str() {
        "" => cron.pattern.clone(),
        zone => format!("{} ({zone})", cron.pattern),
    }
}

/// The paths that are watched, and what in them is not.
pub(super) fn watched(watch: &config::Watch) -> String {
    let paths: Vec<_> = watch.paths.iter().map(|it| it.to_string_lossy()).collect();
    let paths = paths.join(", ");
    if watch.ignore.is_empty() {
        paths
    } else {
        format!("{paths} (without {})", watch.ignore.join(", "))
    }
}

/// The limit, and who sees to it.
fn memory_limit(app: &App, view: &InstanceView) -> Option<String> {
    let limit = shown::bytes(app.max_memory?);
    Some(match view.bound {
        Some(bound) => format!(
            "{limit}, looked at every second; the kernel kills at {} (cgroup)",
            shown::bytes(bound)
        ),
        None => format!("{limit}, looked at every second"),
    })
}

/// Whether the instance is a primary of `node:cluster` whose workers do not listen themselves: then it
/// is the only one that is given connections.
fn passes_connections_on(snapshot: &Snapshot, view: &InstanceView) -> bool {
    let running = snapshot.instances.iter().filter(|it| it.pid.is_some());
    let running = running.count();
    let listeners = &snapshot.listeners;
    listeners.iter().all(|listener| listener.workers <= running)
        && view
            .pid
            .and_then(Pid::from_raw)
            .is_some_and(|pid| process::tree::descendant_has(pid, "NODE_UNIQUE_ID"))
}

fn describe(home: &Home, snapshot: &Snapshot, view: &InstanceView, colours: bool, to: &mut String) {
    let app = &snapshot.app;
    let title = format!("instance {} ({}-{})", view.id, app.name, view.instance);
    let title = shown::plain(&title);
    let bold = Style::new().bold();
    to.push_str(&if colours {
        format!("{bold}{title}{bold:#}\n")
    } else {
        format!("{title}\n")
    });
    let rows = [
        of_instance(snapshot, view),
        of_app(app),
        of_service(home, snapshot, view),
    ];
    for (name, value) in rows.into_iter().flatten() {
        to.push_str(&format!(
            "  {name:<18}  {}\n",
            shown::plain(value.trim_end())
        ));
    }
    if !app.own_env.is_empty() {
        to.push_str("  environment\n");
        for (name, value) in &app.own_env {
            let name = name.to_string_lossy();
            let value = value.to_string_lossy();
            let value = config::shown(&name, &value);
            let line = format!("    {name}={value}");
            to.push_str(&shown::plain(&line));
            to.push('\n');
        }
    }
    to.push('\n');
}

/// A row's name and what stands in it.
type Row = (&'static str, String);

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// How one instance does.
fn of_instance(snapshot: &Snapshot, view: &InstanceView) -> Vec<Row> {
    let app = &snapshot.app;
    let usage = usage::of(std::iter::once(view));
    let usage = view.pid.and_then(|pid| usage.get(&pid).copied());
    let version = Some(app.version.clone()).filter(|it| !it.is_empty());
    let uptime = view
        .since
        .map(|at| shown::duration(now_ms().saturating_sub(at)));
    vec![
        ("status", status(view)),
        (
            "waits for",
            or_none(view.waits_for.as_deref().map(shown::plain)),
        ),
        ("name", app.name.clone()),
        ("namespace", app.namespace.clone()),
        ("version", or_none(version)),
        (
            "instance",
            format!("{} of {}", view.instance, app.instances),
        ),
        ("restarts", view.restarts.to_string()),
        ("unstable restarts", view.unstable.to_string()),
        ("pid", or_none(view.pid.map(|pid| pid.to_string()))),
        ("uptime", or_none(uptime)),
        ("cpu", or_none(usage.map(|usage| format!("{}%", usage.cpu)))),
        ("memory", or_none(usage.map(|it| shown::bytes(it.memory)))),
        ("memory limit", or_none(memory_limit(app, view))),
        ("last exit", last_exit(view)),
        ("last run", or_none(view.last_run.map(last_run::told))),
    ]
}

fn status(view: &InstanceView) -> String {
    match (view.waits, view.blocked) {
        (true, _) => format!(
            "{}; its schedule or a changed file starts it",
            view.state.word()
        ),
        (false, Some(_)) => format!("{}: its event loop stands still", shown::status(view)),
        (false, None) => match &view.unhealthy {
            Some(reason) => format!("{}: {}", shown::status(view), shown::plain(reason)),
            None => shown::status(view),
        },
    }
}

fn last_exit(view: &InstanceView) -> String {
    match (&view.not_started, view.exit) {
        (Some(reason), _) => format!("not started: {reason}"),
        (None, Some(Exit::Code(code))) => format!("code {code}"),
        (None, Some(Exit::Signal(signal))) => match view.out_of_memory {
            Some(bound) => format!("killed at {} of memory", shown::bytes(bound)),
            None => config::signal_name(signal),
        },
        (None, None) => or_none(None),
    }
}

/// What an app is.
fn of_app(app: &App) -> Vec<Row> {
    let joined = |words: &[std::ffi::OsString]| {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    };
    let arguments = Some(joined(&app.args)).filter(|it| !it.is_empty());
    let interpreter = app
        .interpreter
        .as_ref()
        .map(|it| format!("{} {}", it.path.display(), joined(&it.args)));
    let mode = match app.exec_mode {
        ExecMode::Fork => "fork",
        ExecMode::Cluster => "cluster",
    };
    vec![
        ("script", app.script.to_string_lossy().into_owned()),
        ("arguments", or_none(arguments)),
        ("interpreter", or_none(interpreter)),
        ("folder", app.cwd.to_string_lossy().into_owned()),
        ("mode", mode.to_owned()),
        ("depends on", or_none(depends_on(app))),
    ]
}

/// The apps that it depends on, and how far they have to have come where that is not the usual.
fn depends_on(app: &App) -> Option<String> {
    let shown = app.depends_on.iter().map(|it| match it.until {
        Until::Started => it.app.clone(),
        Until::Healthy => format!("{} (healthy)", it.app),
        Until::Completed => format!("{} (completed)", it.app),
    });
    let shown: Vec<_> = shown.collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// How an instance is served, by whom, and when it is restarted.
fn of_service(home: &Home, snapshot: &Snapshot, view: &InstanceView) -> Vec<Row> {
    let app = &snapshot.app;
    let (what, failed) = match view.failed {
        Some(failed) => ("requests", format!(", {failed} failed")),
        None => ("connections", String::new()),
    };
    let counted = view.open.zip(view.given);
    let counted = counted.map(|(open, given)| format!("{open} open, {given} in all{failed}"));
    let logs = home.log_files(app, view.id);
    let shown_path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let supervisor = (snapshot.supervisor != 0)
        .then(|| format!("pid {}, maitred {}", snapshot.supervisor, snapshot.version));
    let descriptors = match snapshot.descriptors {
        Some((limit, needed)) => {
            format!("{limit} (ulimit -n), which is low: raise it to {needed} or more")
        }
        None => "sufficient".to_owned(),
    };
    let overlap = app.job().map(|overlap| overlap.word().to_owned());
    vec![
        ("shared sockets", sharing(snapshot, view)),
        (what, or_none(counted)),
        ("output", or_none(logs.out.map(shown_path))),
        ("errors", or_none(logs.err.map(shown_path))),
        ("supervisor", or_none(supervisor)),
        ("open files limit", descriptors),
        ("watched", or_none(app.watch.as_ref().map(watched))),
        ("cron restart", or_none(app.cron.as_ref().map(planned))),
        ("cron overlap", or_none(overlap)),
    ]
}

/// Whether an instance's sockets are shared, and where they listen.
fn sharing(snapshot: &Snapshot, view: &InstanceView) -> String {
    match (&view.not_preloaded, snapshot.app.exec_mode) {
        (Some(reason), _) => return format!("no: {reason}"),
        (None, ExecMode::Fork) => return "no: fork mode, each instance opens its own".to_owned(),
        (None, ExecMode::Cluster) => {}
    }
    let addresses = snapshot.listeners.iter().map(|listener| {
        let foreign = listener.foreign.map(|what| format!(": {}", what.text()));
        let (address, workers) = (&listener.address, listener.workers);
        format!("{address} ({workers}){}", foreign.unwrap_or_default())
    });
    let addresses: Vec<_> = addresses.collect();
    let addresses = addresses.join(", ");
    if addresses.is_empty() {
        "nothing listens".to_owned()
    } else if passes_connections_on(snapshot, view) {
        format!(
            "{addresses}; a node:cluster primary passes connections on itself (cluster.schedulingPolicy \
             or NODE_CLUSTER_SCHED_POLICY): its workers are not seen"
        )
    } else {
        addresses
    }
}
