//! What outlives everything: save, resurrect, cleardump, startup.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::harness::{PATIENCE, beside_others, gone_within};
use crate::home::Home;

fn some() -> Home {
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "one", "-i", "2"]);
    home.does(&["start", "job.sh", "-n", "two"]);
    home.does(&["start", "job.sh", "-n", "three", "--namespace", "other"]);
    home.does(&["scale", "one", "3"]);
    home.does(&["stop", "two"]);
    home
}

fn named(home: &Home) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = home
        .instances()
        .iter()
        .map(|it| (text(&it["name"]), text(&it["pm2_env"]["status"])))
        .collect();
    all.sort();
    all
}

#[test]
fn what_was_saved_comes_back() {
    let _turn = beside_others();
    let home = some();
    let before = (home.statuses(), named(&home));
    home.does(&["save"]);
    home.does(&["kill"]);
    let left = gone_within(PATIENCE, &home.processes());
    assert_eq!(left, []);
    home.does(&["resurrect"]);
    assert_eq!((home.statuses(), named(&home)), before);

    // Also when the apps themselves are forgotten.
    home.does(&["delete", "all"]);
    home.does(&["resurrect"]);
    assert_eq!((home.statuses(), named(&home)), before);
    // What runs already stays as it is.
    let pids = home.pids();
    home.does(&["resurrect"]);
    assert_eq!(home.pids(), pids);
}

#[test]
fn what_was_killed_comes_back() {
    let _turn = beside_others();
    let home = some();
    let before = (home.statuses(), named(&home));
    let said = home.run(&["kill"]);
    assert_eq!((said.code, home.statuses()), (0, vec![]), "{said:?}");
    assert!(
        said.errors.contains("`maitred resurrect` brings"),
        "{said:?}"
    );
    // There is nothing that this could end.
    home.does(&["kill"]);
    home.does(&["resurrect"]);
    assert_eq!((home.statuses(), named(&home)), before);
    // What was saved is something else.
    home.does(&["delete", "one"]);
    home.does(&["save"]);
    let left = named(&home);
    home.does(&["start", "job.sh", "-n", "four"]);
    let all = named(&home);
    let said = home.run(&["kill"]);
    assert!(said.errors.contains("resurrect --killed"), "{said:?}");
    home.does(&["resurrect"]);
    assert_eq!(named(&home), left);
    home.does(&["resurrect", "--killed"]);
    assert_eq!(named(&home), all);
    home.does(&["kill"]);
    home.does(&["cleardump"]);
    home.fails(&["resurrect"]);
    home.fails(&["resurrect", "--killed"]);
}

/// What is there for a schedule alone is to run, although nothing of it runs when it is saved.
#[test]
fn what_waits_for_its_schedule_waits_again() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo run\n");
    let flags = ["--no-autorestart", "--cron", "* * * * * *"];
    home.does(&[&["start", "job.sh"], &flags[..]].concat());
    home.file("other.sh", "exit 0\n");
    home.does(&["start", "other.sh", "--no-autorestart", "--watch"]);
    while home.statuses()[1].1 != "stopped" {}
    let runs = |again: &dyn Fn()| {
        let lines = home.follow("job");
        assert_eq!(lines.next(), "run");
        while home.statuses()[0].1 != "stopped" {}
        home.does(&["save"]);
        again();
        // Nothing that was written before counts.
        home.does(&["flush", "job"]);
        drop(lines);
        let lines = home.follow("job");
        for _ in 0..2 {
            assert_eq!(lines.next(), "run");
        }
        // The other one waits, and does not run.
        let other = &home.instances()[1]["pm2_env"];
        assert_eq!(
            (&other["status"], &other["restart_time"]),
            (&"stopped".into(), &0.into())
        );
        assert!(
            other["supervisor_pid"].as_i64().is_some_and(|pid| pid > 0),
            "{other}"
        );
    };
    runs(&|| {
        home.does(&["kill"]);
        home.does(&["resurrect"]);
    });
    runs(&|| {
        for app in ["job", "other"] {
            home.crash(app);
        }
        assert!(
            home.statuses()
                .iter()
                .all(|(_, status)| status == "crashed")
        );
        home.does(&["resurrect"]);
    });
}

#[test]
fn what_is_saved_is_the_owners_and_there_is_always_a_good_one() {
    let _turn = beside_others();
    let home = some();
    let dump = home.path().join("dump.json");
    home.does(&["save"]);
    home.does(&["delete", "three"]);
    home.does(&["save"]);
    for path in [dump.clone(), home.path().join("dump.json.bak")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    home.does(&["delete", "all"]);
    home.does(&["save"]);
    // As after a power cut that no care could help.
    fs::write(&dump, "{\"version\":1,\"apps\":[{").unwrap();
    let said = home.run(&["resurrect"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.errors.contains("damaged"), "{said:?}");
    assert_eq!(named(&home).len(), 5);
    home.does(&["cleardump"]);
    assert!(home.fails(&["resurrect"]).contains("nothing was saved"));
}

/// No umask opens a file that is the owner's, and each counts for what is for all.
#[test]
fn a_umask_takes_rights_away_and_gives_none() {
    let _turn = beside_others();
    for (umask, of_pid_file) in [("000", 0o644), ("022", 0o644), ("077", 0o600)] {
        let home = Home::new();
        home.file("job.sh", "echo hello; sleep 1000\n");
        let plain = home.command(&["start", "job.sh", "-o", "out.log", "-p", "job.pid"]);
        let script = format!("umask {umask}; exec \"$@\"");
        let mut start = std::process::Command::new("sh");
        start.args(["-c", &script, "sh"]).arg(plain.get_program());
        start.args(plain.get_args()).current_dir(home.folder());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        assert_eq!(crate::home::ended(start).code, 0);
        for (path, expected) in [
            (home.path().to_owned(), 0o700),
            (home.path().join("apps/job/app.json"), 0o600),
            (home.path().join("apps/job/supervisor.log"), 0o600),
            (home.log("job-error.log"), 0o600),
            (home.folder().join("out.log"), 0o600),
            (home.folder().join("job-0.pid"), of_pid_file),
        ] {
            // Logs are opened by a thread that no start waits for.
            let start = Instant::now();
            while !path.exists() {
                assert!(start.elapsed() < PATIENCE, "no {}", path.display());
            }
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "umask {umask}: {}", path.display());
        }
    }
}

#[test]
fn files_are_the_owners_alone() {
    let _turn = beside_others();
    let home = some();
    for path in ["", "apps", "apps/one"] {
        let mode = fs::metadata(home.path().join(path)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o700, "{path}");
    }
    for path in [
        "apps/one/app.json",
        "apps/one/control",
        "apps/one/lock",
        "lock",
    ] {
        let mode = fs::metadata(home.path().join(path)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{path}");
    }
}

#[test]
fn another_init_system_is_named() {
    let _turn = beside_others();
    let home = Home::new();
    assert!(home.fails(&["startup", "upstart"]).contains("systemd"));
    assert!(home.fails(&["unstartup", "launchd"]).contains("systemd"));
}
