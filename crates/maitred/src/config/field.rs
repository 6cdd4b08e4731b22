//! What is known of one field of an app: its names, its meaning, its flags, and how it is read.

use serde_json::Value;

use super::fields::Entry;

/// What is known of a field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name in files.
    pub(crate) name: &'static str,
    /// Other names for it. Any of them may also be written in camelCase or with dashes.
    pub(crate) aliases: &'static [&'static str],
    /// What it means.
    pub(crate) help: &'static str,
    /// What is so when it is not written, in words.
    pub(crate) default: &'static str,
    /// What its value should be, as in "expected …".
    pub(crate) expects: &'static str,
    /// The flags that set it.
    pub(crate) flags: &'static [Flag],
    /// Reads a value into an entry.
    pub(super) read: fn(&mut Entry, &Value) -> Option<()>,
    /// What a value is, for a message.
    pub(super) found: fn(&Value) -> String,
    /// Whether an entry has it.
    pub(super) is_set: fn(&Entry) -> bool,
    /// What it does something for.
    pub(super) of: Concern,
}

/// What a field does something for: without that it would do nothing, and is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    Everything,
    /// Listening sockets that the instances share.
    SharedSockets,
    /// Connections that the instances are given whole.
    Connections,
    /// Requests that are placed one by one.
    Requests,
}

/// The concern of a field that names one, or none.
pub(super) const fn concern(named: &[Concern]) -> Concern {
    match named {
        [one, ..] => *one,
        [] => Concern::Everything,
    }
}

impl Field {
    /// Reads the value into the entry.
    ///
    /// # Errors
    /// Says what was expected, and what there was.
    pub(crate) fn set(&self, entry: &mut Entry, value: &Value) -> Result<(), String> {
        if has_nul(value) {
            // Neither a path nor an argument nor a variable can have one.
            return Err(format!(
                "expected {}, without a NUL character",
                self.expects
            ));
        }
        (self.read)(entry, value).ok_or_else(|| {
            let found = (self.found)(value);
            format!("expected {}, not {found}", self.expects)
        })
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(object) => object
            .iter()
            .any(|(key, it)| key.contains('\0') || has_nul(it)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A flag of the command line that sets a field.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) takes: Takes,
    /// Whether `run` has it too.
    pub(crate) run: bool,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A value, called so in the help.
    Value(&'static str),
    /// Perhaps a value; without one it means `true`.
    Optional(&'static str),
    /// Several values, separated by commas, or the flag again.
    List(&'static str),
    /// Several values, one after the other.
    Row(&'static str),
    /// Nothing; it means this.
    Nothing(bool),
    /// Nothing; it means this word.
    Word(&'static str),
}

pub(super) const fn flag(long: &'static str, takes: Takes) -> Flag {
    Flag {
        long,
        short: None,
        aliases: &[],
        takes,
        run: false,
    }
}

impl Flag {
    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn also_of_run(mut self) -> Self {
        self.run = true;
        self
    }
}
