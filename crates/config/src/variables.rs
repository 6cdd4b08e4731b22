//! Variables: those of an app that are its own, and those of the command that starts it which mean
//! something to us.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::env_file;
use super::environment::Environment;
use super::fields::Entry;
use super::kind::{Texts, Variables};
use super::paths::expand_home;
use super::resolve::Surroundings;
use super::signal::KillSignal;

/// Variables by which pm2's daemon is told how to stop apps, where they do not say it themselves.
const KILL_SIGNAL: &str = "PM2_KILL_SIGNAL";
const KILL_USE_MESSAGE: &str = "PM2_KILL_USE_MESSAGE";

/// The variables that are the app's own, the later of these over the earlier: what follows from
/// the user, `env_file`, `env`, the chosen set, `port`.
pub(super) fn own(
    entry: &Entry,
    user: Option<&(String, PathBuf)>,
    cwd: &Path,
    context: &Surroundings,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Environment> {
    let mut own = Environment::new();
    if let Some((name, home)) = user {
        own.insert(OsString::from("HOME"), home.into());
        own.insert("USER".into(), name.into());
        own.insert("LOGNAME".into(), name.into());
    }
    for file in entry.env_file.iter().flat_map(|Texts(files)| files) {
        let path = cwd.join(expand_home(Path::new(file), context));
        own.extend(env_file::read(&path, warnings)?);
    }
    let mut written = |variables: &Variables| {
        let pairs = variables.texts();
        own.extend(pairs.map(|(name, value)| (name.into(), value.into())));
    };
    entry.env.iter().for_each(&mut written);
    if let Some(chosen) = context.env_name {
        match entry.env_sets.get(chosen) {
            Some(variables) => written(variables),
            None => warnings.push(format!("it has no env_{}", chosen.escape_debug())),
        }
    }
    if let Some(port) = entry.port {
        own.insert("PORT".into(), port.to_string().into());
    }
    Ok(own)
}

/// A variable of the command that starts the app, unless it is empty.
fn variable<'a>(context: &'a Surroundings, name: &str) -> Option<&'a OsStr> {
    let value = context.inherited.get(OsStr::new(name))?;
    (!value.is_empty()).then_some(value)
}

/// The signal of an app that names none.
pub(super) fn kill_signal(context: &Surroundings, warnings: &mut Vec<String>) -> KillSignal {
    let Some(value) = variable(context, KILL_SIGNAL) else {
        return KillSignal::default();
    };
    let text = value.to_string_lossy();
    KillSignal::try_from(text.into_owned()).unwrap_or_else(|error| {
        warnings.push(format!(
            "{KILL_SIGNAL} does nothing: {error}; SIGINT is used"
        ));
        KillSignal::default()
    })
}

/// Whether an app that does not say it is stopped by a message. As in pm2, any text says yes.
pub(super) fn kill_by_message(context: &Surroundings) -> bool {
    variable(context, KILL_USE_MESSAGE).is_some()
}
