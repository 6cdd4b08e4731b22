//! Keys that stand twice in one object of a JSON file: which of them counts would be a guess.

use anyhow::bail;
use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::words::told;

/// # Errors
/// If a key stands twice in one object; says which, and where.
pub(super) fn refuse(text: &str, options: &ParseOptions) -> anyhow::Result<()> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), options)?;
    let mut left: Vec<_> = parsed.value.iter().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Array(array) => left.extend(&array.elements),
            Value::Object(object) => {
                let mut seen = std::collections::HashMap::new();
                for property in &object.properties {
                    let name = match &property.name {
                        ObjectPropName::String(name) => &*name.value,
                        ObjectPropName::Word(name) => name.value,
                    };
                    let line = line_of(text, property.start());
                    if let Some(first) = seen.insert(name, line) {
                        let name = told(name);
                        bail!("\"{name}\" stands twice in one object, on lines {first} and {line}");
                    }
                    left.push(&property.value);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}
