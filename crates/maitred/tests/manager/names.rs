//! Apps with strange names are managed as any other, and all that is kept of them stays in the home
//! folder.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::beside_others;
use crate::home::Home;

const NAMES: [&str; 11] = [
    "..",
    ".",
    "/",
    "a/b",
    "../../../up",
    "a b",
    "*",
    "@scope/app",
    "日本",
    "x.json",
    "it.sh",
];

#[test]
fn strange_names_are_names() {
    let _turn = beside_others();
    // What would be written beside the home folder would be seen.
    let home = Home::at("a/b/c/home");
    home.file("job.sh", "echo started; sleep 1000\n");
    let app = |name: &&str| json!({ "script": "job.sh", "name": name });
    let apps: Vec<_> = NAMES.iter().map(app).collect();
    home.file("apps.json", &json!(apps).to_string());
    home.does(&["start", "apps.json"]);
    let online = (0..).zip(NAMES).map(|(id, _)| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online.collect::<Vec<_>>());
    for (id, name) in (0..).zip(NAMES) {
        let instance = &home.instances()[id];
        assert_eq!(instance["name"], name);
        for file in ["pm_out_log_path", "pm_err_log_path", "pm_pid_path"] {
            let path = Path::new(instance["pm2_env"][file].as_str().unwrap());
            let inside = path.parent().unwrap().canonicalize().unwrap();
            let home = home.path().canonicalize().unwrap();
            assert!(inside.starts_with(home), "{name}: {}", path.display());
        }
        assert!(home.does(&["describe", name]).contains("job.sh"), "{name}");
        let log = home.does(&["logs", name, "--nostream", "--raw"]);
        assert_eq!(log, "started\n", "{name}");
        for command in ["stop", "start", "restart", "stop"] {
            home.does(&[command, name]);
        }
        assert_eq!(home.statuses()[id].1, "stopped", "{name}");
        home.does(&["start", name]);
    }
    home.does(&["save"]);
    for name in NAMES {
        home.does(&["delete", name]);
    }
    assert_eq!(home.statuses(), []);
    home.does(&["resurrect"]);
    assert_eq!(home.statuses().len(), NAMES.len());
    let beside: Vec<_> = ["a", "a/b", "a/b/c"]
        .iter()
        .map(|path| fs::read_dir(home.folder().join(path)).unwrap().count())
        .collect();
    assert_eq!(beside, [1, 1, 1]);
}
