//! What the environment of one instance has beyond that of its app: its numbers, and what pm2
//! tells a process of itself.
//!
//! pm2 puts every plain field of its own description of a process into the environment. What an app
//! can use of that is here, under pm2's names; what the daemon keeps for itself is not. What the
//! user wrote for the app goes over all of it.

use std::ffi::{OsStr, OsString};

use super::app::{App, ExecMode};
use telemetry::ids::{Instance, InstanceId};

impl App {
    /// The variables of the instance with this number within the app, whose number among all is
    /// `id`.
    pub fn instance_env(&self, instance: Instance, id: InstanceId) -> Vec<(OsString, OsString)> {
        let mode = match self.exec_mode {
            ExecMode::Fork => "fork_mode",
            ExecMode::Cluster => "cluster_mode",
        };
        let interpreter = self.interpreter.as_ref().map(|it| it.path.as_path());
        let interpreter = interpreter.map(|path| path.file_name().unwrap_or(path.as_os_str()));
        let mut env: Vec<(&str, OsString)> = vec![
            ("pm_id", id.to_string().into()),
            ("name", self.name.as_str().into()),
            ("namespace", self.namespace.as_str().into()),
            ("exec_mode", mode.into()),
            ("instances", self.instances.to_string().into()),
            ("pm_exec_path", self.script.as_os_str().to_owned()),
            ("pm_cwd", self.cwd.as_os_str().to_owned()),
            (
                "exec_interpreter",
                interpreter.unwrap_or(OsStr::new("none")).to_owned(),
            ),
            (&self.instance_var, instance.to_string().into()),
        ];
        env.retain(|(name, _)| !self.own_env.contains_key(OsStr::new(name)));
        if let Some(name) = &self.increment_var {
            let first = self.env.get(OsStr::new(name)).and_then(|it| it.to_str());
            let first: i64 = first.and_then(|it| it.trim().parse().ok()).unwrap_or(0);
            let counted = first.saturating_add(i64::from(instance.0));
            env.push((name, counted.to_string().into()));
        }
        let env = env.into_iter();
        env.map(|(name, value)| (name.into(), value)).collect()
    }
}
