//! The config file to begin with.

use std::fs;

use crate::harness::{Place, at};

#[test]
fn it_writes_a_file_that_is_right() {
    for (command, package, name) in [
        ("init", None, "ecosystem.config.js"),
        ("ecosystem", Some("{}"), "ecosystem.config.js"),
        (
            "init",
            Some(r#"{ "type": "module" }"#),
            "ecosystem.config.cjs",
        ),
    ] {
        for runtime in ["bun", "node"] {
            let mut place =
                Place::new().runtimes(&["node", runtime][usize::from(runtime == "node")..]);
            if let Some(package) = package {
                place = place.file("package.json", package);
            }
            let place = place.file("server.js", "");
            let ended = place.maitred(&[command]);
            assert_eq!(ended.code, 0, "{}", ended.errors);
            let app = place.app(&[name, "--env", "production"]);
            assert_eq!(*at(&app, "env.NODE_ENV"), "production");
        }
    }
}

#[test]
fn it_overwrites_nothing() {
    for name in [
        "ecosystem.config.js",
        "ecosystem.config.ts",
        "ecosystem.yml",
    ] {
        let place = Place::new().file(name, "mine");
        let ended = place.maitred(&["init"]);
        assert_ne!(ended.code, 0);
        assert!(ended.errors.contains(name), "{}", ended.errors);
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), "mine");
        assert!(!place.path("ecosystem.config.cjs").exists());
    }
}
