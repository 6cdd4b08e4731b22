//! The JSON Schema of config files, as a validator that knows nothing of maitred (ajv) sees it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::errors::WRONG_KIND;
use crate::harness::Place;
use crate::place;

/// Reads `{ schema, accepted, refused }`, and prints what the schema says otherwise of. An item of
/// the lists is what stands between the braces of an app.
const VALIDATE: &str = r#"
const Ajv = require("ajv/dist/2020");
const { schema, accepted, refused } = JSON.parse(require("fs").readFileSync(0));
const validate = new Ajv({ strict: false }).compile(schema);
const value = (text) => JSON.parse(JSON.stringify(eval(`(${text})`)));
for (const text of accepted)
  if (!validate(value(text))) console.log("refused:", text, JSON.stringify(validate.errors.at(-1)));
for (const text of refused)
  if (validate(value(text))) console.log("accepted:", text);
"#;

/// What the validator has to say.
fn complaints(schema: &Value, accepted: &[String], refused: &[String]) -> String {
    let mut node = Command::new(place::tool("node"))
        .args(["-e", VALIDATE])
        .current_dir(place::repository().join("tests/tools"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = json!({ "schema": schema, "accepted": accepted, "refused": refused });
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_accepts_what_is_right_and_refuses_what_is_not() {
    let printed = Place::new().maitred(&["schema"]);
    assert_eq!(printed.code, 0);
    let schema: Value = serde_json::from_str(&printed.output).unwrap();
    let properties = schema["$defs"]["app"]["properties"].as_object().unwrap();
    let mut accepted: Vec<String> = [
        "{ apps: [] }",
        "{ apps: [{ script: 'a.js' }], deploy: { production: {} } }",
        "{ apps: { script: 'a.js' } }",
        "[{ script: 'a.js' }, { script: 'b.js', env_production: { A: 1 } }]",
        "{ script: 'a.js', maxMemoryRestart: '200M', 'max-restarts': '5', vizion: false }",
        "{ script: 'a.js', name: null, watch: ['src', 'lib'], cron_restart: 0 }",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut examples = 0;
    for (name, property) in properties {
        for example in property["examples"].as_array().into_iter().flatten() {
            accepted.push(json!({ name.as_str(): example }).to_string());
            examples += 1;
        }
    }
    assert!(examples > 150, "{examples} examples");
    let mut refused: Vec<String> = [
        "5",
        "{ apps: 5 }",
        "{ apps: [5] }",
        "{ script: 'a', nmae: 'x' }",
    ]
    .map(str::to_owned)
    .to_vec();
    refused.extend(WRONG_KIND.iter().map(|(field, _)| format!("{{ {field} }}")));
    let complaints = complaints(&schema, &accepted, &refused);
    assert!(complaints.is_empty(), "{complaints}");
}
