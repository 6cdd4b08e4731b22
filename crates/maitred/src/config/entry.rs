//! From the value of a config file to the entries of its apps: which fields there are, which are
//! not known, and which are of the wrong kind.

use serde_json::{Map, Value};

use super::fields::Entry;
use super::kind::{Kind, Variables, described};
use super::names;

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
        match app.as_object() {
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
        Value::Object(object) => object,
        other => {
            return Err(format!(
                "expected apps: {{ apps: [...] }}, a list of apps or one app, not {}",
                described(other)
            ));
        }
    };
    // pm2 has a second name for it, for the sake of package.json.
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
        if other != key && other != "deploy" {
            warnings.push(format!(
                "{} beside {key} is not known; ignored",
                quoted(other)
            ));
        }
    }
    match apps {
        Value::Array(apps) => Ok(apps),
        Value::Object(_) => Ok(std::slice::from_ref(apps)),
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
                    Variables::found(value)
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

/// A name from a file, harmless on a terminal.
fn quoted(name: &str) -> String {
    let mut short: String = name.chars().take(80).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
