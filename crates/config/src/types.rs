//! The TypeScript types of config files, made from the table of fields and its schemas. The test here
//! keeps the file of the npm package as it should be; with `UPDATE_DOCS=1` it writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::field::Field;
use super::fields::FIELDS;
use super::kind::{Kind, Texts, Variables};
use super::names::{IGNORED, spellings};

/// What comes before the fields.
const BEFORE: &str = include_str!("types.before.d.ts");

/// The texts that a pattern of a schema stands for. Where TypeScript cannot say it, any text will do.
fn texts(pattern: &str) -> &'static str {
    match pattern {
        r"^\s*[0-9]+\s*$" => "`${number}`",
        "=" => "`${string}=${string}`",
        it if it.contains("kKmMgGtT") => "Size",
        it if it.contains("[mM][sS]") => "Time",
        it if it.starts_with("^(max|") => "\"max\" | `${number}`",
        it if it.contains("SIG") => "Signal | `SIG${Signal}` | `${number}`",
        _ => "string",
    }
}

/// The TypeScript type for a JSON Schema of this project.
fn typescript(schema: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(any) = schema["anyOf"].as_array() {
        parts.extend(any.iter().map(typescript));
    }
    if let Some(values) = schema["enum"].as_array() {
        parts.extend(values.iter().map(Value::to_string));
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::String(kind) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    for kind in kinds {
        parts.push(match kind {
            "string" => schema["pattern"]
                .as_str()
                .map_or("string", texts)
                .to_owned(),
            "integer" | "number" => "number".to_owned(),
            "array" => format!("({})[]", typescript(&schema["items"])),
            "object" => object(schema),
            plain => plain.to_owned(),
        });
    }
    parts.join(" | ")
}

fn object(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object() else {
        return "{ [name: string]: Variable }".to_owned();
    };
    let mut text = "{ ".to_owned();
    // The order of a map depends on which features of serde_json a build has.
    let properties: BTreeMap<_, _> = properties.iter().collect();
    for (name, schema) in properties {
        let _ = write!(text, "{name}?: {}; ", typescript(schema));
    }
    text + "}"
}

fn comment(text: &str) -> String {
    format!("  /** {} */\n", text.trim().replace("*/", "*\\/"))
}

/// One field by its name.
fn property(field: &Field) -> String {
    let [example, _] = field.examples;
    let kind = typescript(&(field.schema)());
    let text = format!(
        "{} Default: {}. Example: `{example}`",
        field.help.trim(),
        field.default
    );
    format!("{}  {}?: {kind} | null;\n", comment(&text), field.name)
}

/// What else may be written for a name.
fn others(name: &str, aliases: &[&str]) -> BTreeSet<String> {
    let mut all: BTreeSet<_> = aliases
        .iter()
        .chain([&name])
        .flat_map(|it| spellings(it))
        .collect();
    all.remove(name);
    all
}

fn file() -> String {
    let mut text = BEFORE.to_owned();
    text += "\n/** One app. */\nexport interface App extends OtherNames {\n";
    FIELDS.iter().for_each(|field| text += &property(field));
    let sets = [Variables::schema(), Texts::schema()]
        .map(|it| typescript(&it))
        .join(" | ");
    text += &comment("Variables that `--env NAME` adds; of `env_file` and `env_files`, files.");
    let _ = writeln!(
        text,
        "  [name: `env_${{string}}`]: {sets} | null | undefined;\n}}"
    );
    text +=
        "\n/** The same fields by their other names, and what pm2 has and maitred has not. */\n";
    text += "export interface OtherNames {\n";
    for field in FIELDS {
        for name in others(field.name, field.aliases) {
            let _ = writeln!(text, "  {name:?}?: App[{:?}];", field.name);
        }
    }
    for (name, reason) in IGNORED {
        for name in others(name, &[]).into_iter().chain([(*name).to_owned()]) {
            text += &comment(&format!("@deprecated No effect: {reason}."));
            let _ = writeln!(text, "  {name:?}?: unknown;");
        }
    }
    for name in ["execute_command", "disable_source_map_support"] {
        for name in spellings(name) {
            let _ = writeln!(text, "  {name:?}?: {};", typescript(&bool::schema()));
        }
    }
    text + "}\n"
}

#[test]
fn the_types_say_what_the_table_says() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/npm/maitred/index.d.ts"
    );
    let file = file();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &file).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == file,
        "packaging/npm/maitred/index.d.ts is out of date: UPDATE_DOCS=1 cargo test -p config types"
    );
}
