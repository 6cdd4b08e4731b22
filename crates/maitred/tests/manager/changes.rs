//! A config file that has changed: each field of it is in effect when the app has been restarted,
//! reloaded or started with the file, while its supervisor goes on.

mod app;
mod scripts;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Process, beside_others, repository};
use crate::home::Home;
use crate::recreated::OF_SUPERVISORS;
pub(crate) use app::{App, Row, row};
use scripts::{HANGS, JOB, NODE, SPEAKS_FIRST, STUBBORN};

/// Fields that name an app or say what becomes of a new one: nothing that runs has them.
const OF_NEW_APPS: [&str; 5] = [
    "name",
    "namespace",
    "append_env_to_name",
    "autostart",
    "force",
];

fn of_processes() -> Vec<Row> {
    vec![
        row("script", json!("other.sh"), json!("job.sh"), |app| {
            assert!(app.arguments().last().unwrap().ends_with("/job.sh"));
        }),
        row("args", json!(["a"]), json!(["b", "c"]), |app| {
            assert!(app.arguments().ends_with(&["b".into(), "c".into()]));
        }),
        row("cwd", json!("."), json!("sub"), |app| {
            let now = fs::read_link(format!("/proc/{}/cwd", app.pid())).unwrap();
            assert_eq!(now, app.path("sub").canonicalize().unwrap());
        })
        .beside(json!({ "script": "/bin/sleep", "args": ["1000"] })),
        row("interpreter", json!("sh"), json!("bash"), |app| {
            assert!(app.arguments()[0].ends_with("/bash"));
        }),
        row("interpreter_args", json!("-e"), json!("-u"), |app| {
            assert_eq!(app.arguments()[1], "-u");
        }),
        row("instances", json!(1), json!(2), |app| {
            assert_eq!(app.instances().len(), 2);
        }),
        row("port", json!(1), json!(2), |app| {
            assert!(app.has_variable("PORT=2"));
        }),
        row("env", json!({ "A": 1 }), json!({ "A": 2 }), |app| {
            assert!(app.has_variable("A=2"));
        }),
        row("env_file", json!("one.env"), json!("two.env"), |app| {
            assert!(app.has_variable("FILE=2"));
        }),
        row("filter_env", json!([]), json!(["FILTERED"]), |app| {
            assert!(!app.has_variable("FILTERED=1"));
        }),
        row("increment_var", Value::Null, json!("N"), |app| {
            assert!(app.has_variable("N=0"));
        }),
        row("instance_var", json!("ONE"), json!("TWO"), |app| {
            assert!(app.has_variable("TWO=0"));
        }),
        row("source_map_support", json!(false), json!(true), |app| {
            assert_eq!(app.arguments()[1], "--enable-source-maps");
        })
        .beside(json!({ "script": "job.js" })),
        row("before_start", json!("true"), json!("echo > h1"), |app| {
            assert!(app.path("h1").exists());
        }),
        row("before_reload", json!("true"), json!("echo > h2"), |app| {
            assert!(!app.path("h2").exists());
            app.home.does(&["reload", app.name]);
            assert!(app.path("h2").exists());
        }),
        row("depends_on", json!([]), json!(["args"]), |app| {
            let described = app.home.does(&["describe", app.name]);
            assert!(
                described.contains("depends on          args\n"),
                "{described}"
            );
        }),
    ]
}

fn of_ends() -> Vec<Row> {
    vec![
        row("autorestart", json!(true), json!(false), |app| {
            assert_eq!(app.exits_for_good(1), "stopped");
        }),
        row("stop_exit_codes", json!([5]), json!([7]), |app| {
            assert_eq!(app.exits_for_good(7), "stopped");
        }),
        row("max_restarts", json!(16), json!(0), |app| {
            assert_eq!(app.exits_for_good(1), "errored");
        })
        .beside(json!({ "min_uptime": "1h" })),
        row("min_uptime", json!("100ms"), json!("1h"), |app| {
            assert_eq!(app.exits_for_good(1), "errored");
        })
        .beside(json!({ "max_restarts": 0 })),
        row("restart_delay", json!(1), json!("1h"), |app| {
            assert!(app.pauses().contains("60 min"));
        }),
        row("exp_backoff_restart_delay", json!(1), json!("9s"), |app| {
            assert!(app.pauses().contains("9.0 s"));
        }),
        row("kill_signal", json!("SIGINT"), json!("SIGTERM"), |app| {
            app.home.does(&["stop", app.name]);
            app.writes("got TERM", 1);
        }),
        row("drain_timeout", json!("1h"), json!("100ms"), |app| {
            // What the worker has said first is no HTTP, so it cannot be moved.
            let mut client = UnixStream::connect(app.path("drain.sock")).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.read_exact(&mut [0]).unwrap();
            app.home.does(&["reload", app.name]);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        })
        .beside(json!({ "script": "drain.cjs", "instances": 1 })),
        row("drain_delay", json!(0), json!("1h"), |app| {
            let supervisor = Pid::from_raw(app.home.supervisor(app.name)).unwrap();
            kill_process(supervisor, Signal::TERM).unwrap();
            app.shows("serves new clients for another 60 min (drain_delay)");
            app.does("something");
        }),
        row("kill_timeout", json!("1h"), json!("100ms"), |app| {
            app.home.does(&["stop", app.name]);
        })
        .beside(json!({ "script": "stubborn.sh" })),
        row("treekill", json!(true), json!(false), |app| {
            app.writes("hello", 2);
            let child = app.writes("child", 2);
            app.sends("exit 3");
            app.writes("hello", 3);
            let pid: i32 = child.strip_prefix("child ").unwrap().parse().unwrap();
            assert!(Process::find(pid).is_some_and(|it| it.is_alive()));
        }),
        row("shutdown_with_message", json!(false), json!(true), |app| {
            app.home.does(&["stop", app.name]);
            app.writes("shutdown", 1);
        })
        .beside(json!({ "script": "job.js", "env": { "READY": "1" } })),
        row("wait_ready", json!(false), json!(true), |app| {
            let errors = &app.said.errors;
            assert!(
                errors.contains("wait_ready-0 has not called process.send"),
                "{errors}"
            );
        })
        .beside(json!({ "script": "job.js", "listen_timeout": 200 })),
        row("listen_timeout", json!("1h"), json!("100ms"), |app| {
            let errors = &app.said.errors;
            let expected = "listen_timeout-0 has not called process.send(\"ready\") after 100 ms";
            assert!(errors.contains(expected), "{errors}");
        })
        .beside(json!({ "script": "late.js", "wait_ready": true })),
        row(
            "health",
            json!({ "command": "true" }),
            json!({ "command": ["sh", "-c", "echo no luck; exit 7"] }),
            |app| {
                let errors = &app.said.errors;
                let expected = "health-0 has passed no health check after 5 s (listen_timeout): \
                                its check exits with code 7: no luck";
                assert!(errors.contains(expected), "{errors}");
            },
        )
        .beside(json!({ "listen_timeout": "5s" })),
    ]
}

fn of_triggers() -> Vec<Row> {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap());
    let hours = format!("* * {},{} * * *", hour.hour(), (hour.hour() + 1) % 24);
    vec![
        row("hang_timeout", json!("1h"), json!("1s"), |app| {
            app.sends("hang");
            app.shows("(hang_timeout)");
            app.writes("hello", 3);
        })
        .beside(json!({ "script": "hang.cjs", "instances": 1 })),
        row("max_memory_restart", json!("1G"), json!("1K"), |app| {
            app.writes("hello", 3);
        }),
        row(
            "cron_restart",
            json!("0 0 30 1 *"),
            json!("* * * * * *"),
            |app| {
                app.writes("hello", 3);
            },
        ),
        row("cron_timezone", json!("UTC"), json!("Asia/Tokyo"), |app| {
            app.writes("hello", 3);
        })
        .beside(json!({ "cron_restart": hours })),
        row("cron_overlap", json!("skip"), json!("replace"), |app| {
            app.writes("hello", 4);
        })
        .beside(json!({ "cron_restart": "* * * * * *", "autorestart": false })),
        row("watch", json!(false), json!(["w1"]), |app| {
            app.home.file("w1/changed", "");
            app.writes("hello", 3);
        }),
        row("ignore_watch", json!(["*.a"]), json!(["*.b"]), |app| {
            app.home.file("w2/changed.a", "");
            app.writes("hello", 3);
        })
        .beside(json!({ "watch": ["w2"] })),
        row("watch_delay", json!("1h"), json!("10ms"), |app| {
            app.home.file("w3/changed", "");
            app.writes("hello", 3);
        })
        .beside(json!({ "watch": ["w3"] })),
        row(
            "watch_options",
            json!({ "ignored": ["*.a"] }),
            json!({ "ignored": ["*.b"] }),
            |app| {
                app.home.file("w4/changed.a", "");
                app.writes("hello", 3);
            },
        )
        .beside(json!({ "watch": ["w4"] })),
    ]
}

fn of_logs() -> Vec<Row> {
    let ports = crate::metrics::two_ports().map(|port| port.to_string());
    vec![
        row("out_file", json!("o1"), json!("o2"), |app| {
            app.writes("hello", 1);
            assert!(
                fs::read_to_string(app.path("o2"))
                    .unwrap()
                    .contains("hello")
            );
        }),
        row("error_file", json!("e1"), json!("e2"), |app| {
            app.home.does(&["stop", app.name]);
            assert!(fs::read_to_string(app.path("e2")).unwrap().contains("oops"));
        }),
        row("log_file", json!("l1"), json!("l2"), |app| {
            app.does("something");
            assert!(
                fs::read_to_string(app.path("l2"))
                    .unwrap()
                    .contains("hello")
            );
        }),
        row("merge_logs", json!(false), json!(true), |app| {
            app.writes("hello", 2);
            let log = fs::read_to_string(app.home.log("merge_logs-out.log")).unwrap();
            assert_eq!(log.matches("hello").count(), 2, "{log}");
        })
        .beside(json!({ "instances": 2 })),
        row("pid_file", json!("p1"), json!("p2"), |app| {
            let pid = fs::read_to_string(app.path("p2")).unwrap();
            assert_eq!(pid, app.pid().to_string());
            assert!(!app.path("p1").exists());
        }),
        row("metrics", json!(ports[0]), json!(ports[1]), |_| {
            let [before, after] = crate::metrics::two_ports();
            crate::metrics::opens(after);
            let old = std::net::TcpStream::connect(("127.0.0.1", before));
            assert!(old.is_err(), "it is not served at the old address any more");
        }),
        row("disable_logs", json!(false), json!(true), |app| {
            app.sends("something");
            app.home.does(&["stop", app.name]);
            let log = fs::read_to_string(app.home.log("disable_logs-out.log")).unwrap();
            assert_eq!(log.matches("hello").count(), 1, "{log}");
        }),
        row("log_date_format", json!("[A]"), json!("[B]"), |app| {
            // Also the first line of the new process.
            assert_eq!(app.writes("hello", 2), "B: hello");
            assert_eq!(app.does("something"), "B: did something");
        }),
        row("time", json!(false), json!(true), |app| {
            assert!(app.writes("hello", 2).starts_with("20"));
            assert!(app.does("something").starts_with("20"));
        }),
        row("log_type", json!("raw"), json!("json"), |app| {
            assert!(app.writes("hello", 2).starts_with('{'));
            assert!(app.does("something").starts_with('{'));
        }),
        row("log_rotate", json!(true), json!(false), |app| {
            app.does("fill");
            assert_eq!(app.set_aside(), [""; 0]);
        })
        .beside(json!({ "log_max_size": "1K" })),
        row("log_max_size", json!("1G"), json!("1K"), |app| {
            app.does("fill");
            assert_ne!(app.set_aside(), [""; 0]);
        }),
        row("log_retain", json!(10), json!(1), |app| {
            for _ in 0..3 {
                app.sends("fill");
            }
            app.home.does(&["stop", app.name]);
            assert_eq!(app.set_aside().len(), 1);
        })
        .beside(json!({ "log_max_size": "1K" })),
        row("log_compress", json!(false), json!(true), |app| {
            app.does("fill");
            app.home.does(&["stop", app.name]);
            let names = app.set_aside();
            assert!(names.iter().any(|name| name.ends_with(".gz")), "{names:?}");
        })
        .beside(json!({ "log_max_size": "1K" })),
        row("log_rotate_interval", json!("1d"), json!("1s"), |app| {
            // The clock alone sets it aside, at the first line after a full second.
            let second = || jiff::Timestamp::now().as_second();
            let first = second();
            while app.set_aside().is_empty() {
                assert!(second() < first + 60, "not set aside");
                app.sends("something");
            }
        }),
    ]
}

/// Starts all apps as they are before, and runs the command with the file as it is after.
fn changed(rows: &[Row], command: &str) {
    let home = Home::new();
    for name in ["job.sh", "other.sh"] {
        home.file(name, JOB);
    }
    home.file("stubborn.sh", STUBBORN);
    home.file("drain.cjs", SPEAKS_FIRST);
    home.file("hang.cjs", HANGS);
    home.file("job.js", NODE);
    home.file(
        "late.js",
        &NODE.replace("process.env.READY", "require('fs').existsSync('early')"),
    );
    home.file("early", "");
    home.file("one.env", "FILE=1\n");
    home.file("two.env", "FILE=2\n");
    for folder in ["sub", "w1", "w2", "w3", "w4"] {
        fs::create_dir(home.folder().join(folder)).unwrap();
    }
    let write = |value: fn(&Row) -> &Value| {
        let apps: Vec<_> = rows.iter().map(|row| row.entry(value(row))).collect();
        home.file("apps.json", &json!(apps).to_string());
    };
    write(|row| &row.before);
    let mut start = home.command(&["start", "apps.json"]);
    start.env("FILTERED", "1");
    let started = crate::home::ended(start);
    assert_eq!(started.code, 0, "{started:?}");
    for row in rows.iter().filter(|row| row.field != "cwd") {
        App {
            home: &home,
            name: row.field,
            said: &started,
        }
        .writes("hello", 1);
    }
    fs::remove_file(home.folder().join("early")).unwrap();
    write(|row| &row.after);
    let said = home.run(&[command, "apps.json"]);
    for row in rows {
        println!("{}", row.field);
        (row.probe)(&App {
            home: &home,
            name: row.field,
            said: &said,
        });
    }
}

#[test]
fn what_processes_are_given() {
    let _turn = beside_others();
    changed(&of_processes(), "restart");
}

#[test]
fn how_they_end() {
    let _turn = beside_others();
    changed(&of_ends(), "restart");
}

#[test]
fn what_restarts_them() {
    let _turn = beside_others();
    changed(&of_triggers(), "restart");
}

#[test]
fn where_their_lines_go() {
    let _turn = beside_others();
    for command in ["restart", "reload", "start"] {
        changed(&of_logs(), command);
    }
}

/// There is a row for each field of the reference page.
#[test]
fn no_field_is_left_out() {
    let page = fs::read_to_string(repository().join("docs/config.md")).unwrap();
    let fields: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let rows = [of_processes(), of_ends(), of_triggers(), of_logs()];
    let rows: Vec<_> = rows.iter().flatten().map(|row| row.field).collect();
    let others = OF_NEW_APPS.iter().chain(&OF_SUPERVISORS).copied();
    let seen: BTreeSet<_> = rows.iter().copied().chain(others).collect();
    assert_eq!(seen, fields);
}
