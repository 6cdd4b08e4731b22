//! Habits, `pm2-runtime`, and what a process finds in its environment.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::ComesTo::{Different, Same};
use super::Row;
use crate::beside_pm2::Manager;
use crate::harness::tool;
use crate::home::{NODE_SERVER, ended};

fn row(cell: &'static str, comes_to: super::ComesTo, tries: fn(&Manager<'_>) -> Value) -> Row {
    Row {
        cell,
        tries,
        comes_to,
    }
}

/// Which of these variables the first app has.
fn has(it: &Manager<'_>, names: &[&str]) -> BTreeSet<String> {
    let environment = fs::read_to_string(format!("/proc/{}/environ", it.app()["pid"])).unwrap();
    let all: Vec<_> = environment
        .split('\0')
        .filter_map(|it| it.split_once('='))
        .collect();
    let has = |name: &&&str| all.iter().any(|(it, _)| it == *name);
    names.iter().filter(has).map(ToString::to_string).collect()
}

const GIVEN: [&str; 13] = [
    "pm_id",
    "name",
    "namespace",
    "exec_mode",
    "instances",
    "NODE_APP_INSTANCE",
    "pm_exec_path",
    "pm_cwd",
    "exec_interpreter",
    "pm_out_log_path",
    "pm_err_log_path",
    "pm_log_path",
    "pm_pid_path",
];

const NOT_GIVEN: [&str; 9] = [
    "status",
    "pm_uptime",
    "created_at",
    "restart_time",
    "unstable_restarts",
    "unique_id",
    "vizion",
    "PM2_HOME",
    "PM2_USAGE",
];

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "an unhandled promise rejection",
            Different(json!("errored"), json!("online")),
            |it| {
                it.home.file("rejects.js", "setInterval(() => {}, 1e6); Promise.reject('no'); setTimeout(() => console.log('on'), 100);");
                it.code("start rejects.js --max-restarts 0 -o out.log");
                if it.pm2 {
                    // It has gone on.
                    it.file("out.log");
                }
                it.becomes(&["errored", "online"][usize::from(it.pm2)..][..1])[0].clone()
            },
        ),
        row(
            "JavaScript in a `.json` file",
            Different(json!([1, 0]), json!([0, 1])),
            |it| {
                it.home
                    .file("it.json", "[{ name: 'a' + 'b', script: 'app.js' }]");
                json!([it.code("start it.json"), it.count()])
            },
        ),
        row(
            "two apps on one port",
            Different(json!(["online", "errored"]), json!(["online", "online"])),
            |it| {
                it.home.file("server.js", NODE_SERVER);
                it.code("start server.js -n one -i 1");
                // pm2 waits as long as it may for a word that never comes.
                let patience = if it.pm2 { 2_000 } else { 60_000 };
                it.code(&format!("start server.js -n two -i 1 --max-restarts 0 --wait-ready --listen-timeout {patience}"));
                let all = it.all();
                let status = |number: usize| all[number]["pm2_env"]["status"].clone();
                json!([status(0), status(1)])
            },
        ),
        row(
            "ends when no app is online",
            Different(json!(3), json!(2)),
            |it| {
                it.home.file(
                    "it.json",
                    r#"[{ "script": "ends.js", "autorestart": false }]"#,
                );
                it.home
                    .file("ends.js", "setTimeout(() => process.exit(3), 100)");
                let mut command = it.command(&["run", "it.json"]);
                if it.pm2 {
                    let mut runtime = std::process::Command::new(tool("pm2-runtime"));
                    for (name, value) in command.get_envs() {
                        if let Some(value) = value {
                            runtime.env(name, value);
                        }
                    }
                    runtime.env("PM2_HOME", it.home.folder().join("runtime"));
                    runtime.arg("it.json").current_dir(it.home.folder());
                    command = runtime;
                }
                json!(ended(command).code)
            },
        ),
        row(
            "`pm_id`, `name`, `namespace`, `exec_mode`, `instances`, `NODE_APP_INSTANCE`, `pm_exec_path`, `pm_cwd`, `exec_interpreter`, `pm_out_log_path`, `pm_err_log_path`, `pm_log_path`, `pm_pid_path`",
            Same(json!(BTreeSet::from(GIVEN))),
            |it| {
                it.code("start app.js -l all.log");
                json!(has(it, &GIVEN))
            },
        ),
        row(
            "`status`, `pm_uptime`, `created_at`, `restart_time`, `unstable_restarts`, `unique_id`, `watch`, `autorestart`, `merge_logs`, `vizion`, `pmx`, `axm_*`, `km_link`, `PM2_HOME`, `PM2_USAGE` and the daemon's other notes",
            Different(json!([]), json!(BTreeSet::from(NOT_GIVEN))),
            |it| {
                it.code("start app.js");
                json!(has(it, &NOT_GIVEN))
            },
        ),
    ]
}
