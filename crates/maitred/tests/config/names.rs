//! Strange names and numbers: each is taken or refused, and what is refused is said.

use serde_json::{Value, json};

use crate::harness::{Place, at};

/// What a field comes to, or what is wrong with it.
fn outcome(field: &str) -> Result<Value, String> {
    let text = format!("{{ script: 'app.sh', {field} }}");
    let place = Place::new().file("a.json", &text);
    let ended = place.maitred(&["check", "a.json"]);
    if ended.code == 0 {
        let apps: Vec<Value> = serde_json::from_str(&ended.output).unwrap();
        Ok(apps[0].clone())
    } else {
        assert_eq!(ended.code, 1, "{}", ended.errors);
        assert_eq!(ended.errors.lines().count(), 1, "{}", ended.errors);
        Err(ended.errors)
    }
}

#[test]
fn names_that_can_be() {
    let long = "n".repeat(128);
    for name in [
        "..",
        ".",
        "/",
        "a/b",
        "../../etc/passwd",
        "a b",
        " a",
        "*",
        "/x/",
        "@scope/app",
        "0",
        "日本",
        "x.json",
        "%s",
        "$(id)",
        "a'b",
        "a\\b",
        "ALL",
        &long,
    ] {
        for field in ["name", "namespace"] {
            let app = outcome(&format!("{field}: {}", json!(name)));
            assert_eq!(
                app.map(|app| app[field].clone()),
                Ok(json!(name)),
                "{field}"
            );
        }
    }
    // As in pm2, an empty one is none.
    let app = outcome("name: '', namespace: ''").unwrap();
    assert_eq!(*at(&app, "name"), "app");
    assert_eq!(*at(&app, "namespace"), "default");
}

#[test]
fn names_that_cannot_be() {
    for (name, expected) in [
        ("all", "stands for all apps"),
        (" ", "cannot be seen"),
        ("\u{2003}", "cannot be seen"),
        ("-x", "could not be told from a flag"),
        ("--help", "could not be told from a flag"),
        ("a\nb", "has control characters"),
        ("a\rb", "has control characters"),
        ("\u{1b}[31m", "has control characters"),
        (&"n".repeat(129), "has 129 characters; 128 are the most"),
        (&"n".repeat(300), "has 300 characters; 128 are the most"),
    ] {
        for field in ["name", "namespace"] {
            let error = outcome(&format!("{field}: {}", json!(name))).unwrap_err();
            assert!(error.contains(&format!("the {field} \"")), "{error}");
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\x1b') && error.len() < 400, "{error:?}");
        }
    }
}

#[test]
fn numbers_of_instances() {
    let processors = outcome("instances: 'max'").unwrap()["instances"].clone();
    for (written, expected) in [
        ("1", json!(1)),
        ("'3'", json!(3)),
        // As in pm2: 0 is one for each processor, and less than one there are never.
        ("0", processors),
        ("-1000", json!(1)),
        ("'-1000'", json!(1)),
        ("1024", json!(1024)),
    ] {
        let app = outcome(&format!("instances: {written}"));
        assert_eq!(
            app.map(|app| app["instances"].clone()),
            Ok(expected),
            "{written}"
        );
    }
    for written in [
        "1025", "1.5", "'many'", "''", "'1.5'", "'+3'", "1e9", "'-'", "true", "[2]",
    ] {
        let error = outcome(&format!("instances: {written}")).unwrap_err();
        assert!(
            error.contains("instances: expected a number up to 1024"),
            "{error}"
        );
    }
}

#[test]
fn two_apps_of_one_name() {
    for (apps, good) in [
        ("{ name: 'a' }, { name: 'a' }", false),
        ("{ name: 'a' }, { name: 'a', namespace: 'default' }", false),
        ("{}, { name: 'app' }", false),
        ("{ namespace: 'x' }, { namespace: 'x' }", false),
        ("{ name: 'a' }, { name: 'a', namespace: 'b' }", true),
        ("{ name: 'a' }, { name: 'A' }", true),
    ] {
        let apps = apps.replace('{', "{ script: 'app.sh', ");
        let place = Place::new().file("a.json", &format!("[{apps}]"));
        if good {
            assert_eq!(place.apps(&["a.json"]).0.len(), 2, "{apps}");
        } else {
            let error = place.wrong(&["a.json"]);
            assert!(error.contains("two apps are called"), "{apps}: {error}");
        }
    }
}
