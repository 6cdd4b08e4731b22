//! Apps that depend on one whose health is checked.

use std::fs;
use std::thread;

use serde_json::json;

use crate::harness::beside_others;
use crate::home::Home;
use crate::wait::until_it_is;

/// What depends on a managed app waits until that is healthy, and does not start beside one that is not.
#[test]
fn what_is_needed_is_healthy() {
    let _turn = beside_others();
    let home = Home::new();
    let service = |name: &str| json!({ "name": name, "script": "sleep", "args": "1000", "interpreter": "none", "exec_mode": "fork" });
    let mut db = service("db");
    db["health"] = json!({ "command": ["sh", "-c", "test -e well || { echo no disk; exit 1; }"], "interval": "100ms", "failures": 1_000_000 });
    db["listen_timeout"] = json!("8s");
    home.file("db.json", &json!([db]).to_string());
    let well = home.file("well", "");
    home.does(&["start", "db.json"]);
    for until in [json!("db"), json!({ "app": "db", "until": "healthy" })] {
        let mut web = service("web");
        web["depends_on"] = until.clone();
        home.file("web.json", &json!([web]).to_string());
        fs::remove_file(&well).unwrap();
        until_it_is("unhealthy", || home.does(&["ls"]).contains("unhealthy"));
        let said = home.fails(&["start", "web.json"]);
        let sentence = "db is unhealthy (its check exits with code 1: no disk): web is not started, as it \
                        depends on db";
        assert!(said.contains(sentence), "{until}: {said}");
        // It is waited for.
        thread::scope(|scope| {
            let start = scope.spawn(|| home.run(&["start", "web.json"]));
            home.file("well", "");
            assert_eq!(start.join().unwrap().code, 0, "{until}");
        });
        home.does(&["delete", "web"]);
    }
}
