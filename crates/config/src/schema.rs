//! The JSON Schema of config files, made from the table of fields: editors complete and check with
//! it. Draft 2020-12.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::FIELDS;
use super::kind::{Kind, Variables};
use super::names::{IGNORED, spellings};

/// The schema of a config file: an object with `apps`, a list of apps, or one app.
pub fn schema() -> Value {
    let app = json!({ "$ref": "#/$defs/app" });
    let apps = json!({ "type": "array", "items": app });
    let file = json!({
        "type": "object",
        "properties": { "apps": { "anyOf": [apps, app] }, "deploy": {}, "$schema": {} },
        "required": ["apps"],
        "additionalProperties": false,
    });
    sorted(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "maitred config",
        "anyOf": [file, apps, app],
        "$defs": { "app": one_app() },
    }))
}

/// The same with all keys in order, whichever kind of map `serde_json` is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.into_iter().collect();
            let sorted = sorted.into_iter().map(|(key, it)| (key, self::sorted(it)));
            Value::Object(sorted.collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn one_app() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        let value = json!({
            "description": field.help.trim(),
            // As in JavaScript, null means that it is not written.
            "anyOf": [(field.schema)(), { "type": "null" }],
            "examples": field.examples.map(example),
        });
        for name in [field.name].iter().chain(field.aliases) {
            for name in spellings(name) {
                properties.insert(name, value.clone());
            }
        }
    }
    for (name, reason) in IGNORED {
        let value = json!({ "description": format!("No effect: {reason}.") });
        for name in spellings(name) {
            properties.insert(name, value.clone());
        }
    }
    for name in ["execute_command", "disable_source_map_support"] {
        for name in spellings(name) {
            properties.insert(name, bool::schema());
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^env_(?!files?$)": Variables::schema() },
        "additionalProperties": false,
    })
}

/// An example of the table, as a value.
pub(super) fn example(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the schema for editors is kept.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.schema.json");

    #[test]
    fn the_file_says_what_the_table_says() {
        let text = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        let there = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(
            there == text,
            "docs/config.schema.json is out of date: UPDATE_DOCS=1 cargo test -p config schema"
        );
    }
}
