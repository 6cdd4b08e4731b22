//! What pm2's command line has and maitred's has not, so that who types it is told what to do
//! instead; and processes as pm2 describes them.

mod commands;
mod flags;
pub(super) mod json;

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};

pub(super) use flags::{known_to_all, notes};

/// What to do instead of what the command line asks for, if pm2 has it. `first` is its first word.
pub(super) fn instead(error: &clap::Error, first: Option<&OsStr>) -> Option<String> {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = named(ContextKind::InvalidSubcommand)?;
            let instead = commands::instead(name)?;
            Some(format!("there is no `{name}` here: {instead}"))
        }
        ErrorKind::UnknownArgument => {
            let name = named(ContextKind::InvalidArg)?;
            if first == Some(name.as_ref()) && flags::is_one(name) {
                return Some(format!(
                    "{name} belongs to a command and stands after it, as in `maitred start app.js \
                     --name api`"
                ));
            }
            let instead = flags::instead(name)?;
            Some(format!("there is no {name} here: {instead}"))
        }
        _ => None,
    }
}
