//! What outlives everything: save, resurrect, cleardump, startup.

use std::fs;
use std::os::unix::fs::PermissionsExt;

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
