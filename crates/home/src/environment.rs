//! The environment of an instance's process, but for what the preload library needs.

use std::ffi::OsStr;

use super::Home;
use config::{App, Environment};
use telemetry::ids::{Instance, InstanceId};

/// The environment of the instance `instance` of an app, which is `id` among all. Where its files
/// are is told where there is a home folder.
pub fn environment(
    home: Option<&Home>,
    app: &App,
    instance: Instance,
    id: InstanceId,
) -> Environment {
    let mut env = app.env.clone();
    env.extend(app.instance_env(instance, id));
    let Some(home) = home else {
        return env;
    };
    let logs = home.log_files(app, id);
    for (name, path) in [
        ("pm_out_log_path", logs.out),
        ("pm_err_log_path", logs.err),
        ("pm_log_path", logs.combined),
        ("pm_pid_path", home.pid_file(app, id)),
    ] {
        if !app.own_env.contains_key(OsStr::new(name))
            && let Some(path) = path
        {
            env.insert(name.into(), path.into());
        }
    }
    env
}
