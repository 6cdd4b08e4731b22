//! Kinds of values that may have parts, or be one of several things.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Kind, described, instead_of, number, plain, split_words, texts, variable};
use crate::FilterEnv;
use crate::encode::os_list;
use crate::evaluate::ODD;
use crate::words::told;

/// Words: a list, or a text that is split as a shell does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words(#[serde(with = "os_list")] pub Vec<OsString>);

/// Variables with their values: texts, or numbers, true and false as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variables(pub(crate) BTreeMap<String, Value>);

impl Variables {
    /// They as a process finds them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        let pairs = self.0.iter();
        pairs.filter_map(|(name, value)| Some((name.as_str(), variable(value)?)))
    }
}

/// Whether a variable can have this name.
fn is_named(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// A value as it was written, if that is a number, true or false, and else the text of it.
fn given(value: &Value) -> Option<Value> {
    let text = variable(value)?;
    Some(match value {
        Value::Number(_) | Value::Bool(_) => value.clone(),
        _ => Value::String(text),
    })
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    Nothing,
    /// The folder that the app runs in.
    Folder,
    These(Vec<String>),
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts(pub(crate) Vec<String>);

/// Patterns of files; a text is split at spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patterns(pub(crate) Vec<String>);

/// Where something is logged to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    Nowhere,
    Home,
    File(String),
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// Switched off, by 0.
    Off,
    /// A cron pattern.
    At(String),
}

/// Exit codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes(pub(crate) BTreeSet<i32>);

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports(pub(crate) Vec<u16>);

/// What pm2 hands to chokidar; two of its settings mean something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchOptions {
    pub(crate) ignored: Option<Vec<String>>,
    pub(crate) follow_links: Option<bool>,
}

impl Kind for Words {
    const EXPECTS: &'static str = "a text, or a list of texts";

    fn schema() -> Value {
        let word = json!({ "type": ["string", "number", "boolean"] });
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": word }] })
    }

    fn read(value: &Value) -> Option<Self> {
        let words = match value {
            Value::String(text) => split_words(text),
            Value::Array(list) => list.iter().map(plain).collect::<Option<Vec<_>>>()?,
            _ => return None,
        };
        Some(Self(words.into_iter().map(OsString::from).collect()))
    }
}

impl Kind for Texts {
    const EXPECTS: &'static str = Words::EXPECTS;

    fn schema() -> Value {
        one_or_more(&json!({ "type": "string" }))
    }

    fn read(value: &Value) -> Option<Self> {
        texts(value).map(Self)
    }
}

impl Kind for Patterns {
    const EXPECTS: &'static str = Words::EXPECTS;

    fn schema() -> Value {
        Texts::schema()
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self(match value {
            Value::String(text) => split_words(text),
            list => texts(list)?,
        }))
    }
}

impl Kind for Variables {
    const EXPECTS: &'static str = "an object of names and values, or a list of \"NAME=value\"";

    /// Without the text, in which there may be a secret.
    fn found(value: &Value) -> String {
        match value {
            Value::String(_) => "a text without =".to_owned(),
            Value::Object(object) if !object.contains_key(ODD) => {
                let mut pairs = object.iter();
                let wrong = pairs.find(|(name, value)| !is_named(name) || given(value).is_none());
                match wrong {
                    Some((name, _)) if !is_named(name) => {
                        format!("one with the name \"{}\"", told(name))
                    }
                    Some((name, value)) => format!("one with {name}: {}", described(value)),
                    None => described(value),
                }
            }
            other => described(other),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "object", "additionalProperties": { "pattern": "^[^\u{0}]*$" },
                "propertyNames": { "pattern": "^[^=\u{0}]+$" } },
            { "type": "string", "pattern": "=" },
            { "type": "array", "items": { "type": "string", "pattern": "=" } },
        ] })
    }

    fn read(value: &Value) -> Option<Self> {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), Value::from(value)))
        };
        let variables = match value {
            Value::Object(object) => object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| Some((name.clone(), given(value)?)))
                .collect::<Option<BTreeMap<_, _>>>()?,
            Value::String(text) => split_words(text)
                .iter()
                .map(|it| pair(it))
                .collect::<Option<_>>()?,
            Value::Array(list) => list
                .iter()
                .map(|it| pair(it.as_str()?))
                .collect::<Option<_>>()?,
            _ => return None,
        };
        let good = |(name, value): (&String, &Value)| {
            let text = value.as_str().unwrap_or_default();
            is_named(name) && !text.contains('\0')
        };
        variables.iter().all(good).then_some(Self(variables))
    }
}

impl Kind for FilterEnv {
    const EXPECTS: &'static str = "true, false, a part of a name, or a list of such parts";

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "boolean" }, Texts::schema()] })
    }

    fn read(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(true) => Self::All,
            Value::Bool(false) => Self::Containing(Vec::new()),
            Value::String(text) if text == "true" => Self::All,
            Value::String(text) if text == "false" => Self::Containing(Vec::new()),
            _ => Self::Containing(
                texts(value)?
                    .into_iter()
                    .filter(|it| !it.is_empty())
                    .collect(),
            ),
        })
    }
}

impl Kind for Watched {
    const EXPECTS: &'static str = "true, false, a path, or a list of paths";

    fn schema() -> Value {
        FilterEnv::schema()
    }

    fn read(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(false) => Self::Nothing,
            Value::Bool(true) => Self::Folder,
            Value::String(text) if text == "false" => Self::Nothing,
            Value::String(text) if text == "true" => Self::Folder,
            _ => match texts(value)? {
                paths if paths.is_empty() => Self::Folder,
                paths => Self::These(paths),
            },
        })
    }
}

impl Kind for LogTarget {
    const EXPECTS: &'static str = "a path, true or false";

    fn schema() -> Value {
        json!({ "type": ["string", "boolean"] })
    }

    fn read(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(false) => Self::Nowhere,
            Value::Bool(true) => Self::Home,
            Value::String(text) => match text.as_str() {
                "NULL" | "/dev/null" | "false" => Self::Nowhere,
                "" | "true" => Self::Home,
                path => Self::File(path.to_owned()),
            },
            _ => return None,
        })
    }
}

impl Kind for Schedule {
    const EXPECTS: &'static str = "a cron pattern such as \"0 3 * * *\", or 0 for none";

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string" }, { "enum": [0, false] }] })
    }

    fn read(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Number(number) if number.as_u64() == Some(0) => Self::Off,
            Value::Bool(false) => Self::Off,
            Value::String(text) if text == "0" || text.is_empty() => Self::Off,
            Value::String(text) => Self::At(text.clone()),
            _ => return None,
        })
    }
}

impl Kind for ExitCodes {
    const EXPECTS: &'static str = "an exit code, or a list of exit codes";

    fn schema() -> Value {
        let code = json!({ "type": ["integer", "string"], "pattern": "^[-0-9, ]*$" });
        one_or_more(&code)
    }

    fn read(value: &Value) -> Option<Self> {
        let codes: Option<_> = match value {
            Value::Array(list) => list.iter().map(number).collect(),
            Value::String(text) => text
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|code| !code.is_empty())
                .map(|code| code.parse().ok())
                .collect(),
            one => number(one).map(|code| BTreeSet::from([code])),
        };
        codes.map(Self)
    }
}

impl Kind for Ports {
    const EXPECTS: &'static str = "a port number, or a list of port numbers";

    fn schema() -> Value {
        let port = json!({
            "type": ["integer", "string"],
            "minimum": 0, "maximum": 65535, "pattern": "^[0-9, ]*$",
        });
        one_or_more(&port)
    }

    fn read(value: &Value) -> Option<Self> {
        let ports: Option<_> = match value {
            Value::Array(list) => list.iter().map(number).collect(),
            Value::String(text) => text.split(',').map(|it| it.trim().parse().ok()).collect(),
            one => number(one).map(|port| vec![port]),
        };
        ports.map(Self)
    }
}

impl Kind for WatchOptions {
    const EXPECTS: &'static str = "an object of watch options";

    fn found(value: &Value) -> String {
        let parts = value.as_object().into_iter().flatten();
        let wrong = |(name, part): &(&String, &Value)| {
            let one = Map::from_iter([((*name).clone(), (*part).clone())]);
            Self::read(&Value::Object(one)).is_none()
        };
        match parts.into_iter().find(wrong) {
            Some((name, part)) if name == "ignored" => {
                format!("one with ignored: {}", instead_of::<Texts>(part))
            }
            Some((name, part)) => format!("one with {name}: {}", described(part)),
            None => described(value),
        }
    }

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "ignored": Texts::schema(),
            "followSymlinks": { "type": "boolean" },
        } })
    }

    fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let ignored = match object.get("ignored") {
            None | Some(Value::Null) => None,
            Some(ignored) => Some(texts(ignored)?),
        };
        let follow_links = match object.get("followSymlinks") {
            None | Some(Value::Null) => None,
            Some(follow) => Some(follow.as_bool()?),
        };
        Some(Self {
            ignored,
            follow_links,
        })
    }
}

/// The schema of one value, or a list of such.
fn one_or_more(value: &Value) -> Value {
    json!({ "anyOf": [value, { "type": "array", "items": value }] })
}
