//! Kinds of values without parts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Kind, number};
use crate::javascript;
use crate::requests::{AccessFormat, Per, Retry};
use crate::units;
use crate::{ExecMode, Instances, KillSignal, LogFormat, Policy};

/// A time; a bare number counts milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Millis(pub(crate) Duration);

/// The shortest time after which a run can count as stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinUptime(pub(crate) Duration);

/// A time to wait after a change; a number counts milliseconds, a bare number in a text seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchDelay(pub(crate) Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes(pub(crate) u64);

/// A user or a group, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    Id(u32),
    Name(String),
}

impl Kind for String {
    const EXPECTS: &'static str = "a text";

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Kind for OsString {
    const EXPECTS: &'static str = String::EXPECTS;

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }
}

impl Kind for PathBuf {
    const EXPECTS: &'static str = "a path";

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }
}

impl Kind for bool {
    const EXPECTS: &'static str = "true or false";

    fn schema() -> Value {
        json!({ "enum": [true, false, "true", "false"] })
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(on) => Some(*on),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Kind for u32 {
    const EXPECTS: &'static str = "a whole number";

    fn schema() -> Value {
        whole(u32::MAX)
    }

    fn read(value: &Value) -> Option<Self> {
        number(value)
    }
}

impl Kind for u16 {
    const EXPECTS: &'static str = "a port number (0 to 65535)";

    fn schema() -> Value {
        whole(u32::from(u16::MAX))
    }

    fn read(value: &Value) -> Option<Self> {
        number(value)
    }
}

impl Kind for Millis {
    const EXPECTS: &'static str =
        "a time (milliseconds, or a text such as \"10s\", \"500ms\", \"1h\")";

    fn schema() -> Value {
        with_unit(r"^\s*[0-9.]+\s*([mM][sS]|[sS]|[mM]([iI][nN])?|[hH]|[dD])?\s*$")
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::time(&javascript::number(number)),
            Value::String(text) => units::time(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for KillSignal {
    const EXPECTS: &'static str = "a signal (SIGTERM, TERM or 15)";

    fn schema() -> Value {
        crate::signal::schema()
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.to_string().try_into().ok(),
            Value::String(text) => text.clone().try_into().ok(),
            _ => None,
        }
    }
}

impl Kind for MinUptime {
    const EXPECTS: &'static str =
        "a time of at least 100 ms (milliseconds, or a text such as \"10s\", \"1h\")";

    fn schema() -> Value {
        let mut schema = Millis::schema();
        schema["anyOf"][0]["minimum"] = json!(100);
        schema
    }

    fn read(value: &Value) -> Option<Self> {
        let Millis(time) = Millis::read(value)?;
        (time >= Duration::from_millis(100)).then_some(Self(time))
    }
}

impl Kind for WatchDelay {
    const EXPECTS: &'static str = "a time (a number of milliseconds, or a text such as \"4000ms\", \"4s\", \"4\" for seconds)";

    fn schema() -> Value {
        Millis::schema()
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::time(&javascript::number(number)),
            Value::String(text) => units::time_in_seconds(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for Bytes {
    const EXPECTS: &'static str = "a size (bytes, or a text such as \"200M\", \"1G\")";

    fn schema() -> Value {
        with_unit(r"^\s*[0-9.]+\s*([kKmMgGtT]([iI]?[bB])?|[bB])?\s*$")
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::bytes(&javascript::number(number)),
            Value::String(text) => units::bytes(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for Instances {
    const EXPECTS: &'static str = "a number up to 1024, \"max\" or 0 (one for each processor), or \
                                   -K (all processors but K)";

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "maximum": 1024 },
            { "type": "string", "pattern": "^(max|-?[0-9]+)$" },
        ] })
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::from_str(&javascript::number(number)).ok(),
            Value::String(text) => Self::from_str(text).ok(),
            _ => None,
        }
    }
}

impl Kind for Account {
    const EXPECTS: &'static str = "a number or a name";

    fn schema() -> Value {
        json!({ "type": ["string", "integer"] })
    }

    fn read(value: &Value) -> Option<Self> {
        number(value).map(Self::Id).or_else(|| {
            let name = value.as_str().filter(|name| !name.is_empty())?;
            Some(Self::Name(name.to_owned()))
        })
    }
}

impl Kind for ExecMode {
    const EXPECTS: &'static str = "\"cluster\" or \"fork\"";

    fn schema() -> Value {
        words(&["cluster", "fork", "cluster_mode", "fork_mode"])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "cluster" | "cluster_mode" => Some(Self::Cluster),
            "fork" | "fork_mode" => Some(Self::Fork),
            _ => None,
        }
    }
}

impl Kind for Policy {
    const EXPECTS: &'static str =
        "\"next_available\", \"round_robin\", \"least_conn\", \"ip_hash\" or \"sticky\"";

    fn schema() -> Value {
        words(&[
            "next_available",
            "round_robin",
            "least_conn",
            "ip_hash",
            "sticky",
        ])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "next_available" => Some(Self::NextAvailable),
            "round_robin" => Some(Self::RoundRobin),
            "least_conn" => Some(Self::LeastConn),
            "ip_hash" => Some(Self::IpHash),
            "sticky" => Some(Self::Sticky),
            _ => None,
        }
    }
}

impl Kind for Per {
    const EXPECTS: &'static str = "\"connection\" or \"request\"";

    fn schema() -> Value {
        words(&["connection", "request"])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "connection" => Some(Self::Connection),
            "request" => Some(Self::Request),
            _ => None,
        }
    }
}

impl Kind for AccessFormat {
    const EXPECTS: &'static str = "\"combined\" or \"json\"";

    fn schema() -> Value {
        words(&["combined", "json"])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "combined" => Some(Self::Combined),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Kind for Retry {
    const EXPECTS: &'static str = "\"none\" or \"idempotent\"";

    fn schema() -> Value {
        words(&["none", "idempotent"])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "none" => Some(Self::Nothing),
            "idempotent" => Some(Self::Idempotent),
            _ => None,
        }
    }
}

impl Kind for LogFormat {
    const EXPECTS: &'static str = "\"raw\" or \"json\"";

    fn schema() -> Value {
        words(&["raw", "json"])
    }

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "raw" => Some(Self::Raw),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The schema of a whole number, also as text.
fn whole(most: u32) -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": most },
        { "type": "string", "pattern": r"^\s*[0-9]+\s*$" },
    ] })
}

/// The schema of a number that may have a unit.
fn with_unit(pattern: &str) -> Value {
    json!({ "anyOf": [
        { "type": "number", "minimum": 0 },
        { "type": "string", "pattern": pattern },
    ] })
}

/// The schema of one of a few words.
fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}
