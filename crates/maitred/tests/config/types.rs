//! The TypeScript types of config files, as `tsc` sees them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::errors::WRONG_KIND;
use crate::harness::Place;
use crate::place;

/// Wrong values that only maitred itself refuses: their type is right.
const OF_THE_RIGHT_TYPE: &[&str] = &[
    "instances: 1.5",
    "instances: 5000",
    "max_memory_restart: -1",
    "min_uptime: 5",
    "restart_delay: -5",
    "max_restarts: -1",
    "max_restarts: 1.5",
    "max_restarts: 1e30",
    "port: 70000",
    "private_ports: [1, 'x']",
    "privileged_ports: [70000]",
    "env: { 'A=B': 1 }",
    "env: { A: '\\u0000' }",
    "stop_exit_codes: 'x'",
    "stop_exit_codes: [0, 1.5]",
];

/// Of these expressions, given to `defineConfig`, those that `tsc` refuses, and all that it says.
fn refused(expressions: &[String]) -> (BTreeSet<String>, String) {
    let mut text = "import { defineConfig } from \"./index\";\n".to_owned();
    for expression in expressions {
        assert!(!expression.contains('\n'));
        text += &format!("defineConfig({expression});\n");
    }
    let types = place::repository().join("packaging/npm/maitred/index.d.ts");
    let types = std::fs::read_to_string(types).unwrap();
    let place = Place::new().file("index.d.ts", &types).file("it.ts", &text);
    let tsc = Command::new(place::tool("tsc"))
        .args(["--strict", "--noEmit", "--pretty", "false", "it.ts"])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8(tsc.stdout).unwrap();
    let lines = said.lines().filter(|line| !line.starts_with(' '));
    let refused = lines.map(|line| {
        let number = line
            .strip_prefix("it.ts(")
            .and_then(|rest| rest.split(',').next());
        let number: usize = number
            .and_then(|it| it.parse().ok())
            .unwrap_or_else(|| panic!("{said}"));
        expressions[number - 2].clone()
    });
    (refused.collect(), said)
}

#[test]
fn tsc_accepts_what_is_right_and_refuses_what_is_not() {
    let printed = Place::new().maitred(&["schema"]);
    let schema: Value = serde_json::from_str(&printed.output).unwrap();
    let mut right: Vec<String> = [
        "{ apps: [{ script: 'a.js' }], deploy: { production: {} } }",
        "{ apps: { script: 'a.js' } }",
        "[{ script: 'a.js' }, { script: 'b.js', env_production: { A: 1, B: undefined } }]",
        "{ script: 'a.js', maxMemoryRestart: '200M', 'max-restarts': '5', vizion: false }",
        "{ script: 'a.js', name: null, watch: ['src', 'lib'], cron_restart: 0 }",
        "async (env) => ({ script: 'a.js', env: { ENV: env } })",
        "{ script: 'a.js', kill_timeout: '1.5s', max_memory_restart: '1GiB', instances: 'max' }",
    ]
    .map(str::to_owned)
    .to_vec();
    for (name, property) in schema["$defs"]["app"]["properties"].as_object().unwrap() {
        for example in property["examples"].as_array().into_iter().flatten() {
            right.push(json!({ name.as_str(): example }).to_string());
        }
    }
    assert!(right.len() > 150);
    let wrong = WRONG_KIND.iter().map(|(field, _)| *field);
    let wrong = wrong.filter(|field| !OF_THE_RIGHT_TYPE.contains(field));
    let mut wrong: BTreeSet<_> = wrong
        .map(|field| format!("{{ script: 'a', {field} }}"))
        .collect();
    wrong.extend(
        [
            "5",
            "{ apps: 5 }",
            "{ apps: [5] }",
            "{ script: 'a', nmae: 'x' }",
            "{ apps: [{ script: 'a', maxMemoryRestrat: '1G' }] }",
            "[{ script: 'a', 'max-memory-restrat': '1G' }]",
            "{ script: 'a', max_memory_restart: '500X' }",
        ]
        .map(str::to_owned),
    );
    right.extend(
        OF_THE_RIGHT_TYPE
            .iter()
            .map(|field| format!("{{ script: 'a', {field} }}")),
    );
    right.extend(wrong.iter().cloned());
    let (refused, said) = refused(&right);
    assert_eq!(refused, wrong, "{said}");
}
