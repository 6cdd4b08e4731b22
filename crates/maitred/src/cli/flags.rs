//! The flags that describe an app, made from the table of fields: what a flag says goes the same
//! way as what a config file says.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::Value;

use config::{Category, Entry, FIELDS, Field, Flag, Takes};

/// All flags of an app, as `start` has them.
#[derive(Clone, Debug, Default)]
pub(super) struct StartFlags {
    /// What they say.
    pub(super) entry: Entry,
}

/// Those of them that `run` has.
#[derive(Clone, Debug, Default)]
pub(super) struct RunFlags {
    /// What they say.
    pub(super) entry: Entry,
}

impl Args for StartFlags {
    fn augment_args(command: Command) -> Command {
        define(command, |_| true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for StartFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let entry = read(matches, |_| true)?;
        Ok(Self { entry })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RunFlags {
    fn augment_args(command: Command) -> Command {
        // It is made for all processors; in a config file one instance is the rule.
        let command = define(command, |flag| flag.run);
        command.mut_arg("instances", |arg| {
            let help = "Number of instances: a number, \"max\" or 0 for one per processor, -K for \
                        all processors but K. [default: max]";
            arg.help("Number of instances, by default one per processor")
                .long_help(help)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RunFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let entry = read(matches, |flag| flag.run)?;
        Ok(Self { entry })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The words of a command line, with the numbers that follow one after the other joined by commas,
/// where a flag takes them so: `--stop-exit-codes 0 1 app.js` would else leave it open where they
/// end.
pub(super) fn joined(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let in_a_row: Vec<_> = wanted(|flag| matches!(flag.takes, Takes::Row(_)))
        .map(|(_, flag)| format!("--{}", flag.long))
        .collect();
    let is_number = |word: &OsString| {
        word.to_str()
            .is_some_and(|word| word.parse::<i32>().is_ok())
    };
    let mut words = words.into_iter().peekable();
    let mut joined = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            joined.push(word);
            break;
        }
        let takes_numbers = in_a_row.iter().any(|flag| word == flag.as_str());
        joined.push(word);
        if !takes_numbers {
            continue;
        }
        let mut numbers = OsString::new();
        while let Some(number) = words.next_if(is_number) {
            if !numbers.is_empty() {
                numbers.push(",");
            }
            numbers.push(number);
        }
        if !numbers.is_empty() {
            joined.push(numbers);
        }
    }
    joined.extend(words);
    joined
}

/// The flags of the table that are wanted.
fn wanted(want: impl Fn(&Flag) -> bool) -> impl Iterator<Item = (&'static Field, &'static Flag)> {
    let all = FIELDS
        .iter()
        .flat_map(|field| field.flags.iter().map(move |flag| (field, flag)));
    all.filter(move |(_, flag)| want(flag))
}

fn define(command: Command, want: impl Fn(&Flag) -> bool) -> Command {
    command.args(wanted(want).map(|(field, flag)| argument(field, flag)))
}

fn argument(field: &'static Field, flag: &'static Flag) -> Arg {
    let arg = Arg::new(flag.long)
        .long(flag.long)
        .aliases(flag.aliases)
        .help(first_sentence(field, flag))
        .long_help(help(field, flag))
        .help_heading(heading(field.category))
        // `-h` is for a first look, and fits a screen.
        .hide_short_help(!flag.common);
    let arg = match flag.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    let parser = ValueParser::new(move |text: &str| check(field, text));
    match flag.takes {
        Takes::Value(name) => arg
            .value_name(name)
            .value_parser(parser)
            // An interpreter's arguments begin with a hyphen, and so does -1.
            .allow_hyphen_values(matches!(name, "ARGS" | "N|max|-K"))
            // So `-1` is reported as a wrong value and not as an unknown flag.
            .allow_negative_numbers(true),
        Takes::Optional(name) => arg
            .value_name(name)
            .value_parser(parser)
            .action(ArgAction::Append)
            .num_args(0..=1)
            .default_missing_value("true"),
        Takes::List(name) | Takes::Row(name) => arg
            .value_name(name)
            .value_parser(parser)
            .action(ArgAction::Append)
            .value_delimiter(','),
        Takes::Nothing(_) | Takes::Word(_) => arg.action(ArgAction::SetTrue),
    }
}

/// The heading under which `--help` lists the flags of a category.
fn heading(category: Category) -> &'static str {
    match category {
        Category::Requests => "Requests (with --per request)",
        Category::Tls => "TLS (with --per request)",
        other => other.heading(),
    }
}

/// The help of a flag: the field's, with its default; or the opposite, for one that says no.
fn help(field: &Field, flag: &Flag) -> String {
    let text = field.help.trim();
    match flag.takes {
        Takes::Nothing(true) => text.to_owned(),
        Takes::Nothing(false) => format!("Sets {} to false: {}", field.name, lower(text)),
        Takes::Word(word) => format!("Sets {} to {word}: {}", field.name, lower(text)),
        _ => format!("{text} [default: {}]", field.default),
    }
}

/// The short help of a flag: one sentence, without the default.
fn first_sentence(field: &Field, flag: &Flag) -> String {
    let text = match flag.takes {
        Takes::Nothing(false) | Takes::Word(_) => help(field, flag),
        _ => field.help.trim().to_owned(),
    };
    let end = text.find(". ").unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Whether the field takes this text.
fn check(field: &Field, text: &str) -> Result<String, String> {
    let value = Value::String(text.to_owned());
    field.set(&mut Entry::default(), &value)?;
    Ok(text.to_owned())
}

fn read(matches: &ArgMatches, want: impl Fn(&Flag) -> bool) -> Result<Entry, Error> {
    let mut entry = Entry::default();
    for (field, flag) in wanted(want) {
        if matches.value_source(flag.long) != Some(ValueSource::CommandLine) {
            continue;
        }
        let texts = || -> Vec<String> {
            let values = matches.get_many::<String>(flag.long);
            values.into_iter().flatten().cloned().collect()
        };
        let value = match flag.takes {
            // As in pm2: the arguments that a file or an app has are taken away.
            Takes::Value("ARGS") if texts().last().is_some_and(|it| it == "null") => {
                Some(Value::Array(Vec::new()))
            }
            Takes::Value(_) => texts().pop().map(Value::String),
            Takes::Optional(_) => match texts() {
                mut texts if texts.len() < 2 => texts.pop().map(Value::String),
                texts => Some(Value::from(texts)),
            },
            Takes::List(_) | Takes::Row(_) => match texts() {
                // Spaces may be in it, and mean what they mean in a file.
                mut texts if texts.len() < 2 => texts.pop().map(Value::String),
                texts => Some(Value::from(texts)),
            },
            Takes::Nothing(meaning) => Some(Value::Bool(meaning)),
            Takes::Word(word) => Some(Value::from(word)),
        };
        if let Some(value) = value {
            field.set(&mut entry, &value).map_err(|error| {
                let message = format!("--{}: {error}", flag.long);
                Error::raw(clap::error::ErrorKind::InvalidValue, message)
            })?;
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row() {
        for (line, expected) in [
            (
                "start app.js --stop-exit-codes 0 1",
                "start app.js --stop-exit-codes 0,1",
            ),
            (
                "start --stop-exit-codes 0 1 app.js -i 2",
                "start --stop-exit-codes 0,1 app.js -i 2",
            ),
            (
                "start --stop-exit-codes 0,1 app.js",
                "start --stop-exit-codes 0,1 app.js",
            ),
            ("start --stop-exit-codes", "start --stop-exit-codes"),
            (
                "start a -- --stop-exit-codes 0 1",
                "start a -- --stop-exit-codes 0 1",
            ),
            ("scale app 0 1", "scale app 0 1"),
        ] {
            let words = joined(line.split(' ').map(OsString::from));
            assert_eq!(words.join(std::ffi::OsStr::new(" ")), expected);
        }
    }
}
