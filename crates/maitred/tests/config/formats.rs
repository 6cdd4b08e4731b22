//! The languages of config files, and the forms that their content may have.

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
        assert_eq!(*at(&apps[0], "own_env.N"), "1", "{name}");
    }
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
