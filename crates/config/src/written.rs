//! A resolved app in the words of a config file: each of its settings under the name of the field
//! that changes it, also where its user has not written it.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::app::Identity;
use super::execution::{SOURCE_MAPS, is_called};
use super::{
    App, Check, Cron, Dependency, FilterEnv, Health, Logs, Pause, Place, Requests, Restart, Watch,
};

/// Fields that another one holds once they are resolved: their variables and the name of the set are
/// in `env` and `name`, and `time` is a `log_date_format`.
#[cfg(test)]
pub(super) const HELD_BY_OTHERS: [&str; 5] =
    ["append_env_to_name", "env_file", "force", "port", "time"];

impl App {
    /// Its fields as a config file may have them, with what is in effect: `null` where there is none, and
    /// no field that would be refused beside the others. Times are in milliseconds.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Fields(Map::new());
        self.add_program(&mut fields);
        self.add_balancing(&mut fields);
        self.add_environment(&mut fields);
        self.restart.add(&mut fields);
        self.add_renewal(&mut fields);
        self.add_stopping(&mut fields);
        self.logs.add(&mut fields);
        self.add_rights(&mut fields);
        fields.0
    }

    fn add_program(&self, to: &mut Fields) {
        to.add("script", text(&self.script));
        to.add("name", json!(self.name));
        to.add("namespace", json!(self.namespace));
        to.add("args", texts(&self.args));
        to.add("cwd", text(&self.cwd));
        to.add("instances", json!(self.instances));
        to.add("exec_mode", json!(self.exec_mode));
        let Some(interpreter) = &self.interpreter else {
            to.add("interpreter", json!("none"));
            return;
        };
        to.add("interpreter", text(&interpreter.path));
        let maps = interpreter.args.first().is_some_and(|it| it == SOURCE_MAPS);
        to.add(
            "interpreter_args",
            texts(&interpreter.args[usize::from(maps)..]),
        );
        if maps || is_called(interpreter, "node") {
            to.add("source_map_support", json!(maps));
        }
    }

    fn add_balancing(&self, to: &mut Fields) {
        let per = if self.requests.is_some() {
            "request"
        } else {
            "connection"
        };
        to.add("per", json!(per));
        if self.exec_mode == super::ExecMode::Fork {
            return;
        }
        to.add("balance", json!(self.balance.policy));
        to.add("queue", json!(self.balance.queue));
        to.add("queue_timeout", millis(self.balance.patience));
        to.add("private_ports", json!(self.private_ports));
        to.add("private_paths", json!(self.private_paths));
        to.add("hang_timeout", millis(self.hang_timeout));
        match &self.requests {
            Some(requests) => requests.add(to),
            None => {
                to.add("max_connections", json!(self.balance.max_connections));
                to.add("keep_alive_timeout", millis(self.balance.keep_alive));
            }
        }
    }

    fn add_environment(&self, to: &mut Fields) {
        let own = self.own_env.iter();
        let own = own.map(|(name, value)| (name.to_string_lossy().into_owned(), text(value)));
        to.add("env", Value::Object(own.collect()));
        let filter = match &self.filter_env {
            FilterEnv::All => json!(true),
            FilterEnv::Containing(parts) if parts.is_empty() => json!(false),
            FilterEnv::Containing(parts) => json!(parts),
        };
        to.add("filter_env", filter);
        to.add("increment_var", json!(self.increment_var));
        to.add("instance_var", json!(self.instance_var));
    }

    fn add_renewal(&self, to: &mut Fields) {
        to.add("max_memory_restart", json!(self.max_memory));
        to.add("health", self.health.as_ref().map_or(Value::Null, health));
        to.add(
            "cron_restart",
            json!(self.cron.as_ref().map(|it| &it.pattern)),
        );
        if let Some(Cron { zone, .. }) = &self.cron {
            to.add(
                "cron_timezone",
                json!(Some(zone).filter(|it| !it.is_empty())),
            );
        }
        if let Some(overlap) = self.job() {
            to.add("cron_overlap", json!(overlap));
        }
        match &self.watch {
            Some(watch) => watch.add(to),
            None => to.add("watch", json!(false)),
        }
    }

    fn add_stopping(&self, to: &mut Fields) {
        let needed = self.depends_on.iter().map(dependency);
        to.add("depends_on", Value::Array(needed.collect()));
        to.add("before_start", json!(self.before_start));
        to.add("before_reload", json!(self.before_reload));
        to.add("drain_timeout", millis(self.drain_timeout));
        to.add("drain_delay", millis(self.drain_delay));
        to.add("kill_timeout", millis(self.kill_timeout));
        to.add("kill_signal", json!(self.kill_signal));
        to.add("treekill", json!(self.treekill));
        to.add("shutdown_with_message", json!(self.shutdown_with_message));
        to.add("wait_ready", json!(self.wait_ready));
        to.add("listen_timeout", millis(self.listen_timeout));
    }

    fn add_rights(&self, to: &mut Fields) {
        to.add("metrics", json!(self.metrics));
        to.add("pid_file", place(&self.pid_file));
        let id = |of: fn(&Identity) -> u32| json!(self.identity.as_ref().map(of));
        to.add("uid", id(|it| it.uid));
        to.add("gid", id(|it| it.gid));
        to.add("privileged_ports", json!(self.privileged_ports));
    }
}

impl Requests {
    fn add(&self, to: &mut Fields) {
        to.add("max_concurrency", json!(self.max_concurrency));
        to.add("client_limit", json!(self.client_limit));
        let retry = if self.retry_idempotent {
            "idempotent"
        } else {
            "none"
        };
        to.add("retry", json!(retry));
        to.add("trust_proxy", json!(self.trusted));
        to.add("proxy_protocol", json!(self.proxy_protocol));
        to.add("instance_header", json!(self.instance_header));
        let file = self.access_log.as_ref().map(|log| match &log.file {
            Some(file) => text(file),
            None => json!("-"),
        });
        to.add("access_log", json!(file));
        if let Some(log) = &self.access_log {
            to.add("access_log_format", json!(log.format));
        }
        to.add(
            "max_body",
            json!(Some(self.max_body).filter(|most| *most > 0)),
        );
        to.add("max_head", json!(self.max_head));
        to.add("max_fields", json!(self.max_fields));
        to.add("response_timeout", millis(self.response_timeout));
        to.add("header_timeout", millis(self.header_timeout));
        to.add("idle_timeout", millis(self.idle_timeout));
        to.add("half_closed_clients", json!(self.half_closed_clients));
        if !self.tls.is_empty() {
            let (certificates, keys): (Vec<_>, Vec<_>) = self.tls.iter().cloned().unzip();
            to.add("tls_cert", texts(&certificates));
            to.add("tls_key", texts(&keys));
        }
    }
}

impl Restart {
    fn add(&self, to: &mut Fields) {
        to.add("autostart", json!(self.autostart));
        to.add("autorestart", json!(self.auto));
        to.add("stop_exit_codes", json!(self.stop_exit_codes));
        to.add("min_uptime", millis(self.min_uptime));
        to.add("max_restarts", json!(self.max_unstable));
        let (fixed, growing) = match self.pause {
            Pause::Fixed(pause) => (millis(pause), Value::Null),
            Pause::Growing(first) => (Value::Null, millis(first)),
            Pause::Earned(_) => (Value::Null, Value::Null),
        };
        to.add("restart_delay", fixed);
        to.add("exp_backoff_restart_delay", growing);
    }
}

impl Watch {
    fn add(&self, to: &mut Fields) {
        to.add("watch", texts(&self.paths));
        to.add("ignore_watch", json!(self.ignore));
        to.add("watch_delay", millis(self.delay));
        let options = json!({ "followSymlinks": self.follow_links });
        to.add("watch_options", options);
    }
}

impl Logs {
    fn add(&self, to: &mut Fields) {
        to.add("out_file", place(&self.out));
        to.add("error_file", place(&self.err));
        to.add("log_file", place(&self.combined));
        to.add("merge_logs", json!(self.merge));
        to.add("disable_logs", json!(self.disabled));
        let format = Some(&self.date_format).filter(|it| !it.is_empty());
        to.add("log_date_format", json!(format));
        to.add("log_type", json!(self.format));
        to.add("log_rotate", json!(self.rotation.is_some()));
        if let Some(rotation) = &self.rotation {
            to.add("log_max_size", json!(rotation.size));
            to.add("log_retain", json!(rotation.count));
            to.add("log_compress", json!(rotation.gzip));
            let interval = Some(rotation.interval).filter(|it| !it.is_zero());
            to.add("log_rotate_interval", interval.map_or(Value::Null, millis));
        }
    }
}

fn health(health: &Health) -> Value {
    let mut parts = json!({
        "interval": millis(health.interval),
        "timeout": millis(health.timeout),
        "failures": health.failures,
        "successes": health.successes,
        "grace": millis(health.grace),
    });
    let port = match &health.check {
        Check::Http { path, port } => {
            parts["http"] = json!(path);
            port
        }
        Check::Tcp { port } => {
            parts["tcp"] = json!(true);
            port
        }
        Check::Command(words) => {
            parts["command"] = texts(words);
            &None
        }
    };
    if let Some(port) = port {
        parts["port"] = json!(port);
    }
    parts
}

fn dependency(dependency: &Dependency) -> Value {
    json!({ "app": dependency.app, "until": dependency.until })
}

/// A file of the app's, as [`super::kind::LogTarget`] reads it.
fn place(place: &Place) -> Value {
    match place {
        Place::Home => json!(true),
        Place::Nowhere => json!(false),
        Place::File(path) => text(path),
    }
}

fn millis(time: Duration) -> Value {
    json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn text(string: impl AsRef<OsStr>) -> Value {
    json!(string.as_ref().to_string_lossy())
}

fn texts<T: AsRef<OsStr>>(strings: &[T]) -> Value {
    strings.iter().map(text).collect()
}

/// Fields by name.
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, name: &'static str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}
