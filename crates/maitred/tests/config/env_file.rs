//! `env_file` beside the two readers that everyone knows: the dotenv package and Node's
//! `--env-file`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Place, at};
use crate::place;

type Variables = &'static [(&'static str, &'static str)];

/// Files that both read alike (dotenv 18.0.10, Node 20).
const ALIKE: &[(&str, Variables)] = &[
    ("X=1", &[("X", "1")]),
    ("X=My Application", &[("X", "My Application")]),
    ("X=it's", &[("X", "it's")]),
    ("X=C:\\temp\\new", &[("X", "C:\\temp\\new")]),
    ("X-DASH=1", &[("X-DASH", "1")]),
    ("X.DOT=1", &[("X.DOT", "1")]),
    ("X:x", &[]),
    ("X=abc$", &[("X", "abc$")]),
    ("X={\"a\":\"b\"}", &[("X", "{\"a\":\"b\"}")]),
    ("X=$HOME", &[("X", "$HOME")]),
    ("X=${HOME}", &[("X", "${HOME}")]),
    ("X=a$b$c", &[("X", "a$b$c")]),
    ("X='$HOME'", &[("X", "$HOME")]),
    ("X=\"$HOME\"", &[("X", "$HOME")]),
    ("X= 1", &[("X", "1")]),
    ("X =1", &[("X", "1")]),
    ("  X = 1  ", &[("X", "1")]),
    ("export X=1", &[("X", "1")]),
    ("export X = 'a b'", &[("X", "a b")]),
    ("X=", &[("X", "")]),
    ("X=''", &[("X", "")]),
    ("X=\"\"", &[("X", "")]),
    ("X=``", &[("X", "")]),
    ("X='a b'", &[("X", "a b")]),
    ("X=\"a b\"", &[("X", "a b")]),
    ("X=`a b`", &[("X", "a b")]),
    ("X=' a '", &[("X", " a ")]),
    ("X=a#b", &[("X", "a")]),
    ("X=a #b", &[("X", "a")]),
    ("X='a#b'", &[("X", "a#b")]),
    ("X=\"a # b\" # c", &[("X", "a # b")]),
    ("X='a' # c", &[("X", "a")]),
    ("X=a b # c", &[("X", "a b")]),
    ("", &[]),
    ("   ", &[]),
    ("X=a\\nb", &[("X", "a\\nb")]),
    ("X=\"a\\nb\"", &[("X", "a\nb")]),
    ("X='a\\nb'", &[("X", "a\\nb")]),
    ("X=`a\\nb`", &[("X", "a\\nb")]),
    ("X=\"a\\\\nb\"", &[("X", "a\\\nb")]),
    ("X=\"a\\tb\"", &[("X", "a\\tb")]),
    ("X=\"a\nb\"", &[("X", "a\nb")]),
    ("X='a\nb'", &[("X", "a\nb")]),
    ("X=`a\n\nb`", &[("X", "a\n\nb")]),
    (
        "X=\"-----BEGIN-----\nabc==\n-----END-----\"\nY=1",
        &[("X", "-----BEGIN-----\nabc==\n-----END-----"), ("Y", "1")],
    ),
    ("X=1\r\nY=2\r\n", &[("X", "1"), ("Y", "2")]),
    ("X=1\nX=2", &[("X", "2")]),
    ("X=\nY=2", &[("X", ""), ("Y", "2")]),
    ("X=a=b==", &[("X", "a=b==")]),
    (
        "X=postgres://h:5432/d?a=b&c=d",
        &[("X", "postgres://h:5432/d?a=b&c=d")],
    ),
    ("X=\"it's\"", &[("X", "it's")]),
    ("X='say \"a\"'", &[("X", "say \"a\"")]),
    ("X=`it's \"a\"`", &[("X", "it's \"a\"")]),
    ("X='a\nY=2", &[("X", "'a"), ("Y", "2")]),
    ("X=a'b'c", &[("X", "a'b'c")]),
    ("X=ä€", &[("X", "ä€")]),
    ("X=a\\", &[("X", "a\\")]),
    ("X=\\$a", &[("X", "\\$a")]),
    ("X=(a)", &[("X", "(a)")]),
    ("X=a\"b", &[("X", "a\"b")]),
    ("X=[1, 2]", &[("X", "[1, 2]")]),
    ("_x1=1", &[("_x1", "1")]),
    ("1X=1", &[("1X", "1")]),
    ("X=\"a\nY=2", &[("X", "\"a"), ("Y", "2")]),
    ("=1", &[]),
    ("X=\"a\"#c", &[("X", "a")]),
    ("X=`a\nb` # c", &[("X", "a\nb")]),
];

/// Files that they read differently: what dotenv makes of each, and what Node does.
const DIFFERENT: &[(&str, Variables, Variables)] = &[
    ("X: x", &[("X", "x")], &[]),
    ("\u{feff}X=1", &[("X", "1")], &[("\u{feff}X", "1")]),
    ("\tX=1", &[("X", "1")], &[("\tX", "1")]),
    ("export  X=1", &[("X", "1")], &[(" X", "1")]),
    ("# X=1", &[], &[("# X", "1")]),
    (
        "X=1\nNOTHING\nY=2",
        &[("X", "1"), ("Y", "2")],
        &[("NOTHING\nY", "2"), ("X", "1")],
    ),
    ("X=\"a\\rb\"", &[("X", "a\rb")], &[("X", "a\\rb")]),
    ("X=\"a\" b", &[("X", "\"a\" b")], &[("X", "a")]),
    ("X=\"a\\\"b\"", &[("X", "a\\\"b")], &[("X", "a\\")]),
    ("X='a\\'b'", &[("X", "a\\'b")], &[("X", "a\\")]),
    ("a b=1", &[], &[("a b", "1")]),
    ("export\tX=1", &[("X", "1")], &[("export\tX", "1")]),
    (
        "X=1 \nY= 2\t",
        &[("X", "1"), ("Y", "2")],
        &[("X", "1"), ("Y", "2\t")],
    ),
];

fn object(variables: Variables) -> Value {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    json!(variables)
}

#[test]
fn files_are_read_as_dotenv_reads_them() {
    let alike = ALIKE.iter().map(|(text, variables)| (*text, *variables));
    let different = DIFFERENT.iter().map(|(text, dotenv, _)| (*text, *dotenv));
    let mut place = Place::new();
    let mut apps = Vec::new();
    for (number, (text, variables)) in alike.chain(different).enumerate() {
        place = place.file(&format!("vars{number}"), text);
        apps.push((number, text, object(variables)));
    }
    let config: Vec<_> = apps
        .iter()
        .map(|(number, ..)| {
            json!({ "script": "app.sh", "name": format!("a{number}"),
                    "env_file": format!("vars{number}") })
        })
        .collect();
    place = place.file("a.json", &json!(config).to_string());
    let (found, _) = place.apps(&["a.json"]);
    assert_eq!(found.len(), apps.len());
    for ((_, text, expected), app) in apps.iter().zip(&found) {
        assert_eq!(at(app, "env"), expected, "{text:?}");
    }
}

/// What this script makes of the texts in its argument is what the table says.
fn is_true(script: &str, rows: impl Iterator<Item = (&'static str, Variables)>) {
    let (texts, expected): (Vec<_>, Vec<_>) = rows.unzip();
    let node = std::process::Command::new(place::tool("node"))
        .args(["-e", script, "--", &json!(texts).to_string()])
        .current_dir(place::repository().join("tests/tools"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(
        node.status.success(),
        "`make test` installs what the tests need: {said}"
    );
    let found: Vec<Value> = serde_json::from_slice(&node.stdout).unwrap();
    for ((text, found), expected) in texts.iter().zip(&found).zip(expected) {
        assert_eq!(*found, object(expected), "{text:?}");
    }
    assert_eq!(found.len(), texts.len());
}

/// The table says the truth of Node, and of the dotenv package.
#[test]
fn both_read_files_as_the_table_says() {
    let alike = || ALIKE.iter().map(|(text, variables)| (*text, *variables));
    let by_dotenv = DIFFERENT.iter().map(|(text, dotenv, _)| (*text, *dotenv));
    let by_node = DIFFERENT.iter().map(|(text, _, node)| (*text, *node));
    let script = |parse: &str| {
        format!(
            "const texts = JSON.parse(process.argv[1]);
            console.log(JSON.stringify(texts.map((text) => {parse}(text))));"
        )
    };
    is_true(&script("require('util').parseEnv"), alike().chain(by_node));
    is_true(&script("require('dotenv').parse"), alike().chain(by_dotenv));
}

#[test]
fn what_is_odd_is_named_with_file_and_line() {
    for (text, expected) in [
        (
            "A=1\nTOKEN 'hunter2\nB=2\n",
            "vars: line 2 is neither NAME=value",
        ),
        ("hunter2", "vars: line 1 is neither NAME=value"),
        ("A='x\ny'\n\nhunter2", "vars: line 4 is neither NAME=value"),
        (
            "# c\n\nTOKEN=\"hunter2\n",
            "vars: line 3 begins its value with a quote",
        ),
    ] {
        let place = Place::new().file("vars", text);
        let place = place.file("a.json", "{ script: 'app.sh', env_file: 'vars' }");
        let (_, warnings) = place.apps(&["a.json"]);
        assert!(warnings.contains(expected), "{text:?}: {warnings}");
        assert_eq!(warnings.lines().count(), 1, "{warnings}");
        assert!(!warnings.contains("hunter2"), "{warnings}");
    }
    let place = Place::new().file("vars", "A=1\nB=\0\n");
    let error = place.wrong(&["app.sh", "--env-file", "vars"]);
    assert!(
        error.contains("vars: line 2 has a NUL character"),
        "{error}"
    );
    std::fs::write(place.path("vars"), b"A=1\n\nB=\xff\n").unwrap();
    let error = place.wrong(&["app.sh", "--env-file", "vars"]);
    assert!(error.contains("vars: line 3 is not UTF-8"), "{error}");
}
