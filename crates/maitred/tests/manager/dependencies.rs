//! `depends_on`: who is started first, who is held up, and who is stopped last.

mod graph;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{PATIENCE, beside_others, gone_within};
use crate::home::Home;

/// Writes when it begins and when it is asked to end, and is up when there is a file `go`.
const SERVICE: &str = "
const fs = require('fs'), name = process.env.name;
const note = (what) => fs.appendFileSync('order', `${name} ${what}\\n`);
note('begins');
process.on('SIGINT', () => { note('ends'); process.exit(0); });
const look = setInterval(() => {
    if (!fs.existsSync('go')) return;
    clearInterval(look);
    note('is up');
    process.send?.('ready');
    setInterval(() => {}, 1e6);
}, 10);
";

/// Ends with the code in a file of its name, when there is one.
const JOB: &str = "
const fs = require('fs'), name = process.env.name, file = `${name}.code`;
const note = (what) => fs.appendFileSync('order', `${name} ${what}\\n`);
note('begins');
setInterval(() => {
    if (!fs.existsSync(file)) return;
    note('is done');
    process.exit(Number(fs.readFileSync(file, 'utf8')));
}, 10);
";

/// Apps with what each depends on.
fn home_with(apps: &[(&str, serde_json::Value)]) -> Home {
    let home = Home::new();
    home.file("service.js", SERVICE);
    home.file("job.js", JOB);
    home.file("go", "");
    write(&home, "apps.json", apps);
    home
}

/// An app that needs another one, and a job that needs that one too and ends well.
fn web_after_job() -> Home {
    let home = home_with(&[
        ("web", json!(["db", { "app": "job", "until": "completed" }])),
        ("job", json!("db")),
        ("db", json!([])),
    ]);
    home.file("job.code", "0");
    home
}

fn write(home: &Home, file: &str, apps: &[(&str, serde_json::Value)]) {
    let entry = |(name, depends_on): &(&str, serde_json::Value)| {
        let mut entry = json!({ "name": name, "depends_on": depends_on });
        let fields = entry.as_object_mut().unwrap();
        let rest = match name.starts_with("job") {
            true => json!({ "script": "job.js", "autorestart": false }),
            // It takes no time at all to be up, or as long as the test wants.
            false => json!({ "script": "service.js", "wait_ready": true, "listen_timeout": "1h" }),
        };
        fields.extend(rest.as_object().unwrap().clone());
        entry
    };
    let apps: Vec<_> = apps.iter().map(entry).collect();
    home.file(file, &json!(apps).to_string());
}

/// What has happened, in its order.
fn order(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.folder().join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The place of something in it, of which there is one.
fn place(order: &[String], what: &str) -> usize {
    let places: Vec<_> = (0..).zip(order).filter(|(_, it)| *it == what).collect();
    assert_eq!(places.len(), 1, "{what}: {order:?}");
    places[0].0
}

fn forget(home: &Home) {
    let _ = fs::remove_file(home.folder().join("order"));
}

fn status(home: &Home, name: &str) -> String {
    let instances = home.instances();
    let app = instances.iter().find(|it| it["name"] == name);
    app.map_or("not there", |it| it["pm2_env"]["status"].as_str().unwrap())
        .to_owned()
}

/// What begins before what, with commands that start all of them.
#[test]
fn what_is_needed_is_up_before() {
    let _turn = beside_others();
    let home = home_with(&[
        ("web", json!(["api", "cache"])),
        ("api", json!(["db", { "app": "job", "until": "completed" }])),
        ("cache", json!(["db"])),
        ("job", json!("db")),
        ("db", json!([])),
    ]);
    home.file("job.code", "0");
    let is_in_order = |command: &str| {
        let order = order(&home);
        for (first, then) in [
            ("db is up", "cache begins"),
            ("db is up", "job begins"),
            ("job is done", "api begins"),
            ("api is up", "web begins"),
            ("cache is up", "web begins"),
        ] {
            let is_so = place(&order, first) < place(&order, then);
            assert!(is_so, "{command}: {first}, {then}: {order:?}");
        }
    };
    let said = home.run(&["start", "apps.json"]);
    assert_eq!(said.code, 0, "{said:?}");
    is_in_order("start");
    // The numbers are those of the file's order all the same.
    let names: Vec<_> = home
        .instances()
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["web", "api", "cache", "job", "db"]);
    for command in ["start", "restart", "startOrRestart", "reload"] {
        home.does(&["stop", "all"]);
        forget(&home);
        home.does(&[command, "apps.json"]);
        is_in_order(command);
    }
    forget(&home);
    home.does(&["restart", "all"]);
    let mut begun = order(&home);
    begun.retain(|line| !line.ends_with("ends"));
    fs::write(home.folder().join("order"), begun.join("\n")).unwrap();
    is_in_order("restart all");
}

#[test]
fn what_is_needed_ends_last() {
    let _turn = beside_others();
    let apps = [
        ("db", json!([])),
        ("api", json!(["db"])),
        ("web", json!(["api"])),
    ];
    let home = home_with(&apps);
    for line in [
        &["stop", "all"][..],
        &["stop", "apps.json"],
        &["delete", "all"],
        &["kill"],
    ] {
        home.does(&["start", "apps.json"]);
        forget(&home);
        home.does(line);
        assert_eq!(
            order(&home),
            ["web ends", "api ends", "db ends"],
            "{line:?}"
        );
    }
}

/// Apps that are saved come back in order.
#[test]
fn they_come_back_in_order() {
    let _turn = beside_others();
    let home = web_after_job();
    home.does(&["start", "apps.json"]);
    home.does(&["save"]);
    home.does(&["kill"]);
    forget(&home);
    home.does(&["resurrect"]);
    // The job had done its work when it was saved.
    assert_eq!(
        order(&home),
        ["db begins", "db is up", "web begins", "web is up"]
    );
    // What it needs is gone from the list that was saved.
    home.does(&["delete", "db"]);
    home.does(&["save"]);
    home.does(&["kill"]);
    let said = home.run(&["resurrect"]);
    assert_eq!(said.code, 0, "{said:?}");
    let note = "web: depends_on names db, and there is no app of this name; it is not waited for";
    assert!(said.errors.contains(note), "{said:?}");
    assert_eq!(status(&home, "web"), "online");
}

/// While an app is waited for, others have not begun.
#[test]
fn nobody_begins_too_early() {
    let _turn = beside_others();
    let home = home_with(&[
        ("web", json!("db")),
        ("other", json!([])),
        ("db", json!([])),
    ]);
    fs::remove_file(home.folder().join("go")).unwrap();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| home.run(&["start", "apps.json"]));
        while order(&home).len() < 2 {}
        assert_eq!(status(&home, "web"), "stopped");
        home.file("go", "");
        assert_eq!(start.join().unwrap().code, 0);
    });
    let order = order(&home);
    assert!(place(&order, "db is up") < place(&order, "web begins"));
}

/// A dependency that fails, and what is said of it.
#[test]
fn who_fails_holds_others_up() {
    let _turn = beside_others();
    let home = home_with(&[]);
    home.file("code.sh", "exit 3\n");
    home.file("kill.sh", "kill -SEGV $$\n");
    home.file("late.js", "setInterval(() => {}, 1e6)");
    home.file(
        "up.js",
        "setTimeout(() => process.exit(3), 10); process.send('ready')",
    );
    let held = "web and top are not started, as they depend on db";
    for (fields, until, reason) in [
        (
            json!({ "script": "code.sh", "max_restarts": 0, "wait_ready": true }),
            "started",
            "db has failed",
        ),
        (
            json!({ "script": "kill.sh", "restart_delay": "1h", "wait_ready": true }),
            "started",
            "db has failed",
        ),
        (
            json!({ "script": "late.js", "listen_timeout": 300, "wait_ready": true }),
            "started",
            "db is not up",
        ),
        (
            json!({ "script": "code.sh", "autorestart": false, "wait_ready": true }),
            "completed",
            "db has failed",
        ),
        (
            json!({ "script": "up.js", "autorestart": false, "wait_ready": true }),
            "completed",
            "db has exited with code 3",
        ),
        (
            json!({ "script": "late.js", "autostart": false }),
            "started",
            "db is not started, as its autostart is false",
        ),
        (
            json!({ "script": "there-is-none.js" }),
            "started",
            "db cannot be run",
        ),
    ] {
        let mut db = json!({ "name": "db" });
        let entry = db.as_object_mut().unwrap();
        entry.extend(fields.as_object().unwrap().clone());
        let apps = json!([
            db,
            { "name": "web", "script": "service.js", "depends_on": { "app": "db", "until": until } },
            { "name": "top", "script": "service.js", "depends_on": "web" },
            { "name": "other", "script": "service.js" },
        ]);
        home.file("apps.json", &apps.to_string());
        let said = home.run(&["start", "apps.json"]);
        assert_eq!(said.code, 1, "{fields}: {said:?}");
        let sentence = format!("maitred: {reason}: {held}\n");
        assert!(said.errors.contains(&sentence), "{fields}: {said:?}");
        assert_eq!(status(&home, "other"), "online", "{fields}");
        for name in ["web", "top"] {
            assert_eq!(status(&home, name), "stopped", "{fields}");
        }
        home.does(&["delete", "all"]);
    }
    assert!(!order(&home).iter().any(|it| it.starts_with("web")));
}

#[test]
fn what_is_wrong_is_said_before_anything_is_started() {
    let _turn = beside_others();
    let home = home_with(&[]);
    for (apps, expected) in [
        (
            &[("a", json!("b")), ("b", json!("a"))][..],
            "depends_on goes round in a circle: a → b → a",
        ),
        (
            &[("a", json!("a"))],
            "depends_on goes round in a circle: a → a",
        ),
        (
            &[("a", json!(["gone"])), ("b", json!([]))],
            "a: depends_on names gone, and there is no app of this name",
        ),
        (
            &[
                ("a", json!({ "app": "b", "until": "completed" })),
                ("b", json!([])),
            ],
            "b is restarted whenever it ends: write autorestart: false there",
        ),
        (
            &[
                ("a", json!({ "app": "b", "until": "healthy" })),
                ("b", json!([])),
            ],
            "a: depends_on waits until b is healthy, which is not checked: write health there",
        ),
    ] {
        write(&home, "apps.json", apps);
        for command in ["start", "restart", "run", "check"] {
            let said = home.run(&[command, "apps.json"]);
            let unknown = expected.contains("gone");
            let is_fine = command == "check" && unknown;
            assert_eq!(said.code, i32::from(!is_fine), "{command}: {said:?}");
            assert!(said.errors.contains(expected), "{command}: {said:?}");
            assert_eq!(home.does(&["jlist"]).trim(), "[]");
        }
    }
}

/// Who names one app gets what it needs, too.
#[test]
fn what_is_needed_is_started_too() {
    let _turn = beside_others();
    let home = home_with(&[
        ("web", json!(["api"])),
        ("api", json!(["db"])),
        ("db", json!([])),
        ("other", json!([])),
    ]);
    let too = |name: &str| format!("{name}: started too, as another app depends on it");
    let is_online = |names: &[&str]| {
        for name in ["web", "api", "db", "other"] {
            let online = status(&home, name) == "online";
            assert_eq!(online, names.contains(&name), "{name}");
        }
    };
    let said = home.run(&["start", "apps.json", "--only", "api"]);
    assert!(said.errors.contains(&too("db")), "{said:?}");
    is_online(&["api", "db"]);
    let pids = home.pids();
    // What runs is left as it is.
    let said = home.run(&["start", "apps.json", "--only", "web"]);
    assert!(!said.errors.contains("started too"), "{said:?}");
    is_online(&["api", "db", "web"]);
    assert!(pids.iter().all(|pid| home.pids().contains(pid)));
    // The same by name, of apps that are managed.
    home.does(&["stop", "all"]);
    let said = home.run(&["start", "web"]);
    assert!(said.errors.contains(&too("api")), "{said:?}");
    assert!(said.errors.contains(&too("db")), "{said:?}");
    is_online(&["api", "db", "web"]);
    home.does(&["stop", "all"]);
    home.does(&["start", "web", "--update-env"]);
    is_online(&["api", "db", "web"]);
    home.does(&["stop", "all"]);
    home.does(&["start", "web", "--kill-timeout", "1s"]);
    is_online(&["api", "db", "web"]);
}

/// What is not in the file may be managed already.
#[test]
fn a_managed_app_is_as_good_as_one_of_the_file() {
    let _turn = beside_others();
    let home = home_with(&[("db", json!([]))]);
    home.does(&["start", "apps.json"]);
    write(&home, "web.json", &[("web", json!(["db"]))]);
    home.does(&["start", "web.json"]);
    assert_eq!(status(&home, "web"), "online");
    home.does(&["delete", "web"]);
    home.does(&["stop", "db"]);
    let said = home.fails(&["start", "web.json"]);
    let sentence = "db does not run: web is not started, as it depends on db";
    assert!(said.contains(sentence), "{said}");
    home.file("job.code", "0");
    write(&home, "apps.json", &[("job", json!([]))]);
    home.does(&["start", "apps.json"]);
    let needs = json!([{ "app": "job", "until": "completed" }, "job"]);
    write(&home, "web.json", &[("web", needs)]);
    home.does(&["start", "web.json"]);
    assert_eq!(status(&home, "web"), "online");
}

#[test]
fn in_the_foreground_it_is_the_same() {
    let _turn = beside_others();
    let home = web_after_job();
    let runs = |signal| {
        let mut command = home.command(&["run", "apps.json"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        while !order(&home).contains(&"web is up".to_owned()) {}
        kill_process(Pid::from_child(&child), signal).unwrap();
        errors.map_while(Result::ok).for_each(drop);
        let _ = child.wait().unwrap();
        assert_eq!(gone_within(PATIENCE, &home.processes()), []);
    };
    runs(Signal::TERM);
    let order = order(&home);
    assert!(place(&order, "db is up") < place(&order, "job begins"));
    assert!(place(&order, "job is done") < place(&order, "web begins"));
    assert!(place(&order, "web ends") < place(&order, "db ends"));
    // Who fails holds up others there, too; the others run on until they have ended.
    forget(&home);
    home.file("job.code", "3");
    write(
        &home,
        "apps.json",
        &[
            ("web", json!({ "app": "job", "until": "completed" })),
            ("job", json!([])),
        ],
    );
    let said = home.run(&["run", "apps.json"]);
    assert_eq!(said.code, 3, "{said:?}");
    let sentence = "job has exited with code 3: web is not started, as it depends on job";
    assert!(said.errors.contains(sentence), "{said:?}");
    assert_eq!(self::order(&home), ["job begins", "job is done"]);
}
