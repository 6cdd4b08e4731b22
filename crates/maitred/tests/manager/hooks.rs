//! Commands that run before an app is started or reloaded.

use std::fs;

use serde_json::json;

use crate::harness::beside_others;
use crate::home::Home;

/// An app in cluster mode whose hooks note that they run, and fail when there is a file `bad`.
fn home() -> Home {
    let home = Home::new();
    home.file("app.js", "console.log('up'); setInterval(() => {}, 1e6);");
    home.file("note.sh", NOTE);
    let app = json!({
        "name": "app",
        "script": "app.js",
        "instances": 2,
        "env": { "VALUE": "of the app" },
        "before_start": "sh note.sh start",
        "before_reload": "sh note.sh reload",
    });
    home.file("apps.json", &app.to_string());
    home
}

const NOTE: &str = "
echo $1, $VALUE >> notes
[ -e bad ] || exit 0
echo first; for n in 1 2 3 4 5 6 7 8; do echo $n; done
echo what is wrong >&2; exit 3
";

/// What has been noted since the last time.
fn notes(home: &Home) -> Vec<String> {
    let file = home.folder().join("notes");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(file);
    text.lines().map(str::to_owned).collect()
}

const START: &str = "start, of the app";
const RELOAD: &str = "reload, of the app";

/// Which commands run which of them, once for all instances.
#[test]
fn they_run_once_before_what_they_are_for() {
    let _turn = beside_others();
    let home = home();
    for (line, expected) in [
        (&["start", "apps.json"][..], &[START][..]),
        // It runs already, or only a part of it is touched.
        (&["start", "app"], &[]),
        (&["restart", "0"], &[]),
        (&["reload", "0"], &[]),
        (&["scale", "app", "3"], &[]),
        (&["restart", "app"], &[START]),
        (&["restart", "apps.json"], &[START]),
        (&["reload", "app"], &[RELOAD]),
        (&["reload", "apps.json"], &[RELOAD]),
        (&["stop", "app"], &[]),
        (&["start", "app"], &[START]),
        (&["stop", "app"], &[]),
        (&["reload", "app"], &[START]),
        (&["save"], &[]),
        (&["kill"], &[]),
        (&["resurrect"], &[START]),
    ] {
        home.does(line);
        assert_eq!(notes(&home), expected, "{line:?}");
    }
}

#[test]
fn what_fails_aborts_with_its_last_lines() {
    let _turn = beside_others();
    let home = home();
    let fails = |line: &[&str], hook: &str| {
        let said = home.run(line);
        assert_eq!(said.code, 1, "{line:?}: {said:?}");
        let first = format!("maitred: app: {hook} has exited with code 3\n");
        assert!(said.errors.contains(&first), "{said:?}");
        let last = "maitred: app:   8\nmaitred: app:   what is wrong\n";
        assert!(said.errors.contains(last), "{said:?}");
    };
    home.file("bad", "");
    fails(&["start", "apps.json"], "before_start");
    assert_eq!(home.statuses()[0].1, "stopped");
    assert!(home.processes().is_empty());
    fails(&["start", "app"], "before_start");
    assert!(home.processes().is_empty());
    fs::remove_file(home.folder().join("bad")).unwrap();
    home.does(&["start", "app"]);
    let pids = home.pids();
    home.file("bad", "");
    for (line, hook) in [
        (&["restart", "app"], "before_start"),
        (&["restart", "apps.json"], "before_start"),
        (&["reload", "app"], "before_reload"),
        (&["reload", "apps.json"], "before_reload"),
    ] {
        fails(line, hook);
        assert_eq!(home.pids(), pids, "{line:?}");
    }
}

/// A dependency that is not prepared is not up.
#[test]
fn who_depends_on_it_is_held_up() {
    let _turn = beside_others();
    let home = home();
    home.file("bad", "");
    let apps = json!([
        { "name": "web", "script": "app.js", "depends_on": "db" },
        { "name": "db", "script": "app.js", "before_start": "sh note.sh start" },
    ]);
    home.file("apps.json", &apps.to_string());
    let said = home.fails(&["start", "apps.json"]);
    let sentence = "db is not up: web is not started, as it depends on db";
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn in_the_foreground_too() {
    let _turn = beside_others();
    let home = home();
    home.file("app.js", "console.log('up')");
    let flags = ["--no-autorestart", "--before-start", "sh note.sh start"];
    let said = home.run(&[&["run", "app.js", "-i", "2"], &flags[..]].concat());
    assert_eq!((said.code, notes(&home).len()), (0, 1), "{said:?}");
    home.file("bad", "");
    let said = home.run(&[&["run", "app.js", "-i", "2"], &flags[..]].concat());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.output.is_empty(), "{said:?}");
    assert!(said.errors.contains("what is wrong"), "{said:?}");
}

/// It has no more rights than the app.
#[test]
fn it_has_the_apps_user() {
    let _turn = beside_others();
    let home = Home::new();
    let app = json!({ "script": "/bin/sleep", "args": "1000", "before_start": "id -u; exit 1" });
    let mut app = app.as_object().unwrap().clone();
    let me = rustix::process::geteuid();
    let user = if me.is_root() { 65534 } else { me.as_raw() };
    if me.is_root() {
        app.insert("uid".to_owned(), json!(user));
        app.insert("cwd".to_owned(), json!("/"));
    }
    home.file("apps.json", &json!(app).to_string());
    let said = home.fails(&["start", "apps.json"]);
    assert!(
        said.contains(&format!("maitred: sleep:   {user}\n")),
        "{said}"
    );
}
