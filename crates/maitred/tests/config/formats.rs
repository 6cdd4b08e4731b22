//! The languages of config files, and the forms that their content may have.

use serde_json::{Value, json};

use crate::harness::{Place, at};

#[test]
fn each_format_says_the_same() {
    for (name, text) in [
        (
            "a.json",
            "\u{feff}{ // comment\n \"apps\": [{ \"script\": \"app.sh\", 'name': 'it', env: { N: 1, }, }], /* end */ }",
        ),
        (
            "any.name.json",
            r#"[{"script":"app.sh","name":"it","env":{"N":1}}]"#,
        ),
        ("a.json5", "{ script: 'app.sh', name: 'it', env: { N: 1 } }"),
        (
            "a.yaml",
            "apps:\n  - script: app.sh\n    name: it\n    env:\n      N: 1\n",
        ),
        (
            "a.yml",
            "script: app.sh # comment\nname: it\nenv: { N: 1 }\n",
        ),
        (
            "b.yaml",
            "x: &x { N: 1 }\napps:\n  - { script: app.sh, name: it, env: *x }\n",
        ),
        (
            "a.toml",
            "[[apps]]\nscript = \"app.sh\"\nname = \"it\"\n[apps.env]\nN = 1\n",
        ),
        (
            "b.toml",
            "script = \"app.sh\"\nname = \"it\"\nenv = { N = 1 }\n",
        ),
        (
            "package.json",
            r#"{ "pm2": { "script": "app.sh", "name": "it", "env": { "N": "1" } } }"#,
        ),
    ] {
        let place = Place::new().file(name, text);
        let (apps, _) = place.apps(&[name]);
        assert_eq!(apps.len(), 1, "{name}");
        assert_eq!(*at(&apps[0], "name"), "it", "{name}");
        assert_eq!(*at(&apps[0], "env.N"), "1", "{name}");
    }
}

/// As js-yaml 4 reads them, whose numbers JavaScript then writes.
#[test]
fn yaml_is_read_by_the_core_schema_of_its_version_1_2() {
    for (written, expected) in [
        ("yes", "yes"),
        ("NO", "NO"),
        ("y", "y"),
        ("n", "n"),
        ("on", "on"),
        ("Off", "Off"),
        ("true", "true"),
        ("TRUE", "true"),
        ("False", "false"),
        ("012", "12"),
        ("-012", "-12"),
        ("08", "8"),
        ("0o14", "12"),
        ("0x1F", "31"),
        ("1_000", "1_000"),
        ("1_0.5", "1_0.5"),
        ("1e3", "1000"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+1", "1"),
        ("-0.0", "0"),
        ("1e21", "1e+21"),
        ("0.00001", "0.00001"),
        ("0.0000001", "1e-7"),
        ("12:30:45", "12:30:45"),
        ("1.2.3", "1.2.3"),
        ("2026-03-07", "2026-03-07"),
        ("0xZZ", "0xZZ"),
        ("inf", "inf"),
        ("!!str 12", "12"),
        ("'012'", "012"),
        ("\"1.0\"", "1.0"),
        ("[1.0, 1e3, yes, 0.5]", r#"[1,1000,"yes",0.5]"#),
    ] {
        let text = format!("script: app.sh\nname: NO\nenv:\n  no: {written}\n");
        let place = Place::new().file("a.yaml", &text);
        let app = place.app(&["a.yaml"]);
        assert_eq!(*at(&app, "env"), json!({"no": expected}), "{written}");
        assert_eq!(*at(&app, "name"), "NO");
    }
    let place = Place::new().file("a.yaml", "script: app.sh\nautorestart: no\n");
    assert!(place.wrong(&["a.yaml"]).contains("true or false"));
    let numbers = "script: app.sh\ninstances: 02\nmax_restarts: 1e1\nkill_timeout: 2e3\n";
    let app = Place::new().file("a.yaml", numbers).app(&["a.yaml"]);
    assert_eq!(*at(&app, "instances"), 2);
    assert_eq!(*at(&app, "max_restarts"), 10);
    assert_eq!(*at(&app, "kill_timeout"), 2000);
}

#[test]
fn numbers_are_written_as_javascript_does() {
    let env = "{ A: 1.0, B: 1e3, C: 1e21, D: 0.5, E: { f: [2.0, -0.0] }, G: 12345678901234567890 }";
    let app = Place::described(&format!("env: {env}, args: [1.0, 2]"));
    let expected = json!({
        "A": "1",
        "B": "1000",
        "C": "1e+21",
        "D": "0.5",
        "E": r#"{"f":[2,0]}"#,
        // JavaScript would lose the last digits.
        "G": "12345678901234567890",
    });
    assert_eq!(*at(&app, "env"), expected);
    assert_eq!(*at(&app, "args"), json!(["1", "2"]));
}

#[test]
fn dates_in_toml_are_text() {
    let text = "script = \"app.sh\"\nname = \"it\"\n[env]\nDAY = 2026-03-07\nTIME = 07:32:00\n\
                AT = 1979-05-27 00:32:00.5-07:00\nBOTH = [1979-05-27T07:32:00]\n";
    let app = Place::new().file("a.toml", text).app(&["a.toml"]);
    let expected = json!({
        "DAY": "2026-03-07",
        "TIME": "07:32:00",
        "AT": "1979-05-27T00:32:00.5-07:00",
        "BOTH": r#"["1979-05-27T07:32:00"]"#,
    });
    assert_eq!(*at(&app, "env"), expected);
}

/// What `check` prints is a config file itself, and means the same.
#[test]
fn what_check_prints_is_a_config() {
    let text = "{ apps: [
        { script: 'app.sh', instances: 2, per: 'request', max_memory: '1G', queue_timeout: '5s' },
        { script: 'app.sh -x', name: 'b', watch: ['.'], cron: '@daily', restart_delay: 5, log: true },
    ] }";
    let place = Place::new().file("a.json", text);
    let (apps, _) = place.apps(&["a.json"]);
    let mut again = apps.clone();
    for app in &mut again {
        let object = app.as_object_mut().unwrap();
        // These follow from the script.
        assert!(
            object.remove("version").is_some() && object.remove("interpreter_reason").is_some()
        );
    }
    let ended = place.maitred_with_input(&["check", "-"], &Value::Array(again.clone()).to_string());
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    let printed: Vec<Value> = serde_json::from_str(&ended.output).unwrap();
    for ((again, printed), app) in again.iter().zip(&printed).zip(&apps) {
        for (name, value) in again.as_object().unwrap() {
            assert_eq!(printed[name], *value, "{name}");
            assert_eq!(printed[name], app[name], "{name}");
        }
    }
    assert_eq!(printed.len(), apps.len());
}

#[test]
fn standard_input_is_json() {
    let place = Place::new();
    let ended = place.maitred_with_input(&["check", "-"], "{ apps: [{ script: 'app.sh' }] }");
    assert_eq!(ended.code, 0, "{}", ended.errors);
    assert!(ended.output.contains("app.sh"));
    let ended = place.maitred_with_input(&["check", "-"], "{");
    assert_ne!(ended.code, 0);
    assert!(ended.errors.contains("standard input"), "{}", ended.errors);
}

#[test]
fn the_usual_file_is_found() {
    let place = Place::new();
    assert!(place.wrong(&[]).contains("ecosystem.config.js"));
    let place = place.file("ecosystem.yml", "script: app.sh\n");
    assert_eq!(*at(&place.app(&[]), "name"), "app");
    let place = place.file(
        "ecosystem.config.json",
        "{ script: 'app.sh', name: 'first' }",
    );
    assert_eq!(*at(&place.app(&[]), "name"), "first");
}

#[test]
fn what_is_wrong_with_the_text_is_shown_with_its_line() {
    for (name, text, expected) in [
        ("a.json", "{\n  apps: [\n    { script: 'a' ", "line 3"),
        ("a.json", "", "a.json"),
        ("a.json", "{ a: 1 } x", "line 1"),
        ("a.yaml", "apps:\n  - script: [\n", "line"),
        ("a.yaml", "a: 'b\n", "line"),
        ("a.toml", "a = 1\nb = \n", "line 2"),
    ] {
        let error = Place::new().file(name, text).wrong(&[name]);
        assert!(error.contains(name), "{name} {text}: {error}");
        assert!(error.contains(expected), "{name} {text}: {error}");
    }
}

/// None of these may overflow the stack, fill the memory, or hang.
#[test]
fn hostile_texts() {
    let deep = 100_000;
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                  g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let many = format!("[{}]", "{ script: 'app.sh' },".repeat(2000));
    for (name, text) in [
        ("a.json", "[".repeat(deep)),
        ("a.json", "{a:".repeat(deep)),
        (
            "a.json",
            format!("{{ script: {}1{} }}", "[".repeat(500), "]".repeat(500)),
        ),
        ("a.yaml", "[".repeat(deep)),
        ("a.yaml", "- ".repeat(deep)),
        ("a.yaml", "{a: ".repeat(deep)),
        ("a.yaml", laughs.to_owned()),
        ("a.yaml", "a: &a [*a]\n".to_owned()),
        ("a.toml", format!("a = {}", "[".repeat(deep))),
        ("a.toml", format!("a{} = 1", ".b".repeat(deep))),
        ("a.json", format!("{{ script: '{}' }}", "x".repeat(5 << 20))),
        ("a.json", many),
        ("a.json", "\0\0\0".to_owned()),
    ] {
        let error = Place::new().file(name, &text).wrong(&[name]);
        assert!(
            error.contains(name),
            "{name}: {}",
            &error[..error.len().min(300)]
        );
        assert!(error.len() < 4000, "{name}: {} bytes", error.len());
    }
    let place = Place::new();
    std::fs::write(place.path("a.json"), b"{ script: '\xff' }").unwrap();
    assert!(place.wrong(&["a.json"]).contains("a.json"));
    std::fs::create_dir(place.path("b.json")).unwrap();
    assert!(place.wrong(&["b.json"]).contains("folder"));
    let pipe = std::process::Command::new("mkfifo")
        .arg(place.path("c.json"))
        .status();
    assert!(pipe.unwrap().success());
    assert!(place.wrong(&["c.json"]).contains("no file"));
    assert!(place.wrong(&["gone.json"]).contains("gone.json"));
}
