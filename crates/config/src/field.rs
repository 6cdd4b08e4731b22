//! What is known about one field of an app: its names, meaning, flags and examples, what it needs,
//! and how a change of it takes effect.

use serde_json::Value;

use super::fields::Entry;

/// One row of the table of fields.
#[derive(Debug)]
pub struct Field {
    /// The name in config files.
    pub name: &'static str,
    /// Other names. Any of them may also be written in camelCase or with dashes.
    pub aliases: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// The chapter of the reference and of `--help`.
    pub category: Category,
    /// What it needs to have an effect.
    pub(crate) needs: Needs,
    /// How a changed value takes effect.
    pub(crate) change: Change,
    /// Another field without which this one has no effect.
    pub(crate) with: Option<&'static str>,
    /// The default, in words.
    pub default: &'static str,
    /// Two different values, neither of them the default, in JSON.
    pub examples: [&'static str; 2],
    /// What its value should be, as in "expected …".
    pub expects: &'static str,
    /// Its JSON Schema.
    pub(crate) schema: fn() -> Value,
    /// The flags that set it.
    pub flags: &'static [Flag],
    /// Reads a value into an entry.
    pub(super) read: fn(&mut Entry, &Value) -> Option<()>,
    /// What a value is, for a message.
    pub(super) found: fn(&Value) -> String,
    /// Whether an entry has it.
    pub(super) is_set: fn(&Entry) -> bool,
}

/// The chapters of the fields, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    App,
    Balancing,
    Requests,
    Tls,
    Environment,
    Restarts,
    Stopping,
    Logs,
    Metrics,
    Rights,
}

impl Category {
    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::App => "App",
            Self::Balancing => "Balancing",
            Self::Requests => "Requests",
            Self::Tls => "TLS",
            Self::Environment => "Environment",
            Self::Restarts => "Restarts",
            Self::Stopping => "Starting and stopping",
            Self::Logs => "Logs",
            Self::Metrics => "Metrics and health",
            Self::Rights => "Users and ports",
        }
    }
}

/// What a field needs to have an effect. Without it the field is refused, since who writes one
/// counts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// It always has an effect.
    Nothing,
    /// `exec_mode: cluster`: the instances share the listening sockets.
    Cluster,
    /// `exec_mode: cluster` and `per: connection`.
    Connections,
    /// `per: request`.
    Requests,
    /// `cron_restart` and `autorestart: false`: the app is a job.
    Job,
}

/// How a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Never: the app is known by it.
    Never,
    /// It is about one command, and no setting of the app.
    Command,
    /// While the app runs (`maitred scale`), and at a restart or reload.
    Live,
    /// At the next restart or reload.
    Restart,
    /// At a restart, which then starts another supervisor: the listening sockets are opened anew. A
    /// reload refuses it.
    Recreate,
}

impl Field {
    /// Reads the value into the entry.
    ///
    /// # Errors
    /// Says what was expected, and what there was.
    pub fn set(&self, entry: &mut Entry, value: &Value) -> Result<(), String> {
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

/// The field of which a row names none, or one.
pub(super) const fn companion(named: &[&'static str]) -> Option<&'static str> {
    match named {
        [one, ..] => Some(*one),
        [] => None,
    }
}

/// A flag of the command line that sets a field.
#[derive(Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    pub aliases: &'static [&'static str],
    pub takes: Takes,
    /// Whether `run` has it too.
    pub run: bool,
    /// Whether the short help (`-h`) shows it.
    pub common: bool,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
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
        common: false,
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

    pub(super) const fn common(mut self) -> Self {
        self.common = true;
        self
    }
}
