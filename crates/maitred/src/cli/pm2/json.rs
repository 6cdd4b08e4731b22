//! An app as pm2's `jlist` describes it: one object for each instance, with pm2's field names.

use std::ffi::OsStr;

use serde_json::{Map, Value, json};

use crate::cli::usage::Usage;
use config::{self, App, ExecMode, Pause};
use home::control::{InstanceView, Snapshot};
use home::{self, Exit, Home};

/// One instance. The environment is in there: it is for the owner's eyes only.
fn instance(home: &Home, snapshot: &Snapshot, instance: &InstanceView, usage: Usage) -> Value {
    let app = &snapshot.app;
    let env: Map<String, Value> =
        home::environment(Some(home), app, instance.instance, instance.id)
            .iter()
            .map(|(name, value)| (text(name), text(value).into()))
            .collect();
    let mut fields = life(snapshot, instance);
    fields.append(&mut program(app));
    fields.append(&mut settings(app));
    let logs = home.log_files(app, instance.id);
    let files = [
        ("pm_out_log_path", logs.out),
        ("pm_err_log_path", logs.err),
        ("pm_log_path", logs.combined),
        ("pm_pid_path", home.pid_file(app, instance.id)),
    ];
    let files = files.into_iter();
    fields.extend(files.filter_map(|(name, path)| Some((name.to_owned(), text(path?).into()))));
    let user = config::user_name(app.identity.as_ref().map(|identity| identity.uid));
    fields.insert("username".to_owned(), user.into());
    // pm2 has all variables among the fields too, and scripts look for them there.
    let own = own_environment(app, instance);
    for (name, value) in &env {
        let value = own.get(name).unwrap_or(value);
        fields.entry(name).or_insert_with(|| value.clone());
    }
    fields.insert("env".to_owned(), own.into());
    json!({
        "pid": instance.pid.unwrap_or(0),
        "name": app.name,
        "pm2_env": fields,
        "pm_id": instance.id,
        "monit": {
            "memory": usage.memory,
            "cpu": usage.cpu,
        },
    })
}

/// The app's environment as pm2 has it there: without what an instance is told of itself, but for a
/// variable that the app has chosen for its number, or counts up.
fn own_environment(app: &App, instance: &InstanceView) -> Map<String, Value> {
    let given = app.given_values();
    let mut env: Map<String, Value> = app
        .env
        .iter()
        .map(|(name, value)| {
            let (name, value) = (text(name), text(value));
            // What an env_file or --update-env has set since is a text.
            let as_given = given.get(name.as_str());
            let as_given = as_given.filter(|given| given.to_string() == value);
            let value = as_given.map_or(value.into(), Value::clone);
            (name, value)
        })
        .collect();
    let usual = app.instance_var == config::INSTANCE_VAR;
    let chosen = Some(app.instance_var.as_str()).filter(|_| !usual);
    let counted = app.increment_var.as_deref();
    let of_instance = app.instance_env(instance.instance, instance.id);
    for (name, value) in of_instance {
        let name = text(name);
        if chosen == Some(name.as_str()) || counted == Some(name.as_str()) {
            env.insert(name, text(value).into());
        }
    }
    env
}

/// What has become of it.
fn life(snapshot: &Snapshot, instance: &InstanceView) -> Map<String, Value> {
    let app = &snapshot.app;
    object(json!({
        "name": app.name,
        "namespace": app.namespace,
        "version": if app.version.is_empty() { "N/A" } else { &app.version },
        "pm_id": instance.id,
        "status": instance.state.word(),
        "pm_uptime": instance.since,
        "created_at": snapshot.created_at,
        "restart_time": instance.restarts,
        "unstable_restarts": instance.unstable,
        "exit_code": instance.exit.map(|exit| match exit {
            Exit::Code(code) => code,
            Exit::Signal(_) => 0,
        }),
        "NODE_APP_INSTANCE": instance.instance,
        "supervisor_pid": snapshot.supervisor,
    }))
}

/// What it runs.
fn program(app: &App) -> Map<String, Value> {
    let interpreter = app.interpreter.as_ref();
    let node_args: Vec<_> = interpreter
        .iter()
        .flat_map(|interpreter| interpreter.args.iter().map(text))
        .collect();
    let args: Vec<_> = app.args.iter().map(text).collect();
    object(json!({
        "exec_mode": match app.exec_mode {
            ExecMode::Fork => "fork_mode",
            ExecMode::Cluster => "cluster_mode",
        },
        "instances": app.instances,
        "instance_var": app.instance_var,
        "increment_var": app.increment_var,
        "pm_exec_path": text(&app.script),
        "pm_cwd": text(&app.cwd),
        "args": args,
        "node_args": node_args,
        "exec_interpreter": match interpreter {
            Some(interpreter) => interpreter
                .path
                .file_name()
                .map_or_else(|| text(&interpreter.path), text),
            None => "none".to_owned(),
        },
    }))
}

/// How it is treated.
fn settings(app: &App) -> Map<String, Value> {
    let restart_delay = match app.restart.pause {
        Pause::Fixed(delay) => millis(delay),
        Pause::Earned(_) | Pause::Growing(_) => 0,
    };
    object(json!({
        "autorestart": app.restart.auto,
        "autostart": app.restart.autostart,
        "max_restarts": app.restart.max_unstable,
        "min_uptime": millis(app.restart.min_uptime),
        "restart_delay": restart_delay,
        "stop_exit_codes": app.restart.stop_exit_codes,
        "kill_timeout": millis(app.kill_timeout),
        "listen_timeout": millis(app.listen_timeout),
        "treekill": app.treekill,
        "wait_ready": app.wait_ready,
        "shutdown_with_message": app.shutdown_with_message,
        "max_memory_restart": app.max_memory,
        "cron_restart": app.cron.as_ref().map(|cron| cron.pattern.clone()),
        "watch": app.watch.is_some(),
        "merge_logs": app.logs.merge,
        "disable_logs": app.logs.disabled,
        "log_date_format": app.logs.date_format,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn text(text: impl AsRef<OsStr>) -> String {
    text.as_ref().to_string_lossy().into_owned()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All instances of a home.
pub(in crate::cli) fn all(home: &Home, snapshots: &[Snapshot]) -> Value {
    let instances = || {
        snapshots
            .iter()
            .flat_map(|app| app.instances.iter().map(move |instance| (app, instance)))
    };
    let usages = crate::cli::usage::of(instances().map(|(_, instance)| instance));
    let usage = |view: &InstanceView| {
        view.pid
            .and_then(|pid| usages.get(&pid).copied())
            .unwrap_or_default()
    };
    let mut list: Vec<_> = instances().collect();
    list.sort_by_key(|(_, instance)| instance.id);
    list.into_iter()
        .map(|(app, view)| instance(home, app, view, usage(view)))
        .collect()
}
