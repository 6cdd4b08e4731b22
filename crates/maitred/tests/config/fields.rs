//! Each field with its other names, and what it becomes.

use serde_json::{Value, json};

use crate::harness::{Place, at};

#[test]
fn values_become_settings() {
    for (fields, path, expected) in [
        ("", "namespace", json!("default")),
        ("namespace: 'web'", "namespace", json!("web")),
        ("", "instances", json!(1)),
        ("", "exec_mode", json!("fork")),
        ("instances: 4", "instances", json!(4)),
        ("instances: '4'", "instances", json!(4)),
        ("instances: 1", "exec_mode", json!("cluster")),
        (
            "instances: 4, exec_mode: 'fork'",
            "exec_mode",
            json!("fork"),
        ),
        ("exec_mode: 'fork_mode'", "exec_mode", json!("fork")),
        ("exec_mode: 'cluster_mode'", "exec_mode", json!("cluster")),
        ("execMode: 'cluster'", "exec_mode", json!("cluster")),
        (
            "instances: 2, execute_command: true",
            "exec_mode",
            json!("fork"),
        ),
        (
            "args: ['a b', 1, true]",
            "args",
            json!(["a b", "1", "true"]),
        ),
        (
            r#"args: "a 'b c' --d=\"e f\"""#,
            "args",
            json!(["a", "b c", "--d=e f"]),
        ),
        ("args: ''", "args", json!([])),
        (
            "max_memory_restart: '200M'",
            "max_memory_restart",
            json!(200 << 20),
        ),
        ("maxMemoryRestart: 1024", "max_memory_restart", json!(1024)),
        ("max_memory: '1G'", "max_memory_restart", json!(1 << 30)),
        ("max_memory_restart: 0", "max_memory_restart", Value::Null),
        ("", "max_memory_restart", Value::Null),
        ("min_uptime: '10s'", "min_uptime", json!(10_000)),
        ("min_uptime: 3000", "min_uptime", json!(3000)),
        ("", "min_uptime", json!(1000)),
        ("max_restarts: 3", "max_restarts", json!(3)),
        ("max_restarts: '3'", "max_restarts", json!(3)),
        ("", "max_restarts", json!(16)),
        ("", "restart_delay", Value::Null),
        ("", "exp_backoff_restart_delay", Value::Null),
        ("restart_delay: 0", "restart_delay", json!(0)),
        ("restart_delay: '2s'", "restart_delay", json!(2000)),
        (
            "exp_backoff_restart_delay: 50",
            "exp_backoff_restart_delay",
            json!(50),
        ),
        (
            "restart_delay: 10, exp_backoff_restart_delay: 50",
            "exp_backoff_restart_delay",
            json!(50),
        ),
        ("autorestart: false", "autorestart", json!(false)),
        ("autoRestart: 'false'", "autorestart", json!(false)),
        ("autostart: false", "autostart", json!(false)),
        ("", "depends_on", json!([])),
        ("stop_exit_codes: 3", "stop_exit_codes", json!([3])),
        (
            "stop_exit_codes: [4, '3', 3]",
            "stop_exit_codes",
            json!([3, 4]),
        ),
        ("drain_timeout: 100", "drain_timeout", json!(100)),
        ("", "drain_timeout", json!(30_000)),
        (
            "hang_timeout: '30s', instances: 1",
            "hang_timeout",
            json!(30_000),
        ),
        ("instances: 1", "hang_timeout", json!(0)),
        (
            "health: '/healthz', instances: 1",
            "health.http",
            json!("/healthz"),
        ),
        (
            "health: { tcp: true, interval: '2s' }, instances: 1",
            "health.interval",
            json!(2000),
        ),
        ("health: false, instances: 1", "health", Value::Null),
        ("", "health", Value::Null),
        ("drain_delay: '10s'", "drain_delay", json!(10_000)),
        ("", "drain_delay", json!(0)),
        ("kill_timeout: 100", "kill_timeout", json!(100)),
        ("", "kill_timeout", json!(1600)),
        ("treekill: false", "treekill", json!(false)),
        ("", "treekill", json!(true)),
        ("wait_ready: true", "wait_ready", json!(true)),
        ("waitReady: true", "wait_ready", json!(true)),
        ("listen_timeout: '8s'", "listen_timeout", json!(8000)),
        (
            "shutdown_with_message: true",
            "shutdown_with_message",
            json!(true),
        ),
        ("cron: '0 3 * * *'", "cron_restart", json!("0 3 * * *")),
        (
            "cron_restart: 'TZ=Asia/Tokyo 1 2 3 * * *'",
            "cron_timezone",
            json!("Asia/Tokyo"),
        ),
        (
            "cron_restart: '@daily', cron_timezone: 'UTC'",
            "cron_timezone",
            json!("UTC"),
        ),
        (
            "cron_restart: 'TZ=Asia/Tokyo 1 2 3 * * *'",
            "cron_restart",
            json!("1 2 3 * * *"),
        ),
        (
            "cron_restart: '@daily', cron_timezone: 'UTC'",
            "cron_restart",
            json!("@daily"),
        ),
        ("cron: '@daily'", "cron_timezone", Value::Null),
        ("cron_restart: 0", "cron_restart", Value::Null),
        ("cron_restart: '0'", "cron_restart", Value::Null),
        ("", "watch", json!(false)),
        ("watch: false", "watch", json!(false)),
        ("watch: true", "ignore_watch", json!(["node_modules", ".*"])),
        (
            "watch: true, ignore_watch: ['logs']",
            "ignore_watch",
            json!(["logs"]),
        ),
        (
            "watch: true, ignoreWatch: 'logs'",
            "ignore_watch",
            json!(["logs"]),
        ),
        (
            "watch: true, ignoreWatch: 'logs \"my files\"'",
            "ignore_watch",
            json!(["logs", "my files"]),
        ),
        (
            "watch: true, ignoreWatch: ['my files']",
            "ignore_watch",
            json!(["my files"]),
        ),
        ("watch: true, watch_delay: 500", "watch_delay", json!(500)),
        ("watch: true, watch_delay: '4'", "watch_delay", json!(4000)),
        (
            "watch: true, watch_options: { followSymlinks: false, usePolling: true }",
            "watch_options.followSymlinks",
            json!(false),
        ),
        ("watch: '/usr'", "watch", json!(["/usr"])),
        ("watch: ['/usr/lib/../bin']", "watch", json!(["/usr/bin"])),
        ("", "out_file", json!(true)),
        ("", "log_file", json!(false)),
        ("out_file: '/dev/null'", "out_file", json!(false)),
        ("output: 'NULL'", "out_file", json!(false)),
        ("out: '/l/o'", "out_file", json!("/l/o")),
        ("outLog: '/l/o'", "out_file", json!("/l/o")),
        ("out_file: '~/o'", "out_file", json!("/home/somebody/o")),
        ("err: '/l/e'", "error_file", json!("/l/e")),
        ("error: '/l/e'", "error_file", json!("/l/e")),
        ("err_file: '/l/e'", "error_file", json!("/l/e")),
        ("errorFile: '/l/e'", "error_file", json!("/l/e")),
        ("log_file: true", "log_file", json!(true)),
        ("log: '/l/c'", "log_file", json!("/l/c")),
        ("", "merge_logs", json!(true)),
        ("instances: 2", "merge_logs", json!(false)),
        (
            "instances: 2, combine_logs: true",
            "merge_logs",
            json!(true),
        ),
        ("merge_logs: false", "merge_logs", json!(false)),
        ("disable_logs: true", "disable_logs", json!(true)),
        (
            "time: true",
            "log_date_format",
            json!("YYYY-MM-DDTHH:mm:ss"),
        ),
        (
            "time: true, log_date_format: 'HH'",
            "log_date_format",
            json!("HH"),
        ),
        ("", "log_date_format", Value::Null),
        ("log_type: 'json'", "log_type", json!("json")),
        ("log_rotate: false", "log_rotate", json!(false)),
        ("logMaxSize: '1M'", "log_max_size", json!(1 << 20)),
        ("logRetain: 3", "log_retain", json!(3)),
        ("logCompress: true", "log_compress", json!(true)),
        (
            "log_rotate_interval: '1d'",
            "log_rotate_interval",
            json!(86_400_000),
        ),
        ("pid_file: '/p'", "pid_file", json!("/p")),
        ("pid: '/p'", "pid_file", json!("/p")),
        ("", "pid_file", json!(true)),
        (
            "instances: 2, balance: 'ip_hash'",
            "balance",
            json!("ip_hash"),
        ),
        (
            "instances: 2, max_connections: 10",
            "max_connections",
            json!(10),
        ),
        (
            "instances: 2, max_connections: 0",
            "max_connections",
            Value::Null,
        ),
        (
            "instances: 2, private_ports: [9229, '9230']",
            "private_ports",
            json!([9229, 9230]),
        ),
        (
            "instances: 2, private_port: 9229",
            "private_ports",
            json!([9229]),
        ),
        (
            "instances: 2, private_paths: ['a.sock', '/run/*.ctl']",
            "private_paths",
            json!(["a.sock", "/run/*.ctl"]),
        ),
        (
            "privileged_ports: [80, '443']",
            "privileged_ports",
            json!([80, 443]),
        ),
        ("privileged_port: 443", "privileged_ports", json!([443])),
        ("increment_var: 'PORT'", "increment_var", json!("PORT")),
        ("instance_var: 'ID'", "instance_var", json!("ID")),
        ("", "instance_var", json!("NODE_APP_INSTANCE")),
        ("filter_env: true", "filter_env", json!(true)),
        ("filter_env: 'AWS'", "filter_env", json!(["AWS"])),
        ("filterEnv: ['A', 'B']", "filter_env", json!(["A", "B"])),
        (
            "env: { A: 1, B: true, C: 'x', D: null }",
            "env",
            json!({"A": "1", "B": "true", "C": "x"}),
        ),
        (
            "env: { A: { b: [1] } }",
            "env",
            json!({"A": r#"{"b":[1]}"#}),
        ),
        ("env: 'A=1 B=\"2 3\"'", "env", json!({"A": "1", "B": "2 3"})),
        ("env: ['A=1=2']", "env", json!({"A": "1=2"})),
        ("env: { PORT: 1 }, port: 80", "env", json!({"PORT": "80"})),
        ("port: '80'", "env", json!({"PORT": "80"})),
        (
            "env: { API_KEY: 'abc' }",
            "env",
            json!({"API_KEY": "********"}),
        ),
        ("force: true", "force", json!(true)),
        (
            "interpreter: 'sh', node_args: '-x -e'",
            "interpreter_args",
            json!(["-x", "-e"]),
        ),
        (
            "interpreter: 'sh', interpreterArgs: ['-x']",
            "interpreter_args",
            json!(["-x"]),
        ),
        (
            "exec_interpreter: 'node', source_map_support: true",
            "source_map_support",
            json!(true),
        ),
        (
            "interpreter: 'node', disable_source_map_support: true",
            "source_map_support",
            json!(false),
        ),
        ("", "uid", Value::Null),
        (
            "min_uptime: null, kill_timeout: null",
            "kill_timeout",
            json!(1600),
        ),
    ] {
        let app = Place::described(fields);
        assert_eq!(*at(&app, path), expected, "{fields}");
    }
}

#[test]
fn the_script_has_several_names() {
    for name in ["script", "exec", "cmd", "command"] {
        let place = Place::new().file("a.json", &format!("{{ {name}: './app.sh' }}"));
        let app = place.app(&["a.json"]);
        assert_eq!(*at(&app, "name"), "app");
        assert_eq!(*at(&app, "script"), place.path("app.sh").to_str().unwrap());
    }
}

#[test]
fn paths_start_at_the_files_folder() {
    let place = Place::new()
        .file(
            "sub/a.json",
            "{ script: 'run.sh', cwd: './in', out_file: 'o', env_file: '.env' }",
        )
        .file("sub/in/run.sh", "")
        .file("sub/in/.env", "# comment\nA=1\nB='x y'\nC=$A\n");
    let app = place.app(&["sub/a.json"]);
    let folder = place.path("sub/in");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    assert_eq!(*at(&app, "cwd"), folder.to_str().unwrap());
    assert_eq!(*at(&app, "script"), path("run.sh"));
    assert_eq!(*at(&app, "out_file"), path("o"));
    assert_eq!(*at(&app, "env"), json!({"A": "1", "B": "x y", "C": "$A"}));

    let error = place.wrong(&["sub/in/run.sh", "--cwd", "gone"]);
    assert!(error.contains("gone: No such file or directory"), "{error}");
}

#[test]
fn sets_of_variables() {
    let text = "{ script: 'app.sh', append_env_to_name: true, env_file: 'vars',
                  env: { A: 1, B: 1 }, env_production: { B: 2 }, env_test: { B: 3 } }";
    let place = Place::new().file("a.json", text).file("vars", "A=0\nZ=0\n");
    for (chosen, name, env) in [
        (None, "app", json!({"A": "1", "B": "1", "Z": "0"})),
        (
            Some("production"),
            "app-production",
            json!({"A": "1", "B": "2", "Z": "0"}),
        ),
        (
            Some("test"),
            "app-test",
            json!({"A": "1", "B": "3", "Z": "0"}),
        ),
    ] {
        let mut args = vec!["a.json"];
        args.extend(chosen.map(|chosen| ["--env", chosen]).into_iter().flatten());
        let app = place.app(&args);
        assert_eq!(*at(&app, "name"), name);
        assert_eq!(*at(&app, "env"), env);
    }
    let (apps, warnings) = place.apps(&["a.json", "--env", "staging"]);
    assert_eq!(*at(&apps[0], "env"), json!({"A": "1", "B": "1", "Z": "0"}));
    assert!(warnings.contains("env_staging"), "{warnings}");
}

#[test]
fn users_and_groups() {
    let id = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (uid, user) = (id("-u"), id("-un"));
    for asked in [uid.clone(), format!("'{user}'"), format!("'{uid}'")] {
        let app = Place::described(&format!("uid: {asked}"));
        assert_eq!(at(&app, "uid").to_string(), uid);
        assert_eq!(*at(&app, "env.USER"), user.as_str());
    }
    let place = Place::new().file("a.json", "{ script: 'app.sh', user: 'no-such-user' }");
    assert!(place.wrong(&["a.json"]).contains("no-such-user"));
    let place = Place::new().file("a.json", "{ script: 'app.sh', gid: 'no-such-group' }");
    assert!(place.wrong(&["a.json"]).contains("no-such-group"));
    if uid != "0" {
        let place = Place::new().file("a.json", "{ script: 'app.sh', uid: 0, gid: 0 }");
        assert!(place.wrong(&["a.json"]).contains("only root"));
    }
}
