//! The kinds of values that fields have: how each is read from what the user wrote, and what is
//! said when it is something else.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::units;
use super::{ExecMode, FilterEnv, Instances, LogFormat, Policy};

/// A kind of value.
pub(crate) trait Kind: Sized {
    /// What is expected, as in "expected …".
    const EXPECTS: &'static str;

    /// What there is instead, for a message.
    fn found(value: &Value) -> String {
        described(value)
    }

    /// Reads the value, if it is of this kind.
    fn read(value: &Value) -> Option<Self>;
}

/// A time; a bare number counts milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) Duration);

/// The shortest time after which a run can count as stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinUptime(pub(crate) Duration);

/// A time to wait after a change; a number counts milliseconds, a bare number in a text seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchDelay(pub(crate) Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// Words: a list, or a text that is split as a shell does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<OsString>);

/// Variables with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Nothing,
    /// The folder that the app runs in.
    Folder,
    These(Vec<String>),
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

/// Where something is logged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogTarget {
    Nowhere,
    Home,
    File(String),
}

/// A schedule, unless it is switched off by 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule(pub(crate) Option<String>);

/// A user or a group, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Id(u32),
    Name(String),
}

/// Exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExitCodes(pub(crate) BTreeSet<i32>);

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<u16>);

/// What pm2 hands to chokidar; two of its settings mean something here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    pub(crate) ignored: Option<Vec<String>>,
    pub(crate) follow_links: Option<bool>,
}

impl Kind for String {
    const EXPECTS: &'static str = "a text";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Kind for OsString {
    const EXPECTS: &'static str = String::EXPECTS;

    fn read(value: &Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }
}

impl Kind for PathBuf {
    const EXPECTS: &'static str = "a path";

    fn read(value: &Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }
}

impl Kind for bool {
    const EXPECTS: &'static str = "true or false";

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

    fn read(value: &Value) -> Option<Self> {
        number(value)
    }
}

impl Kind for u16 {
    const EXPECTS: &'static str = "a port number (0 to 65535)";

    fn read(value: &Value) -> Option<Self> {
        number(value)
    }
}

impl Kind for Millis {
    const EXPECTS: &'static str =
        "a time (milliseconds, or a text such as \"10s\", \"500ms\", \"1h\")";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::time(&number.to_string()),
            Value::String(text) => units::time(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for MinUptime {
    const EXPECTS: &'static str =
        "a time of at least 100 ms (milliseconds, or a text such as \"10s\", \"1h\")";

    fn read(value: &Value) -> Option<Self> {
        let Millis(time) = Millis::read(value)?;
        (time >= Duration::from_millis(100)).then_some(Self(time))
    }
}

impl Kind for WatchDelay {
    const EXPECTS: &'static str = "a time (a number of milliseconds, or a text such as \"4000ms\", \"4s\", \"4\" for seconds)";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::time(&number.to_string()),
            Value::String(text) => units::time_in_seconds(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for Bytes {
    const EXPECTS: &'static str = "a size (bytes, or a text such as \"200M\", \"1G\")";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => units::bytes(&number.to_string()),
            Value::String(text) => units::bytes(text),
            _ => None,
        }
        .map(Self)
    }
}

impl Kind for Instances {
    const EXPECTS: &'static str = "a number up to 1024, \"max\" or 0 (one for each processor), or \
                                   -K (all processors but K)";

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::from_str(&number.to_string()).ok(),
            Value::String(text) => Self::from_str(text).ok(),
            _ => None,
        }
    }
}

impl Kind for Words {
    const EXPECTS: &'static str = "a text, or a list of texts";

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

    fn read(value: &Value) -> Option<Self> {
        texts(value).map(Self)
    }
}

impl Kind for Variables {
    const EXPECTS: &'static str = "an object of names and values, or a list of \"NAME=value\"";

    /// Without the text, in which there may be a secret.
    fn found(value: &Value) -> String {
        match value {
            Value::String(_) => "a text".to_owned(),
            Value::Object(_) => "one with values that variables cannot have".to_owned(),
            other => described(other),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let variables = match value {
            Value::Object(object) => object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| Some((name.clone(), variable(value)?)))
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
        let good = |(name, value): (&String, &String)| {
            !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
        };
        variables.iter().all(good).then_some(Self(variables))
    }
}

impl Kind for FilterEnv {
    const EXPECTS: &'static str = "true, false, a part of a name, or a list of such parts";

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

    fn read(value: &Value) -> Option<Self> {
        Some(Self(match value {
            Value::Number(number) if number.as_u64() == Some(0) => None,
            Value::Bool(false) => None,
            Value::String(text) if text == "0" || text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            _ => return None,
        }))
    }
}

impl Kind for Account {
    const EXPECTS: &'static str = "a number or a name";

    fn read(value: &Value) -> Option<Self> {
        number(value).map(Self::Id).or_else(|| {
            let name = value.as_str().filter(|name| !name.is_empty())?;
            Some(Self::Name(name.to_owned()))
        })
    }
}

impl Kind for ExitCodes {
    const EXPECTS: &'static str = "an exit code, or a list of exit codes";

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

    fn read(value: &Value) -> Option<Self> {
        let ports: Option<_> = match value {
            Value::Array(list) => list.iter().map(number).collect(),
            Value::String(text) => text.split(',').map(|it| it.trim().parse().ok()).collect(),
            one => number(one).map(|port| vec![port]),
        };
        ports.map(Self)
    }
}

impl Kind for ExecMode {
    const EXPECTS: &'static str = "\"cluster\" or \"fork\"";

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
        "\"next_available\", \"round_robin\", \"least_conn\" or \"ip_hash\"";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "next_available" => Some(Self::NextAvailable),
            "round_robin" => Some(Self::RoundRobin),
            "least_conn" => Some(Self::LeastConn),
            "ip_hash" => Some(Self::IpHash),
            _ => None,
        }
    }
}

impl Kind for LogFormat {
    const EXPECTS: &'static str = "\"raw\" or \"json\"";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "raw" => Some(Self::Raw),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Kind for WatchOptions {
    const EXPECTS: &'static str = "an object of watch options";

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

/// What a value is, for a message.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() <= 60 => format!("{text:?}"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(object) => match object.get(super::evaluate::ODD).and_then(Value::as_str) {
            Some(odd) => odd.to_owned(),
            None => "an object".to_owned(),
        },
    }
}

/// A whole number, also as text.
fn number<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        // 3.0 is 3, as in JavaScript.
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => {
                format!("{float:.0}").parse().ok()
            }
            _ => None,
        },
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A value without parts, as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value of a variable. As in pm2, what has parts is passed on as JSON.
fn variable(value: &Value) -> Option<String> {
    match value {
        Value::Object(object) if object.contains_key(super::evaluate::ODD) => None,
        Value::Object(_) | Value::Array(_) => Some(value.to_string()),
        value => plain(value),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Splits at spaces that are not within quotes, which go. A backslash is one: as in pm2, nothing
/// is an escape.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
