//! The kinds of values that fields have: how each is read from what the user wrote, and what is
//! said when it is something else.

mod several;
mod single;

use std::str::FromStr;

use serde_json::Value;

pub use several::Words;
pub(crate) use several::{
    ExitCodes, LogTarget, Patterns, Ports, Schedule, Texts, Variables, WatchOptions, Watched,
};
pub(crate) use single::{Account, Bytes, Millis, MinUptime, WatchDelay};

use super::javascript;

/// A kind of value.
pub(crate) trait Kind: Sized {
    /// What is expected, as in "expected …".
    const EXPECTS: &'static str;

    /// Its JSON Schema: it accepts every value that [`Kind::read`] reads, and refuses what is of
    /// another type.
    fn schema() -> Value;

    /// What a value is that is not of this kind, for a message.
    fn found(value: &Value) -> String {
        described(value)
    }

    /// Reads the value, if it is of this kind.
    fn read(value: &Value) -> Option<Self>;
}

/// What there is instead of a value of a kind, for a message. Of a list, where one may stand, it names
/// the first item that is wrong.
pub(crate) fn instead_of<K: Kind>(value: &Value) -> String {
    let takes = |items: Vec<Value>| K::read(&Value::Array(items)).is_some();
    let items = value.as_array().filter(|_| takes(Vec::new()));
    let is_wrong = |(_, item): &(usize, &Value)| !takes(vec![(*item).clone()]);
    let wrong = (1_usize..).zip(items.into_iter().flatten()).find(is_wrong);
    match wrong {
        Some((number, item)) => format!("a list whose item {number} is {}", K::found(item)),
        None => K::found(value),
    }
}

/// What a value is, for a message.
pub(crate) fn described(value: &Value) -> String {
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
pub(crate) fn number<T: FromStr>(value: &Value) -> Option<T> {
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
        Value::Number(number) => Some(javascript::number(number)),
        Value::Bool(on) => Some(on.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value of a variable. As in pm2, what has parts is passed on as JSON.
fn variable(value: &Value) -> Option<String> {
    match value {
        Value::Object(object) if object.contains_key(super::evaluate::ODD) => None,
        Value::Object(_) | Value::Array(_) => javascript::json(value),
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
