//! The list as pm2 writes it for programs: a line for each thing that is to be said of an instance.

use super::{shown, usage};
use config::ExecMode;
use home::Home;
use home::control::{InstanceView, Snapshot};

/// What is said of an instance, with an empty line at its end.
pub(super) fn block(
    home: &Home,
    app: &Snapshot,
    instance: &InstanceView,
    usage: usage::Usage,
    uptime: u64,
) -> String {
    let app = &app.app;
    let path = |path: Option<std::path::PathBuf>| {
        path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    };
    let lines = [
        ("namespace", app.namespace.clone()),
        ("version", version(&app.version)),
        ("pid", instance.pid.unwrap_or(0).to_string()),
        ("pm2 id", instance.id.to_string()),
        ("status", instance.state.word().to_owned()),
        (
            "mode",
            match app.exec_mode {
                ExecMode::Fork => "fork".to_owned(),
                ExecMode::Cluster => "cluster".to_owned(),
            },
        ),
        ("restarted", instance.restarts.to_string()),
        (
            "uptime",
            match instance.pid {
                Some(_) => shown::duration(uptime),
                None => "0".to_owned(),
            },
        ),
        ("memory usage", shown::bytes(usage.memory)),
        ("error log", path(home.log_files(app, instance.id).err)),
        (
            "watching",
            if app.watch.is_some() { "yes" } else { "no" }.to_owned(),
        ),
        ("PID file", path(home.pid_file(app, instance.id))),
    ];
    let mut text = format!("+--- {}\n", shown::plain(&app.name));
    for (name, value) in lines {
        text.push_str(&format!("{name} : {}\n", shown::plain(&value)));
    }
    text.push('\n');
    text
}

fn version(version: &str) -> String {
    let known = Some(version).filter(|version| !version.is_empty());
    known.unwrap_or("N/A").to_owned()
}
