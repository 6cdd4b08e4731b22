//! `maitred prettylist`: all apps, as Node's `util.inspect` would show them.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::pm2::json;
use super::together;
use crate::apps;
use home::Home;

/// Print all apps in the style of JavaScript. Environments are in there.
#[derive(Debug, Args)]
pub(super) struct Prettylist {}

impl Prettylist {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let snapshots = apps::snapshots(&apps::all(&home)?);
        let mut text = inspect(&json::all(&home, &snapshots), 0);
        text.push('\n');
        together::print(text)?;
        Ok(0)
    }
}

/// What fits is written on one line.
const WIDTH: usize = 72;

fn inspect(value: &Value, depth: usize) -> String {
    let (open, close, parts) = match value {
        Value::Null => return "null".to_owned(),
        Value::Bool(value) => return value.to_string(),
        Value::Number(number) => return number.to_string(),
        Value::String(text) => return quoted(text),
        Value::Array(items) if items.is_empty() => return "[]".to_owned(),
        Value::Object(fields) if fields.is_empty() => return "{}".to_owned(),
        Value::Array(items) => {
            let parts: Vec<_> = items.iter().map(|item| inspect(item, depth + 1)).collect();
            ('[', ']', parts)
        }
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| {
                format!("{}: {}", key(name), inspect(value, depth + 1))
            };
            ('{', '}', fields.iter().map(part).collect())
        }
    };
    let length: usize = parts.iter().map(|part| part.chars().count() + 2).sum();
    if length + 2 * depth < WIDTH && parts.iter().all(|part| !part.contains('\n')) {
        return format!("{open} {} {close}", parts.join(", "));
    }
    let indent = "  ".repeat(depth + 1);
    let parts = parts.join(&format!(",\n{indent}"));
    format!("{open}\n{indent}{parts}\n{}{close}", "  ".repeat(depth))
}

/// A name needs quotes unless it is an identifier.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    if !name.is_empty()
        && name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
    {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A string in single quotes, unless it holds some and no others.
fn quoted(text: &str) -> String {
    let quote = ['\'', '"', '`']
        .into_iter()
        .find(|quote| !text.contains(*quote))
        .unwrap_or('\'');
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_look_as_in_javascript() {
        let value = json!({"a": 1, "b-c": "it's", "d": [true, null, {}], "e": "x\u{1b}\n"});
        assert_eq!(
            inspect(&value, 0),
            r#"{ a: 1, 'b-c': "it's", d: [ true, null, {} ], e: 'x\x1B\n' }"#
        );
        let long = json!({"a": "x".repeat(50), "b": "y".repeat(50)});
        let lines: Vec<_> = inspect(&long, 0).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("  a: 'xxx") && lines[1].ends_with(','));
    }
}
