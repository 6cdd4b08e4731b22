//! The home folder is removed while an app runs: every command finds the app, and says what happened.

use std::fs;

use crate::harness::beside_others;
use crate::home::{Home, NODE_SERVER};

/// A command, its exit code, and the statuses of all instances after it.
const COMMANDS: &[(&[&str], i32, &[&str])] = &[
    (&["ls"], 0, &["online"]),
    (&["describe", "app"], 0, &["online"]),
    (&["start", "app.cjs"], 1, &["online"]),
    (&["restart", "app"], 0, &["online"]),
    (&["reload", "app"], 0, &["online"]),
    (&["scale", "app", "2"], 0, &["online", "online"]),
    (&["save"], 0, &["online"]),
    (&["stop", "app"], 0, &["stopped"]),
    (&["delete", "app"], 0, &[]),
    (&["kill"], 0, &[]),
];

#[test]
fn an_app_whose_home_was_removed_is_found_by_every_command() {
    let _turn = beside_others();
    for (command, code, statuses) in COMMANDS {
        let home = Home::new();
        home.file("app.cjs", NODE_SERVER);
        home.does(&["start", "app.cjs", "-i", "1"]);
        home.is_up("app", 1);
        fs::remove_dir_all(home.path()).unwrap();
        let ended = home.run(command);
        assert_eq!(ended.code, *code, "{command:?}: {ended:?}");
        let said = ended.errors;
        assert!(
            said.contains("was removed while the app runs"),
            "{command:?}: {said}"
        );
        let left: Vec<_> = home
            .statuses()
            .into_iter()
            .map(|(_, status)| status)
            .collect();
        assert_eq!(left, *statuses, "{command:?}: {said}");
        if !statuses.contains(&"online") {
            assert!(home.port_is_free(), "{command:?}");
        }
    }
}

/// Only a part of it is gone, and another app of the same home is as it was.
#[test]
fn an_app_whose_folder_was_removed_is_found() {
    let _turn = beside_others();
    for part in ["apps/app", "apps/app/app.json", "apps/app/control"] {
        let home = Home::new();
        home.file("app.cjs", NODE_SERVER);
        home.file("other.sh", "exec sleep 1000");
        home.does(&["start", "app.cjs", "-i", "1"]);
        home.does(&["start", "other.sh"]);
        home.is_up("app", 1);
        let path = home.path().join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let online = |id| (id, "online".to_owned());
        assert_eq!(home.statuses(), [online(0), online(1)], "{part}");
        home.does(&["stop", "app"]);
        assert_eq!(
            home.statuses(),
            [(0, "stopped".to_owned()), online(1)],
            "{part}"
        );
        assert!(home.port_is_free(), "{part}");
    }
}
