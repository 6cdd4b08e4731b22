//! How the health of instances is checked.

use std::ffi::OsString;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::encode::{millis, os_list};
use super::kind::{Kind, Millis, Words, described, number};

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
const FAILURES: u32 = 3;
const SUCCESSES: u32 = 1;
const GRACE: Duration = Duration::from_secs(30);
/// The shortest interval. More checks than that cost more than they tell.
const SHORTEST: Duration = Duration::from_millis(100);

/// How the health of an app's instances is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub check: Check,
    /// From one check to the next.
    #[serde(with = "millis")]
    pub interval: Duration,
    /// How long one may take.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// After how many in a row that fail an instance is replaced.
    pub failures: u32,
    /// After how many in a row that pass an unhealthy one is healthy.
    pub successes: u32,
    /// For how long failures of a new process do not count, until its first check has passed.
    #[serde(with = "millis")]
    pub grace: Duration,
}

impl Health {
    /// Whether a check goes over the listeners that maitred holds.
    pub fn goes_over_listeners(&self) -> bool {
        matches!(self.check, Check::Http { .. } | Check::Tcp { .. })
    }
}

/// What is asked of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// To answer a request for this path with a status from 200 to 399.
    Http { path: String, port: Option<u16> },
    /// To accept a connection.
    Tcp { port: Option<u16> },
    /// That this command exits with code 0.
    Command(#[serde(with = "os_list")] Vec<OsString>),
}

/// The same as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCheck {
    Off,
    On(Box<Health>),
}

impl HealthCheck {
    pub(crate) fn resolved(&self) -> Option<Health> {
        match self {
            Self::Off => None,
            Self::On(health) => Some((**health).clone()),
        }
    }
}

const KEYS: [&str; 9] = [
    "http",
    "tcp",
    "port",
    "command",
    "interval",
    "timeout",
    "failures",
    "successes",
    "grace",
];

impl Kind for HealthCheck {
    const EXPECTS: &'static str = "a path to ask for (\"/healthz\"), \"tcp\", or an object with one of \
                                   http, tcp: true and command, and perhaps port, interval, timeout, \
                                   failures, successes and grace";

    fn schema() -> Value {
        let count = json!({ "type": "integer", "minimum": 1 });
        let time = Millis::schema();
        json!({ "anyOf": [
            { "enum": [false, "false", "tcp"] },
            { "type": "string", "pattern": "^/[!-~]*$" },
            { "type": "object", "properties": {
                "http": { "type": "string", "pattern": "^/[!-~]*$" },
                "tcp": { "enum": [true] },
                "port": { "type": "integer", "minimum": 1, "maximum": u16::MAX },
                "command": Words::schema(),
                "interval": time,
                "timeout": time,
                "failures": count,
                "successes": count,
                "grace": time,
            } },
        ] })
    }

    fn found(value: &Value) -> String {
        let Some(object) = value.as_object() else {
            return described(value);
        };
        if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return format!("an object with {unknown:?}");
        }
        let kinds = ["http", "tcp", "command"];
        let kinds = kinds.into_iter().filter(|kind| object.contains_key(*kind));
        if kinds.count() != 1 {
            return "an object with none of http, tcp and command, or several".to_owned();
        }
        let wrong = |(key, value): &(&String, &Value)| {
            let mut one = Map::from_iter([((*key).clone(), (*value).clone())]);
            if !["http", "tcp", "command"].contains(&key.as_str()) {
                one.insert("tcp".to_owned(), json!(true));
            }
            Self::read(&Value::Object(one)).is_none()
        };
        match object.iter().find(wrong) {
            Some((key, value)) => format!("one with {key}: {}", described(value)),
            None => "one with port beside command".to_owned(),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(false) => Some(Self::Off),
            Value::String(text) if text == "false" => Some(Self::Off),
            Value::String(text) if text == "tcp" => {
                Some(Self::On(Box::new(of(Check::Tcp { port: None }))))
            }
            Value::String(text) => Some(Self::On(Box::new(of(Check::Http {
                path: path(text)?,
                port: None,
            })))),
            Value::Object(object) => health(object).map(|it| Self::On(Box::new(it))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        }
    }
}

/// A check with all else by default.
fn of(check: Check) -> Health {
    Health {
        check,
        interval: INTERVAL,
        timeout: TIMEOUT,
        failures: FAILURES,
        successes: SUCCESSES,
        grace: GRACE,
    }
}

fn health(object: &Map<String, Value>) -> Option<Health> {
    if object.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return None;
    }
    let port = match object.get("port") {
        Some(port) => Some(number::<u16>(port).filter(|port| *port != 0)?),
        None => None,
    };
    let [http, tcp, command] = ["http", "tcp", "command"].map(|kind| object.get(kind));
    let mut health = of(match (http, tcp, command) {
        (Some(Value::String(text)), None, None) => Check::Http {
            path: path(text)?,
            port,
        },
        (None, Some(Value::Bool(true)), None) => Check::Tcp { port },
        (None, None, Some(command)) if port.is_none() => {
            let Words(words) = Words::read(command)?;
            words.first().filter(|program| !program.is_empty())?;
            Check::Command(words)
        }
        _ => return None,
    });
    let times = [
        ("interval", &mut health.interval, SHORTEST),
        ("timeout", &mut health.timeout, SHORTEST),
        ("grace", &mut health.grace, Duration::ZERO),
    ];
    for (key, time, least) in times {
        if let Some(value) = object.get(key) {
            let Millis(read) = Millis::read(value)?;
            *time = Some(read).filter(|it| *it >= least)?;
        }
    }
    let counts = [
        ("failures", &mut health.failures),
        ("successes", &mut health.successes),
    ];
    for (key, count) in counts {
        if let Some(value) = object.get(key) {
            *count = number::<u32>(value).filter(|it| *it > 0)?;
        }
    }
    Some(health)
}

/// A path as it stands in a request: no blanks, and nothing that ends the line.
fn path(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (text.starts_with('/') && is_plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Option<Health> {
        HealthCheck::read(value)?.resolved()
    }

    #[test]
    fn a_check_is_a_path_or_an_object() {
        let http = |path: &str, port| Check::Http {
            path: path.to_owned(),
            port,
        };
        for (value, check) in [
            (json!("/healthz"), http("/healthz", None)),
            (json!({ "http": "/a?b=c" }), http("/a?b=c", None)),
            (json!({ "http": "/", "port": 3000 }), http("/", Some(3000))),
            (json!("tcp"), Check::Tcp { port: None }),
            (
                json!({ "tcp": true, "port": 1 }),
                Check::Tcp { port: Some(1) },
            ),
            (
                json!({ "command": ["./check", "a b"] }),
                Check::Command(vec!["./check".into(), "a b".into()]),
            ),
            (
                json!({ "command": "./check a" }),
                Check::Command(vec!["./check".into(), "a".into()]),
            ),
        ] {
            assert_eq!(read(&value), Some(of(check)), "{value}");
        }
        for off in [json!(false), json!("false")] {
            assert_eq!(HealthCheck::read(&off), Some(HealthCheck::Off));
        }
    }

    #[test]
    fn times_and_counts_are_read() {
        let value = json!({ "tcp": true, "interval": "1s", "timeout": 200, "failures": 5,
            "successes": 2, "grace": 0 });
        let health = Health {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(200),
            failures: 5,
            successes: 2,
            grace: Duration::ZERO,
            ..of(Check::Tcp { port: None })
        };
        assert_eq!(read(&value), Some(health));
    }

    /// What is wrong is named, and nothing else.
    #[test]
    fn what_is_no_check_is_named() {
        for (value, found) in [
            (json!("healthz"), "\"healthz\""),
            (json!("/a b"), "\"/a b\""),
            (json!("/a\r\nX: y"), "\"/a\\r\\nX: y\""),
            (json!(true), "true"),
            (
                json!({}),
                "an object with none of http, tcp and command, or several",
            ),
            (
                json!({ "http": "/", "tcp": true }),
                "an object with none of http, tcp and command, or several",
            ),
            (json!({ "htpp": "/" }), "an object with \"htpp\""),
            (json!({ "http": "x" }), "one with http: \"x\""),
            (json!({ "tcp": false }), "one with tcp: false"),
            (json!({ "command": [] }), "one with command: a list"),
            (json!({ "command": "" }), "one with command: \"\""),
            (
                json!({ "tcp": true, "interval": 0 }),
                "one with interval: 0",
            ),
            (
                json!({ "tcp": true, "timeout": "x" }),
                "one with timeout: \"x\"",
            ),
            (
                json!({ "tcp": true, "failures": 0 }),
                "one with failures: 0",
            ),
            (json!({ "tcp": true, "port": 0 }), "one with port: 0"),
            (
                json!({ "command": "x", "port": 1 }),
                "one with port beside command",
            ),
        ] {
            assert_eq!(HealthCheck::read(&value), None, "{value}");
            assert_eq!(HealthCheck::found(&value), found, "{value}");
        }
    }
}
