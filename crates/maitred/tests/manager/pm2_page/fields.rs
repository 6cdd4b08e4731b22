//! Fields of an app.

use std::fs;

use serde_json::{Value, json};

use super::ComesTo::{Different, Same};
use super::Row;
use crate::beside_pm2::Manager;
use crate::wait::{until, until_it_is};

/// Tells what it was given, and stays.
const TELLS: &str = "
const { MARK, NEW, NUMBER_VAR, MY_VAR, PORT, FILTERED_X } = process.env;
console.log(JSON.stringify([process.argv.slice(2), MARK, NEW, NUMBER_VAR, MY_VAR, PORT, FILTERED_X ?? null]));
setInterval(() => {}, 1e6);
";

/// Notes each run, and crashes.
const CRASHES: &str = "
require('fs').appendFileSync(process.env.RUNS, 'x');
setTimeout(() => process.exit(1), 10);
";

fn row(cell: &'static str, comes_to: super::ComesTo, tries: fn(&Manager<'_>) -> Value) -> Row {
    Row {
        cell,
        tries,
        comes_to,
    }
}

/// Starts one app with these fields beside its name; the exit code.
fn start(it: &Manager<'_>, fields: Value) -> i32 {
    let mut app = json!({ "name": "it", "script": "app.js" });
    let all = app.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    it.home.file("it.json", &json!([app]).to_string());
    it.code("start it.json")
}

pub(super) fn rows() -> Vec<Row> {
    [processes(), restarts(), output()]
        .into_iter()
        .flatten()
        .collect()
}

fn processes() -> Vec<Row> {
    vec![
        row("`cwd`", Different(json!("sub"), json!(".")), |it| {
            it.home.file("sub/app.js", super::STAYS);
            it.home
                .file("sub/it.json", r#"[{ "name": "it", "script": "app.js" }]"#);
            it.code("start sub/it.json");
            let cwd = it.app()["pm2_env"]["pm_cwd"].clone();
            let in_sub = cwd.as_str().unwrap().ends_with("/sub");
            json!(if in_sub { "sub" } else { "." })
        }),
        row(
            "`name`, `namespace`",
            Different(json!([1, 0]), json!([0, 2])),
            |it| {
                let app = json!({ "name": "it", "script": "app.js" });
                it.home.file("two.json", &json!([app, app]).to_string());
                json!([it.code("start two.json"), it.count()])
            },
        ),
        row(
            "`script`, `args`, `instances`, `env`, `env_*`, `filter_env`, `append_env_to_name`, `increment_var`, `instance_var`, `port`",
            Same(json!([
                [["a", "b c"], "1", "2", "5", "0", "4567", null],
                [["a", "b c"], "1", "2", "6", "1", "4567", null],
                "it-x"
            ])),
            |it| {
                // pm2's daemon hands on what it was started with itself.
                it.code("ping");
                it.home.file("tells.js", TELLS);
                let app = json!({
                    "name": "it", "script": "tells.js", "args": ["a", "b c"], "instances": 2,
                    "env": { "MARK": 1, "NEW": 1, "NUMBER_VAR": 5 }, "env_x": { "NEW": 2 },
                    "filter_env": ["FILTERED"], "append_env_to_name": true,
                    "increment_var": "NUMBER_VAR", "instance_var": "MY_VAR", "port": 4567,
                    "out_file": "told.log", "merge_logs": true,
                });
                it.home.file("it.json", &json!([app]).to_string());
                let mut command = it.command(&["start", "it.json", "--env", "x"]);
                command.env("FILTERED_X", "1");
                assert_eq!(crate::home::ended(command).code, 0);
                let mut lines: Vec<Value> = until("a line of each instance", || {
                    let told = it.file("told.log");
                    let lines = told.lines().map(|it| serde_json::from_str(it).unwrap());
                    Some(lines.collect::<Vec<_>>()).filter(|it| it.len() == 2)
                });
                lines.sort_by_key(ToString::to_string);
                fs::remove_file(it.home.folder().join("told.log")).unwrap();
                json!([lines[0], lines[1], it.app()["name"]])
            },
        ),
        row("`exec_mode: fork`", Same(json!(["fork_mode", 2])), |it| {
            start(it, json!({ "exec_mode": "fork", "instances": 2 }));
            json!([it.app()["pm2_env"]["exec_mode"], it.count()])
        }),
        row(
            "`listen_timeout`",
            Different(json!("launching"), json!("online")),
            |it| {
                start(
                    it,
                    json!({ "wait_ready": true, "listen_timeout": 300, "instances": 1 }),
                );
                it.app()["pm2_env"]["status"].clone()
            },
        ),
        row(
            "`kill_timeout`, `shutdown_with_message`, `wait_ready`",
            Same(json!(["online", "shutdown"])),
            |it| {
                let script = "
                    setInterval(() => {}, 1e6);
                    process.on('message', (said) => {
                        require('fs').writeFileSync('said', said + '\\n');
                        process.exit();
                    });
                    process.send('ready');";
                it.home.file("hears.js", script);
                let fields = json!({ "script": "hears.js", "wait_ready": true, "listen_timeout": 60000,
                    "kill_timeout": 60000, "shutdown_with_message": true, "instances": 1 });
                start(it, fields);
                let status = it.app()["pm2_env"]["status"].clone();
                it.code("stop it");
                let said = it.file("said");
                fs::remove_file(it.home.folder().join("said")).unwrap();
                json!([status, said.trim()])
            },
        ),
    ]
}

fn restarts() -> Vec<Row> {
    vec![
        row(
            "`max_restarts`",
            Different(json!([["errored", 3], 4]), json!([["errored", 2], 3])),
            |it| {
                it.home.file("crashes.js", CRASHES);
                let runs = if it.pm2 { "runs-pm2" } else { "runs" };
                // Where a run lives longer than its time to prove itself, beside load, no end comes.
                let fields = json!({ "script": "crashes.js", "max_restarts": 3,
                    "min_uptime": 60_000, "env": { "RUNS": runs } });
                start(it, fields);
                let end = it.becomes(&["errored"]);
                let runs = fs::read_to_string(it.home.folder().join(runs)).unwrap();
                json!([end, runs.len()])
            },
        ),
        row(
            "`autorestart`, `autostart`, `stop_exit_codes`, `min_uptime`, `restart_delay`, `exp_backoff_restart_delay`",
            Same(json!([
                ["stopped", 0],
                ["stopped", 0],
                ["stopped", 0],
                "waiting restart",
                "waiting restart"
            ])),
            |it| {
                it.home.file("ends.js", "process.exit(5)");
                let ends = |fields: Value, statuses: &[&str]| {
                    let mut app = fields;
                    app["script"] = "ends.js".into();
                    start(it, app);
                    let end = it.becomes(statuses);
                    it.code("delete it");
                    end
                };
                let stopped = ["stopped"];
                let waits = ["waiting restart"];
                json!([
                    ends(json!({ "autorestart": false }), &stopped),
                    ends(json!({ "autostart": false }), &stopped),
                    ends(json!({ "stop_exit_codes": [5] }), &stopped),
                    ends(json!({ "restart_delay": 100_000 }), &waits)[0],
                    ends(json!({ "exp_backoff_restart_delay": 100_000 }), &waits)[0],
                ])
            },
        ),
    ]
}

fn output() -> Vec<Row> {
    vec![row(
        "`out_file`, `error_file`, `log_file`, `merge_logs`, `disable_logs`, `time`, `log_date_format`, `log_type`, `pid_file`",
        Same(json!([
            "D: out\n",
            "D: err\n",
            ["app_name", "message", "process_id", "timestamp", "type"],
            false,
            true
        ])),
        |it| {
            it.home.file(
                "talks.js",
                "console.log('out'); console.error('err'); setInterval(() => {}, 1e6);",
            );
            let mut texts = Vec::new();
            let talks = |fields: Value| {
                let mut app = fields;
                app["script"] = "talks.js".into();
                start(it, app);
            };
            let gone = |name: &str| {
                let path = it.home.folder().join(name);
                let was = path.exists();
                let _ = fs::remove_file(path);
                was
            };
            talks(json!({ "out_file": "o.log", "error_file": "e.log", "log_date_format": "[D]" }));
            texts.extend([json!(it.file("o.log")), json!(it.file("e.log"))]);
            it.code("delete it");
            talks(json!({ "log_type": "json", "out_file": "j.log", "error_file": "k.log" }));
            let line: Value = serde_json::from_str(it.file("j.log").trim()).unwrap();
            let keys: std::collections::BTreeSet<_> = line.as_object().unwrap().keys().collect();
            texts.push(json!(keys));
            it.code("delete it");
            talks(
                json!({ "disable_logs": true, "out_file": "no.log", "error_file": "no.log", "log_file": "both.log" }),
            );
            it.code("delete it");
            // pm2 makes the file all the same.
            let none = it.home.folder().join("no.log");
            let disabled = fs::read_to_string(&none).is_ok_and(|text| !text.is_empty());
            let _ = fs::remove_file(none);
            talks(
                json!({ "log_file": "both.log", "pid_file": "it.pid", "out_file": "o2.log", "error_file": "e2.log" }),
            );
            until_it_is("a line of both outputs in both.log", || {
                let text = it.file("both.log");
                text.contains("out") && text.contains("err")
            });
            for name in [
                "o.log", "e.log", "j.log", "k.log", "both.log", "o2.log", "e2.log",
            ] {
                gone(name);
            }
            texts.extend([json!(disabled), json!(gone("it-0.pid"))]);
            json!(texts)
        },
    )]
}
