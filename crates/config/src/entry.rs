//! From the value of a config file to the entries of its apps: which fields there are, which are
//! not known, and which are of the wrong kind.

use serde_json::{Map, Value};

use super::evaluate::ODD;
use super::fields::Entry;
use super::kind::{Kind, Variables, described, instead_of};
use super::names;
use super::words::told;

/// More apps than this in a file are surely a mistake.
const MOST_APPS: usize = 1000;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Its apps, as they stand in it.
    pub(crate) apps: Vec<Entry>,
    /// What the user should know: unknown fields, and those that do nothing.
    pub(crate) warnings: Vec<String>,
}

/// Reads an array of apps, one app, or an object with `apps`.
///
/// # Errors
/// Lists every value of the wrong kind, with its app and field.
pub(crate) fn read(value: &Value) -> Result<Entries, Vec<String>> {
    let mut entries = Entries::default();
    let apps = apps_of(value, &mut entries.warnings).map_err(|error| vec![error])?;
    if apps.len() > MOST_APPS {
        return Err(vec![format!("it has more than {MOST_APPS} apps")]);
    }
    let mut errors = Vec::new();
    for (index, app) in apps.iter().enumerate() {
        match app.as_object().filter(|it| !it.contains_key(ODD)) {
            Some(object) => {
                let at = place(index, apps.len(), object);
                entries
                    .apps
                    .push(read_app(object, &at, &mut entries.warnings, &mut errors));
            }
            None => errors.push(format!(
                "app {}: expected an object, not {}",
                index + 1,
                described(app)
            )),
        }
    }
    if apps.is_empty() {
        entries
            .warnings
            .push("its list of apps is empty: there is nothing to do".to_owned());
    }
    if errors.is_empty() {
        Ok(entries)
    } else {
        Err(errors)
    }
}

/// The apps of a file, whichever of the forms it has.
fn apps_of<'a>(value: &'a Value, warnings: &mut Vec<String>) -> Result<&'a [Value], String> {
    let object = match value {
        Value::Array(apps) => return Ok(apps),
        Value::Object(object) if !object.contains_key(ODD) => object,
        Value::Null => {
            return Err(
                "there is nothing in it: expected { apps: [...] }, a list of apps or one app"
                    .to_owned(),
            );
        }
        other => {
            return Err(format!(
                "expected apps: {{ apps: [...] }}, a list of apps or one app, not {}",
                described(other)
            ));
        }
    };
    // pm2 has a second name for it, for the sake of package.json, in which there is more.
    let Some((key, apps)) = ["apps", "pm2"]
        .iter()
        .find_map(|key| Some((key, object.get(*key)?)))
    else {
        if object.keys().any(|key| names::field(key).is_some()) {
            return Ok(std::slice::from_ref(value));
        }
        return Err(
            "it has no apps: expected { apps: [...] }, a list of apps, or one app with a script"
                .to_owned(),
        );
    };
    // `deploy` belongs to a command of pm2 that has nothing to do with running apps.
    for other in object.keys() {
        if *key == "apps" && other != "apps" && other != "deploy" {
            warnings.push(format!(
                "{} beside apps is not known; ignored",
                quoted(other)
            ));
        }
    }
    match apps {
        Value::Array(apps) => Ok(apps),
        Value::Object(object) if !object.contains_key(ODD) => Ok(std::slice::from_ref(apps)),
        other => Err(format!("{key}: expected a list, not {}", described(other))),
    }
}

/// How the app is called in messages.
fn place(index: usize, of: usize, object: &Map<String, Value>) -> String {
    let text = |key| object.get(key).and_then(Value::as_str);
    match text("name").or_else(|| text("script")) {
        Some(name) if name.chars().count() <= 60 => format!("app {}", quoted(name)),
        _ if of == 1 => "the app".to_owned(),
        _ => format!("app {}", index + 1),
    }
}

fn read_app(
    object: &Map<String, Value>,
    at: &str,
    warnings: &mut Vec<String>,
    errors: &mut Vec<String>,
) -> Entry {
    let mut entry = Entry::default();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (key, value) in object {
        if let Some(field) = names::field(key) {
            // As in pm2, what is undefined or null was not written.
            if value.is_null() {
                continue;
            }
            if let Some((_, earlier)) = seen.iter().find(|(name, _)| *name == field.name) {
                warnings.push(format!(
                    "{at}: {earlier} and {key} are the same field; {key} counts"
                ));
            }
            seen.push((field.name, key));
            if let Err(error) = field.set(&mut entry, value) {
                errors.push(format!("{at}: {key}: {error}"));
            }
        } else if let Some(set) = key.strip_prefix("env_").filter(|set| !set.is_empty()) {
            if value.is_null() {
                continue;
            }
            match Variables::read(value) {
                Some(variables) => {
                    entry.env_sets.insert(set.to_owned(), variables);
                }
                None => errors.push(format!(
                    "{at}: {}: expected {}, not {}",
                    quoted(key),
                    Variables::EXPECTS,
                    instead_of::<Variables>(value)
                )),
            }
        } else if key == "execute_command" || key == "disable_source_map_support" {
            // Two that say the same as others do, the other way round.
            match (bool::read(value), key.as_str()) {
                (Some(true), "execute_command") => entry.exec_mode = Some(super::ExecMode::Fork),
                (Some(true), _) => entry.source_map_support = Some(false),
                (Some(false), _) => {}
                (None, _) => errors.push(format!(
                    "{at}: {key}: expected {}, not {}",
                    bool::EXPECTS,
                    described(value)
                )),
            }
        } else if let Some(reason) = names::ignored(key) {
            warnings.push(format!("{at}: {key} does nothing here: {reason}"));
        } else {
            let meant = match names::nearest(key) {
                Some(name) => format!("; did you mean {name}?"),
                None => "; ignored".to_owned(),
            };
            warnings.push(format!("{at}: unknown field {}{meant}", quoted(key)));
        }
    }
    entry
}

/// A name from a file.
fn quoted(name: &str) -> String {
    format!("\"{}\"", told(name))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::json;

    use super::*;
    use crate::fields::FIELDS;
    use crate::{Environment, Surroundings, resolve};

    /// Whatever stands in a field: it is taken or refused, in few words, and nothing panics.
    #[test]
    fn odd_values_in_every_field() {
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let values = [
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1),
            json!(0.5),
            json!(1e308),
            json!(-1e308),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(""),
            json!(" "),
            json!("0"),
            json!("-1"),
            json!("max"),
            json!("~"),
            json!("~/../.."),
            json!("../".repeat(100)),
            json!("\0"),
            json!("\u{1b}[2J\r\n"),
            json!("\u{202e}\u{feff}ä"),
            json!("'\"'"),
            json!("9".repeat(400)),
            json!("x".repeat(100_000)),
            json!("*/0 * * * *"),
            json!("TZ= * * * * *"),
            json!("99999999999999999999d"),
            json!([]),
            json!([null]),
            json!([1, "2", true]),
            json!(["", "\0"]),
            json!([[[]]]),
            deep,
            json!({}),
            json!({"": ""}),
            json!({"a=b": 1}),
            json!({"a": {"b": [1]}}),
            json!({"ignored": 5, "followSymlinks": 5}),
        ];
        let folder = std::env::temp_dir();
        let inherited = Environment::from([
            (OsString::from("PATH"), OsString::from("/usr/bin:/bin")),
            (OsString::from("HOME"), OsString::from("/")),
        ]);
        let surroundings = Surroundings {
            folder: &folder,
            inherited: &inherited,
            env_name: Some("x"),
            processors: 4,
        };
        let names = FIELDS
            .iter()
            .map(|field| field.name)
            .chain(["env_x", "unknown"]);
        for name in names {
            for value in &values {
                let app = json!({ "script": "sh", "watch": true, name: value });
                let said = match read(&app) {
                    Err(errors) => errors.join("\n"),
                    Ok(entries) => {
                        let entry = entries.apps.into_iter().next().unwrap();
                        match resolve(entry, &surroundings) {
                            Err(error) => format!("{error:#}"),
                            Ok(resolved) => {
                                // It can be written down, and comes back as it was.
                                let text = serde_json::to_string(&resolved.app).unwrap();
                                let back: crate::App = serde_json::from_str(&text).unwrap();
                                assert_eq!(back, resolved.app);
                                entries.warnings.join("\n")
                            }
                        }
                    }
                };
                let short: String = said.chars().take(300).collect();
                assert!(said.len() < 1500, "{name} {} bytes: {short}", said.len());
                assert!(!said.contains(['\u{1b}', '\0', '\r']), "{name}: {short:?}");
            }
        }
    }
}
