//! Apps that an app needs before it starts: `depends_on`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::App;
use super::evaluate::ODD;
use super::kind::{Kind, described};
use super::words::told;

/// An app that has to be there first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name, in the same namespace if there is one of this name, or else in any.
    pub app: String,
    pub until: Until,
}

/// How far a dependency has to have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// It is up, as `start` waits for it: with a health check, healthy.
    Started,
    /// The same, of an app that has a health check.
    Healthy,
    /// Its processes have ended with exit code 0.
    Completed,
}

/// The dependencies as the user wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependsOn(pub(crate) Vec<Dependency>);

impl Dependency {
    fn read(value: &Value) -> Option<Self> {
        let (app, until) = match value {
            Value::String(app) => (app, Until::Started),
            Value::Object(object) => {
                let known = |key: &String| key == "app" || key == "until";
                if !object.keys().all(known) {
                    return None;
                }
                let Some(Value::String(app)) = object.get("app") else {
                    return None;
                };
                let until = match object.get("until").map(Value::as_str) {
                    None | Some(Some("started")) => Until::Started,
                    Some(Some("healthy")) => Until::Healthy,
                    Some(Some("completed")) => Until::Completed,
                    Some(_) => return None,
                };
                (app, until)
            }
            _ => return None,
        };
        let visible = !app.trim().is_empty() && !app.chars().any(char::is_control);
        visible.then(|| Self {
            app: app.clone(),
            until,
        })
    }
}

/// What is wrong with one that is an object.
fn wrong_part(object: &Map<String, Value>) -> String {
    let unknown = |key: &&String| !["app", "until"].contains(&key.as_str());
    if let Some(unknown) = object.keys().find(unknown) {
        return format!("an object with \"{}\"", told(unknown));
    }
    let Some(app) = object.get("app") else {
        return "an object without app".to_owned();
    };
    let (key, value) = match object.get("until") {
        Some(until) if Dependency::read(app).is_some() => ("until", until),
        _ => ("app", app),
    };
    format!("an object with {key}: {}", described(value))
}

impl Kind for DependsOn {
    const EXPECTS: &'static str = "names of apps, or { app: \"NAME\", until: \"started\", \
                                   \"healthy\" or \"completed\" }";

    fn found(value: &Value) -> String {
        match value {
            Value::Object(object) if !object.contains_key(ODD) => wrong_part(object),
            _ => described(value),
        }
    }

    fn schema() -> Value {
        let one = json!({ "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "required": ["app"],
                "additionalProperties": false,
                "properties": {
                    "app": { "type": "string" },
                    "until": { "enum": ["started", "healthy", "completed"] },
                },
            },
        ] });
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }

    fn read(value: &Value) -> Option<Self> {
        let all = match value {
            Value::Array(list) => list.iter().map(Dependency::read).collect(),
            one => Dependency::read(one).map(|one| vec![one]),
        };
        all.map(Self)
    }
}

impl App {
    /// Its name as it stands in the config, where `append_env_to_name` may have added something.
    pub fn written_name(&self) -> Option<&str> {
        let described = self.described.as_ref();
        described.and_then(|described| described.entry.name.as_deref())
    }

    /// Whether a run with exit code 0 is its last one, until something starts it again.
    pub fn can_complete(&self) -> bool {
        !self.restart.auto || self.restart.stop_exit_codes.contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::instead_of;

    #[test]
    fn names_and_objects_are_read() {
        let one = |app: &str, until| Dependency {
            app: app.to_owned(),
            until,
        };
        for (value, expected) in [
            (json!("db"), Some(vec![one("db", Until::Started)])),
            (
                json!(["db", { "app": "migrate", "until": "completed" }]),
                Some(vec![
                    one("db", Until::Started),
                    one("migrate", Until::Completed),
                ]),
            ),
            (
                json!({ "app": "db", "until": "healthy" }),
                Some(vec![one("db", Until::Healthy)]),
            ),
            (
                json!({ "app": "db", "until": "started" }),
                Some(vec![one("db", Until::Started)]),
            ),
            (
                json!([{ "app": "db" }]),
                Some(vec![one("db", Until::Started)]),
            ),
            (json!([]), Some(vec![])),
            (json!(""), None),
            (json!(5), None),
            (json!([["db"]]), None),
            (json!({ "until": "completed" }), None),
            (json!({ "app": "db", "until": "later" }), None),
            (json!({ "app": "db", "until": null }), None),
            (json!({ "app": "db", "when": "completed" }), None),
            (json!("a\u{1b}[2J"), None),
        ] {
            let read = DependsOn::read(&value).map(|it| it.0);
            assert_eq!(read, expected, "{value}");
        }
    }

    /// What is wrong is named, and which of several it is.
    #[test]
    fn what_is_no_dependency_is_named() {
        for (value, found) in [
            (json!(5), "5"),
            (json!(""), "\"\""),
            (json!("a\u{1b}[2J"), "\"a\\u{1b}[2J\""),
            (json!([3]), "a list whose item 1 is 3"),
            (json!(["db", ""]), "a list whose item 2 is \"\""),
            (json!(["db", ["db"]]), "a list whose item 2 is a list"),
            (
                json!([{ "app": 1 }]),
                "a list whose item 1 is an object with app: 1",
            ),
            (
                json!({ "app": "", "until": "never" }),
                "an object with app: \"\"",
            ),
            (
                json!(["db", { "app": "x", "until": "never" }]),
                "a list whose item 2 is an object with until: \"never\"",
            ),
            (
                json!({ "app": "db", "until": null }),
                "an object with until: nothing",
            ),
            (json!({ "until": "completed" }), "an object without app"),
            (
                json!({ "app": "db", "when\n": "completed" }),
                "an object with \"when\\n\"",
            ),
        ] {
            assert_eq!(DependsOn::read(&value), None, "{value}");
            assert_eq!(instead_of::<DependsOn>(&value), found, "{value}");
        }
    }
}
