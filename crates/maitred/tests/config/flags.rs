//! The flags of `pm2 start`, and that they go the same way as a config file.

use serde_json::{Value, json};

use crate::harness::{Place, at};

#[test]
fn each_flag_sets_its_field() {
    for (flags, path, expected) in [
        ("-n it", "name", json!("it")),
        ("--name it", "name", json!("it")),
        ("-i 3", "instances", json!(3)),
        ("-i3", "exec_mode", json!("cluster")),
        ("-i -64", "instances", json!(1)),
        ("--instances max -x", "exec_mode", json!("fork")),
        ("-f", "force", json!(true)),
        ("--namespace web", "namespace", json!("web")),
        (
            "--interpreter sh --interpreter-args -x",
            "interpreter_args",
            json!(["-x"]),
        ),
        (
            "--interpreter sh --node-args=-x",
            "interpreter_args",
            json!(["-x"]),
        ),
        ("--interpreter none", "interpreter", json!("none")),
        ("-o /o", "out_file", json!("/o")),
        ("--output /o", "out_file", json!("/o")),
        ("-e /e", "error_file", json!("/e")),
        ("--error /e", "error_file", json!("/e")),
        ("-l /l", "log_file", json!("/l")),
        ("--log", "log_file", json!(true)),
        ("--log-date-format HH:mm", "log_date_format", json!("HH:mm")),
        ("--time", "log_date_format", json!("YYYY-MM-DDTHH:mm:ss")),
        ("--log-type json", "log_type", json!("json")),
        ("--merge-logs", "merge_logs", json!(true)),
        ("--disable-logs", "disable_logs", json!(true)),
        (
            "--filter-env AWS --filter-env GCP",
            "filter_env",
            json!(["AWS", "GCP"]),
        ),
        ("--filter-env", "filter_env", json!(true)),
        ("-c @daily", "cron_restart", json!("@daily")),
        ("--cron @daily", "cron_restart", json!("@daily")),
        ("--cron-restart 0", "cron_restart", Value::Null),
        ("--watch", "watch_delay", json!(200)),
        (
            "--watch /usr --watch /tmp",
            "watch",
            json!(["/usr", "/tmp"]),
        ),
        (
            "--watch --ignore-watch a --ignore-watch b",
            "ignore_watch",
            json!(["a", "b"]),
        ),
        (
            "--watch --ignore-watch a,b",
            "ignore_watch",
            json!(["a", "b"]),
        ),
        ("--watch --watch-delay 4", "watch_delay", json!(4000)),
        ("--watch --watch-delay 4000ms", "watch_delay", json!(4000)),
        (
            "--max-memory-restart 200M",
            "max_memory_restart",
            json!(200 << 20),
        ),
        ("-i 1 --hang-timeout 30s", "hang_timeout", json!(30_000)),
        ("-i 1 --health /healthz", "health.http", json!("/healthz")),
        ("-i 1 --health tcp", "health.tcp", json!(true)),
        ("--max-restarts 3", "max_restarts", json!(3)),
        ("--min-uptime 5000", "min_uptime", json!(5000)),
        ("--restart-delay 10", "restart_delay", json!(10)),
        (
            "--exp-backoff-restart-delay 10",
            "exp_backoff_restart_delay",
            json!(10),
        ),
        ("-k 10", "kill_timeout", json!(10)),
        ("--drain-timeout 5s", "drain_timeout", json!(5000)),
        ("--drain-delay 10s", "drain_delay", json!(10_000)),
        ("--kill-timeout 5s", "kill_timeout", json!(5000)),
        ("--listen-timeout 10", "listen_timeout", json!(10)),
        ("--wait-ready", "wait_ready", json!(true)),
        (
            "--shutdown-with-message",
            "shutdown_with_message",
            json!(true),
        ),
        ("--stop-exit-codes 0 1", "stop_exit_codes", json!([0, 1])),
        ("--stop-exit-codes 0,1", "stop_exit_codes", json!([0, 1])),
        ("--no-autorestart", "autorestart", json!(false)),
        ("--no-autostart", "autostart", json!(false)),
        ("--no-treekill", "treekill", json!(false)),
        ("--kill-signal TERM", "kill_signal", json!("SIGTERM")),
        ("--increment-var N", "increment_var", json!("N")),
        ("--port 80", "env.PORT", json!("80")),
        ("-p /p", "pid_file", json!("/p")),
        ("-i 2 --balance ip_hash", "balance", json!("ip_hash")),
        (
            "-i 2 --private-port 1,2 --private-port 3",
            "private_ports",
            json!([1, 2, 3]),
        ),
        (
            "-i 2 --private-path a.sock,@b --private-path /c",
            "private_paths",
            json!(["a.sock", "@b", "/c"]),
        ),
        (
            "--privileged-port 80,443",
            "privileged_ports",
            json!([80, 443]),
        ),
        ("-- a --b -c", "args", json!(["a", "--b", "-c"])),
    ] {
        let flags: Vec<_> = flags.split(' ').collect();
        let place = Place::new().file("app.sh", "");
        place.executable("app.sh");
        let app = place.app(&[&["app.sh"], flags.as_slice()].concat());
        assert_eq!(*at(&app, path), expected, "{flags:?}");
    }
}

#[test]
fn flags_without_a_meaning_are_noted() {
    let flags = [
        "--no-vizion",
        "--no-pmx",
        "--no-automation",
        "--trace",
        "--v8",
        "--deep-monitoring",
    ];
    for flag in flags {
        let (_, notes) = Place::new().apps(&["app.sh", flag]);
        assert_eq!(notes.lines().count(), 1, "{notes}");
        assert!(
            notes.contains(&format!("{flag} does nothing with `check`")),
            "{notes}"
        );
    }
}

#[test]
fn a_wrong_value_is_named_with_its_flag() {
    for (flag, value) in [
        ("--max-memory-restart", "much"),
        ("--instances", "many"),
        ("--kill-timeout", "soon"),
        ("--port", "99999"),
        ("--log-type", "xml"),
        ("--min-uptime", "1"),
        ("--max-restarts", "1x"),
    ] {
        let ended = Place::new().maitred(&["check", "app.sh", flag, value]);
        assert_eq!(ended.code, 2, "{flag}");
        assert!(ended.errors.contains(flag), "{}", ended.errors);
    }
}

#[test]
fn flags_go_over_the_file_and_only_chooses() {
    let text = "[{ script: 'app.sh', name: 'a', instances: 2, kill_timeout: 1 },
                 { script: 'app.sh', name: 'b', kill_timeout: 1 },
                 { script: 'gone.sh', name: 'c' }]";
    let place = Place::new().file("a.json", text);
    let (apps, _) = place.apps(&["a.json", "--only", "a,b", "--kill-timeout", "5"]);
    assert_eq!(apps.len(), 2);
    for app in &apps {
        assert_eq!(*at(app, "kill_timeout"), 5);
    }
    assert_eq!(*at(&apps[0], "instances"), 2);
    assert!(place.wrong(&["a.json"]).contains("gone.sh"));
    let error = place.wrong(&["a.json", "--only", "x"]);
    assert!(
        error.contains("no app is called x") && error.contains("a, b, c"),
        "{error}"
    );
    assert!(place.wrong(&["app.sh", "--only", "x"]).contains("--only"));
}

#[test]
fn completion_knows_commands_and_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Place::new().maitred(&["completion", shell]);
        assert_eq!(ended.code, 0, "{}", ended.errors);
        assert!(ended.output.contains("max-memory-restart"), "{shell}");
    }
    assert_eq!(Place::new().maitred(&["completion", "tcsh"]).code, 2);
    // That of the user, if it is one of these.
    for (user, shell) in [
        ("/bin/zsh", "zsh"),
        ("/usr/bin/fish", "fish"),
        ("/bin/tcsh", "bash"),
        ("", "bash"),
    ] {
        let named = Place::new().maitred(&["completion", shell]);
        let own = Place::new().env("SHELL", user).maitred(&["completion"]);
        assert_eq!(own.code, 0, "{}", own.errors);
        assert!(own.output == named.output, "{user}");
    }
}

/// As with pm2: one text with spaces is several patterns.
#[test]
fn patterns_may_stand_in_one_text() {
    let flags = [
        "app.sh",
        "--watch",
        "--ignore-watch",
        "node_modules logs/**",
    ];
    let app = Place::new().app(&flags);
    assert_eq!(
        *at(&app, "ignore_watch"),
        json!(["node_modules", "logs/**"])
    );
}

#[test]
fn arguments_of_the_interpreter_are_taken_away() {
    let text = "{ script: 'app.sh', interpreter_args: ['-e'] }";
    let place = Place::new().file("a.json", text);
    for (flags, expected) in [(&[][..], json!(["-e"])), (&["--node-args=null"], json!([]))] {
        let app = place.app(&[&["a.json"], flags].concat());
        assert_eq!(*at(&app, "interpreter_args"), expected);
    }
}
