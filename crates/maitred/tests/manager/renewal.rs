//! Restarts that nobody asks for: changed files, the calendar, too much memory.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{PATIENCE, beside_others, gone_within};
use crate::home::Home;
use crate::wait::until_it_is;

#[test]
fn a_changed_file_restarts_the_app_and_an_ignored_one_does_not() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "cat word; exec sleep 1000");
    home.file("word", "one\n");
    home.file("node_modules/x/y", "");
    home.does(&["start", "app.sh", "--watch", "--watch-delay", "50ms"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "one");
    home.file("node_modules/x/y", "changed");
    home.file(".hidden", "changed");
    // One change, and not two of which the second comes later.
    let next = home.file("node_modules/word", "two\n");
    fs::rename(next, home.folder().join("word")).unwrap();
    assert_eq!(lines.next(), "two");
    // Once for all.
    assert_eq!(home.instances()[0]["pm2_env"]["restart_time"], 1);
}

#[test]
fn the_calendar_restarts_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "echo begun; exec sleep 1000");
    home.does(&["start", "app.sh", "--cron-restart", "* * * * * *"]);
    let lines = home.follow("app");
    for _ in 0..3 {
        assert_eq!(lines.next(), "begun");
    }
}

/// Its supervisor is there for the schedule alone, and goes with it.
#[test]
fn what_is_stopped_or_deleted_between_two_runs_runs_no_more() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo run\n");
    for command in ["stop", "delete"] {
        let flags = ["--no-autorestart", "--cron", "* * * * * *", "-f"];
        home.does(&[&["start", "job.sh"], &flags[..]].concat());
        let lines = home.follow("job");
        for _ in 0..2 {
            assert_eq!(lines.next(), "run");
        }
        let all = home.processes();
        home.does(&[command, "job"]);
        drop(lines);
        assert_eq!(gone_within(PATIENCE, &all), []);
    }
    assert_eq!(home.statuses(), []);
}

/// The calendar comes while a command waits for the app.
#[test]
fn a_start_that_the_calendar_meets_succeeds() {
    let _turn = beside_others();
    let home = Home::new();
    // Ready a little later than the next second begins, at the first time.
    home.file(
        "app.js",
        "const first = !require('fs').existsSync('first');
        require('fs').writeFileSync('first', '');
        setTimeout(() => process.send('ready'), first ? 1500 : 0);
        setInterval(() => {}, 1000);",
    );
    let flags = ["--wait-ready", "--listen-timeout", "60000"];
    home.does(&[&["start", "app.js", "--cron", "* * * * * *"], &flags[..]].concat());
    home.does(&["stop", "app"]);
}

/// The calendar comes more often than the app starts: it comes up nevertheless, and is restarted then.
#[test]
fn a_start_that_takes_longer_than_the_calendars_period_succeeds() {
    let _turn = beside_others();
    for flags in [&[][..], &["-i", "2"]] {
        let home = Home::new();
        home.file(
            "app.js",
            "console.log('begun');
            setTimeout(() => { console.log('ready'); process.send('ready'); }, 2500);
            setInterval(() => {}, 1000);",
        );
        let start = ["start", "app.js", "--cron", "* * * * * *"];
        let ready = ["--wait-ready", "--listen-timeout", "60000"];
        home.does(&[&start[..], &ready, flags].concat());
        let lines = home.follow("app");
        // The second run of one begins only after its first was ready.
        let mut ready = false;
        for line in (0..).map(|_| lines.next()) {
            match line.as_str() {
                "ready" => ready = true,
                _ if ready => break,
                _ => {}
            }
        }
        home.does(&["stop", "app"]);
    }
}

/// The calendar comes more often than a worker starts: all are replaced nevertheless, and a reload with
/// another configuration meanwhile puts that into effect everywhere.
#[test]
fn the_calendar_cuts_no_reload_short() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.js",
        "const server = require('http').createServer((_, answer) => answer.end('.'));
        setTimeout(() => server.listen(process.env.PORT, () => console.log('up')), 1500);",
    );
    let config = |word: &str, cron: &str| {
        let app = json!({
            "script": "app.js", "instances": 2, "listen_timeout": 60_000, "cron_restart": cron,
            "env": { "WORD": word },
        });
        home.file("app.json", &app.to_string());
    };
    config("one", "0");
    home.does(&["start", "app.json"]);
    home.is_up("app", 2);
    config("one", "* * * * * *");
    home.does(&["reload", "app.json"]);
    let before = home.pids();
    until_it_is("all are replaced", || {
        !home.pids().iter().any(|pid| before.contains(pid))
    });
    config("two", "* * * * * *");
    home.does(&["reload", "app.json"]);
    for pid in home.pids() {
        // One that the calendar has replaced at this moment runs the same.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        let mut variables = environment.split(|byte| *byte == 0);
        assert!(variables.any(|it| it == b"WORD=two"), "{pid}");
    }
}

#[test]
fn too_much_memory_restarts_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.py",
        "import sys, time\n\
         print('begun', flush=True)\n\
         x = b'x' * (90 << 20)\n\
         time.sleep(1000)\n",
    );
    home.does(&["start", "app.py", "--max-memory-restart", "60M"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "begun");
    assert_eq!(lines.next(), "begun");
}

/// As deploys do it: `current` leads to the release that runs.
#[test]
fn a_link_that_leads_to_another_release_restarts_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    for release in ["1", "2"] {
        let text = format!("echo release {release}; exec sleep 1000\n");
        home.file(&format!("releases/{release}/app.sh"), &text);
        let config = r#"{"script": "app.sh", "name": "app", "watch": true, "watch_delay": "50ms"}"#;
        home.file(&format!("releases/{release}/app.json"), config);
    }
    let swap = |release: &str| {
        let next = home.folder().join("next");
        symlink(format!("releases/{release}"), &next).unwrap();
        fs::rename(next, home.folder().join("current")).unwrap();
    };
    swap("1");
    home.does(&["start", "current/app.json"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "release 1");
    swap("2");
    assert_eq!(lines.next(), "release 2");
}
