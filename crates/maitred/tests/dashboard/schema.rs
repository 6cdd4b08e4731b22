//! The OpenAPI document says what is served: each path is asked, and each answer is held against it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::beside_others;
use crate::home::{Home, NODE_SERVER};
use crate::server::Dashboard;

/// All that can be asked for, or ordered, beside the page.
const PATHS: [&str; 16] = [
    "/api/v1/apps",
    "/api/v1/apps/{app}",
    "/api/v1/apps/{app}/figures",
    "/api/v1/apps/{app}/instances",
    "/api/v1/apps/{app}/logs",
    "/api/v1/apps/{app}/reload",
    "/api/v1/apps/{app}/restart",
    "/api/v1/apps/{app}/scale",
    "/api/v1/apps/{app}/start",
    "/api/v1/apps/{app}/stop",
    "/api/v1/events",
    "/api/v1/openapi.json",
    "/api/v1/stream",
    "/livez",
    "/metrics",
    "/readyz",
];

/// What a reference means, or the thing itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(path) => document.pointer(path.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// What is wrong with a value, by a schema.
fn wrong(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{at}: a type {other}"),
    };
    let kinds: Vec<_> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    if !kinds.into_iter().any(is) {
        faults.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        faults.push(format!("{at}: {number} is too small"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        faults.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        wrong(document, &schema["items"], item, &format!("{at}[]"), faults);
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            faults.push(format!("{at}: {name} is missing"));
        }
    }
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (name, value) in object {
        match properties.get(name) {
            Some(schema) => wrong(document, schema, value, &format!("{at}.{name}"), faults),
            None => faults.push(format!("{at}: {name} is not described")),
        }
    }
}

#[test]
fn the_document_describes_what_is_served() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.file("bad.js", "setTimeout(() => process.exit(1), 50)");
    home.does(&[
        "start",
        "server.js",
        "-n",
        "api",
        "-i",
        "2",
        "--per",
        "request",
    ]);
    home.run(&["start", "bad.js", "--restart-delay", "60000"]);
    let dashboard = Dashboard::of(&home);
    dashboard.until("events are known", |it| {
        !it.tells("/api/v1/events").as_array().unwrap().is_empty()
    });
    let document = dashboard.tells("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        described,
        PATHS.map(str::to_owned).iter().collect::<BTreeSet<_>>()
    );
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for app in ["api", "none"] {
                if path == "/api/v1/stream" {
                    continue;
                }
                let path = path.replace("{app}", app);
                let answer = match method.as_str() {
                    "get" => {
                        dashboard.sends(&format!("GET {path} HTTP/1.1\r\n{}", dashboard.own()), "")
                    }
                    _ if path.ends_with("scale") => dashboard.orders(&path, "{\"instances\": 3}"),
                    _ => dashboard.orders(&path, "{}"),
                };
                let response = &operation["responses"][answer.status.to_string()];
                assert!(!response.is_null(), "{method} {path} {answer:?}");
                let content = resolved(&document, response)["content"]
                    .as_object()
                    .unwrap();
                let kind = answer
                    .field("content-type")
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap();
                let content = content
                    .get(kind)
                    .unwrap_or_else(|| panic!("{path} {answer:?}"));
                if kind == "application/json" {
                    let mut faults = Vec::new();
                    wrong(
                        &document,
                        &content["schema"],
                        &answer.json(),
                        &path,
                        &mut faults,
                    );
                    assert_eq!(faults, Vec::<String>::new(), "{method} {path}");
                }
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 2 * (PATHS.len() - 1));
}
