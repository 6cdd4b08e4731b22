//! What a script stands for: a command line, a program of the PATH, a file without extension.

use serde_json::{Value, json};

use crate::harness::{Place, at};

#[test]
fn command_lines_and_programs_of_the_path() {
    let place = Place::new().file(
        "a.json",
        "[{ script: 'echo a b' }, { script: 'echo a', args: ['c d'] }, { script: 'sh' }]",
    );
    let (apps, _) = place.apps(&["a.json"]);
    assert_eq!(*at(&apps[0], "args"), json!(["-c", "echo a b"]));
    assert_eq!(*at(&apps[0], "name"), "echo a b");
    assert_eq!(
        *at(&apps[1], "args"),
        json!(["-c", "echo a \"$@\"", "sh", "c d"])
    );
    assert!(at(&apps[2], "script").as_str().unwrap().ends_with("/sh"));
    assert_eq!(*at(&apps[2], "interpreter"), "none");
}

/// As the documentation of Bun has it for pm2.
#[test]
fn programs_are_looked_for_in_the_apps_own_path() {
    let text = "[{ script: 'app.js', interpreter: 'my-own', env: { PATH: './tools:/bin' } },
                 { script: 'my-own', env_test: { PATH: './tools' } },
                 { script: 'app.js', interpreter: '~/tools/my-own', name: 'home' }]";
    let place = Place::new()
        .file("a.json", text)
        .file("app.js", "")
        .file("tools/my-own", "#!/bin/sh\n");
    place.executable("tools/my-own");
    let home = place.path("").to_str().unwrap().to_owned();
    let program = place.path("tools/my-own");
    let place = place.env("HOME", home.trim_end_matches('/'));
    let (apps, _) = place.apps(&["a.json", "--env", "test"]);
    let program = program.to_str().unwrap();
    let plain = |value: &Value| value.as_str().unwrap().replace("/./", "/");
    assert_eq!(plain(at(&apps[0], "interpreter")), program);
    assert_eq!(plain(at(&apps[1], "script")), program);
    assert_eq!(plain(at(&apps[2], "interpreter")), program);
}

/// The generator of Express makes `bin/www`: JavaScript without an extension.
#[test]
fn a_script_without_extension() {
    let place = Place::new()
        .file("bin/www", "#!/usr/bin/env node\n")
        .file("bin/plain", "require('http')\n")
        .file("bin/shell", "#!/bin/sh -e\n")
        .file("package.json", r#"{ "version": "1.2.3" }"#);
    for (script, interpreter) in [
        ("bin/www", "node"),
        ("bin/plain", "node"),
        ("bin/shell", "sh"),
    ] {
        let app = place.app(&[script]);
        let path = at(&app, "interpreter").as_str().unwrap();
        assert!(
            path.ends_with(&format!("/{interpreter}")),
            "{script}: {path}"
        );
        assert_eq!(*at(&app, "version"), "1.2.3");
    }
    place.executable("bin/www");
    assert_eq!(*at(&place.app(&["bin/www"]), "interpreter"), "none");
    let app = place.app(&["bin/www", "--node-args", "--trace-warnings"]);
    assert_eq!(*at(&app, "interpreter_args"), json!(["--trace-warnings"]));
}

#[test]
fn a_version_of_nvm() {
    let place = Place::new()
        .file("nvm/versions/node/v20.9.0/bin/node", "")
        .file("nvm/versions/node/v20.11.1/bin/node", "")
        .file("nvm/versions/node/v18.1.0/bin/node", "")
        .file("app.js", "");
    let nvm = place.path("nvm").to_str().unwrap().to_owned();
    let place = place.env("NVM_DIR", &nvm);
    for (asked, expected) in [
        ("node@20", "v20.11.1"),
        ("node@20.9.0", "v20.9.0"),
        ("node@v18", "v18.1.0"),
    ] {
        let app = place.app(&["app.js", "--interpreter", asked]);
        let path = at(&app, "interpreter").as_str().unwrap();
        assert!(path.contains(expected), "{asked}: {path}");
    }
    let error = place.wrong(&["app.js", "--interpreter", "node@21"]);
    assert!(error.contains("nvm install 21"), "{error}");
}
